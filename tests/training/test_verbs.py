import pathlib

import keras
import pytest
import tyro

from tfdl import errors
from tfdl.training import precision, verbs


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
        ({"base": pathlib.Path(__file__)}, "--base"),
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
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)

    def restore(*, number_format):
        precision.use(number_format)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        return "flags", "names", model

    model = restore(number_format=trained)[-1]
    options = verbs.Export(run=pathlib.Path("run"), **values)
    network = options.network(model, restore)
    assert network.layers[-1].compute_dtype == computed
    assert (network is model) == (trained == computed)


@pytest.mark.parametrize(
    ("values", "computed"),
    [
        ({}, {"float32", "bfloat16"}),
        ({"format": "tflite"}, {"float32"}),
        ({"precision": "float32"}, {"float32"}),
        ({"precision": "bfloat16"}, {"bfloat16"}),
    ],
)
@pytest.mark.parametrize("trained", [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_all_members_of_an_ensemble_get_the_precision_that_is_asked_for(
    monkeypatch, values, computed, trained
):
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)

    def restore(*, number_format):
        inputs = keras.Input((2,))
        outputs = []
        for own in trained:
            precision.use(own if number_format == "as_trained" else number_format)
            outputs.append(keras.layers.Dense(1)(inputs))
        return "flags", "names", keras.Model(inputs, outputs)

    model = restore(number_format="as_trained")[-1]
    options = verbs.Export(run=pathlib.Path("run"), **values)
    network = options.network(model, restore)
    members = [each for each in network.layers if isinstance(each, keras.layers.Dense)]
    assert {each.compute_dtype for each in members} == computed


@pytest.mark.parametrize("kind", [verbs.Evaluate, verbs.Predict, verbs.Export])
def test_members_make_the_folder_of_the_run_and_none_leave_it(
    monkeypatch, kind, tmp_path
):
    gathered = []
    monkeypatch.setattr(verbs.ensembles, "gather", lambda *what: gathered.append(what))
    paths = {"paths": ()} if kind is verbs.Predict else {}
    options = kind(run=tmp_path, members=(tmp_path / "a",), **paths)
    assert options.opened() == tmp_path
    assert gathered == [(tmp_path, (tmp_path / "a",))]
    assert kind(run=tmp_path, **paths).members == ()


def test_several_members_follow_one_flag():
    found = tyro.cli(
        verbs.Export, args=["--run", "new", "--members", "a", "b/c", "--skip-metric"]
    )
    assert found.members == (pathlib.Path("a"), pathlib.Path("b/c"))
