import pathlib

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.training import verbs


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_a_human_error_that_is_no_share_is_refused(value):
    assert verbs.Evaluate(pathlib.Path("run")).human_error is None
    assert verbs.Evaluate(pathlib.Path("run"), human_error=0.0).human_error == 0
    with pytest.raises(errors.UsageError, match="--human-error must be in"):
        verbs.Evaluate(pathlib.Path("run"), human_error=value)


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"quantization": "int8"}, "--quantization int8"),
        ({"format": "onnx", "quantization": "float16"}, "--quantization float16"),
        ({"format": "tflite", "precision": "bfloat16"}, "--precision bfloat16"),
        ({"format": "onnx", "precision": "bfloat16"}, "--precision bfloat16"),
        (
            {"format": "tflite", "quantization": "int8", "skip_metric": True},
            "--quantization int8",
        ),
    ],
)
def test_flags_of_an_export_that_do_not_go_together_are_refused(values, flag):
    with pytest.raises(errors.UsageError, match=flag) as caught:
        verbs.Export(run=pathlib.Path("run"), **values)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("values", "trained", "computed"),
    [
        ({}, "bfloat16", "bfloat16"),
        ({}, "float32", "float32"),
        ({"precision": "float32"}, "bfloat16", "float32"),
        ({"precision": "bfloat16"}, "float32", "bfloat16"),
        ({"format": "onnx"}, "bfloat16", "float32"),
        ({"format": "tflite", "quantization": "int8"}, "bfloat16", "float32"),
    ],
)
def test_an_exports_precision_is_the_runs_unless_another_is_asked_for(
    monkeypatch, values, trained, computed
):
    monkeypatch.setattr(verbs.precision, "_has_bfloat16", lambda: True)

    def build():
        return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    verbs.precision.use(trained)
    model = build()
    options = verbs.Export(run=pathlib.Path("run"), **values)
    network = options.network(model, trained=trained, build=build)
    assert network.layers[-1].compute_dtype == computed
    assert (network is model) == (trained == computed)
    np.testing.assert_array_equal(network.get_weights()[0], model.get_weights()[0])
