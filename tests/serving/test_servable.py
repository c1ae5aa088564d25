import shutil

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.serving import failures, servable


def test_a_signature_computes_what_the_function_in_memory_does(loaded):
    signature = loaded["half_plus_two"].signatures["serving_default"]
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(signature.run({"x": x})["y"], 0.5 * x + 2, atol=1e-6)


def test_inputs_have_their_shapes_and_types(loaded):
    inputs = loaded["two_inputs"].signatures["serving_default"].inputs
    assert list(inputs) == ["a", "b"]
    assert inputs["a"].shape.as_list() == [None, 2]
    assert inputs["b"].dtype == tf.float32


def test_a_wrong_shape_is_a_failure_of_the_request(loaded):
    signature = loaded["two_inputs"].signatures["serving_default"]
    given = {"a": np.zeros((1, 3), np.float32), "b": np.zeros(1, np.float32)}
    with pytest.raises(failures.Failure, match=r'"a" expects shape \[-1,2\]') as caught:
        signature.run(given)
    assert str(caught.value).endswith("but got: [1,3]")
    assert caught.value.status == 400


def test_an_empty_batch_is_computed(loaded):
    signature = loaded["words"].signatures["serving_default"]
    empty = signature.run({"text": np.zeros(0, np.object_)})["echo"]
    assert (empty.shape, empty.dtype) == ((0,), np.object_)


def test_the_largest_number_is_the_newest_version(tmp_path):
    for name in ("1", "9", "10", "0011", "x12", ".tmp-13-7", "-14", "1e9", "٣٤"):
        (tmp_path / name).mkdir()
    (tmp_path / "99").write_text("a file")
    (tmp_path / str(2**63)).mkdir()
    found = servable.newest_version(tmp_path, name="m")
    assert found == (11, tmp_path / "0011")


def test_a_version_that_is_there_twice_is_said_once(tmp_path, caplog):
    for name in ("7", "007"):
        (tmp_path / name).mkdir()
    assert servable.newest_version(tmp_path, name="m")[0] == 7
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_base_path_without_versions_is_an_error(tmp_path):
    (tmp_path / ".tmp-1-2").mkdir()
    message = "No versions of servable m found under base path .* Did you forget to"
    with pytest.raises(errors.ModelFileError, match=message) as caught:
        servable.newest_version(tmp_path, name="m")
    assert "(eg. '/1/')?" in str(caught.value)


def test_a_base_path_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(errors.ModelFileError, match="is not a folder"):
        servable.newest_version(tmp_path / "none", name="m")


@pytest.mark.parametrize("damage", ["missing", "cut", "noise", "variables", "empty"])
def test_a_damaged_version_is_an_error(bases, tmp_path, damage):
    folder = tmp_path / "1"
    shutil.copytree(bases / "half_plus_two" / "123", folder)
    graph = folder / "saved_model.pb"
    if damage == "missing":
        graph.unlink()
    elif damage == "cut":
        graph.write_bytes(graph.read_bytes()[:1000])
    elif damage == "noise":
        graph.write_bytes(b"\xff" * 1000)
    elif damage == "empty":
        graph.write_bytes(b"")
    else:
        shutil.rmtree(folder / "variables")
    with pytest.raises(errors.ModelFileError, match="cannot be loaded"):
        servable.load(folder, name="m", version=1)
