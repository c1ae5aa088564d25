import keras
import pytest

from tfdl import errors
from tfdl.training import precision


def test_bfloat16_computes_in_it_and_keeps_weights_in_float32(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    precision.use("bfloat16")
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    assert (layer.compute_dtype, layer.kernel.dtype) == ("bfloat16", "float32")
    precision.use("float32")
    assert keras.layers.Dense(2).compute_dtype == "float32"


def test_a_cpu_without_its_instructions_is_refused(monkeypatch):
    monkeypatch.setattr(precision.pathlib.Path, "read_text", lambda _: "flags : avx2")
    with pytest.raises(errors.ResourceError, match="--precision bfloat16") as caught:
        precision.use("bfloat16")
    assert caught.value.remedy == "use --precision float32"
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_either_instruction_set_is_enough(monkeypatch, flag):
    monkeypatch.setattr(precision.pathlib.Path, "read_text", lambda _: f"avx2 {flag}")
    precision.use("bfloat16")
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


def test_a_machine_that_does_not_tell_is_trusted(monkeypatch):
    def fail(_):
        raise FileNotFoundError

    monkeypatch.setattr(precision.pathlib.Path, "read_text", fail)
    precision.use("bfloat16")
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
