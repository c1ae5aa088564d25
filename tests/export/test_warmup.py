import numpy as np
import pytest
import tensorflow as tf

from tfdl.export import warmup

# What tensorflow-serving-api 2.21.0 writes: PredictionLog(predict_log=PredictLog(
# request=PredictRequest(model_spec=ModelSpec(name="model", signature_name=
# "serving_default"), inputs={"x": tf.make_tensor_proto([b"ab"])}))).
OFFICIAL = (
    b"2/\n-\n\x18\n\x05model\x1a\x0fserving_default"
    b"\x12\x11\n\x01x\x12\x0c\x08\x07\x12\x04\x12\x02\x08\x01B\x02ab"
)


def test_a_request_has_the_official_bytes():
    written = warmup.encode("model", "serving_default", {"x": tf.constant([b"ab"])})
    assert written == OFFICIAL


def test_the_official_bytes_are_read():
    signature, inputs = warmup.decode(OFFICIAL)
    assert signature == "serving_default"
    assert inputs["x"].numpy().tolist() == [b"ab"]


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "bool", "uint8"])
def test_tensors_come_back_as_they_were(tmp_path, dtype):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    examples = {"first": {"a": tf.constant(values), "b": tf.constant([b"x"] * 3)}}
    warmup.write(tmp_path / "deeper" / warmup.NAME, "model", examples)
    one, whole = warmup.read(tmp_path / "deeper" / warmup.NAME)
    for (signature, inputs), count in ((one, 1), (whole, 3)):
        assert signature == "first"
        np.testing.assert_array_equal(inputs["a"], values[:count])
        assert inputs["a"].dtype == dtype
        assert len(inputs["b"]) == count


def test_a_request_without_a_signature_means_the_default():
    assert warmup.decode(b"2\x02\n\x00") == ("serving_default", {})
