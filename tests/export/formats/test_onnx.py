import functools
import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.backbones import BACKBONES
from tfdl.export.formats import onnx
from tfdl.tasks.classification import postprocess
from tfdl.training import inference

MODELS = {
    "lenet5": ((28, 28, 1), 1.0),
    "resnet18": ((32, 32, 3), 0.125),
    "resnext50_32x4d": ((32, 32, 3), 0.125),
}


def write(base, name, images):
    shape, width = MODELS[name]
    return onnx.write(
        base / name,
        inference.compiled(BACKBONES[name](shape, 3, width=width)),
        build=functools.partial(
            postprocess.signatures,
            class_names=("ant", "bee", "cat"),
            image_shape=shape,
            multi_label=False,
        ),
        examples={"images": images},
        measure=None,
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_file_answers_as_the_model(tmp_path, name):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    shape, _ = MODELS[name]
    images = np.random.default_rng(0).random((4, *shape), np.float32)
    path = write(tmp_path, name, tf.constant(images))
    assert path == tmp_path / name / f"{name}.onnx"
    report = json.loads(path.with_name(f"{path.name}.json").read_text())
    figures = report["outputs"]["probabilities"]
    assert figures["max_abs_difference"] <= 1e-5
    assert figures["max_abs_difference_single"] <= 1e-5

    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["images"]
    for count in (1, 3):
        (answered,) = session.run(["probabilities"], {"images": images[:count]})
        assert answered.shape == (count, 3)


def test_missing_packages_are_named_with_what_brings_them(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(errors.UsageError, match="package tf2onnx") as caught:
        write(tmp_path, "lenet5", tf.zeros([2, 28, 28, 1]))
    assert caught.value.remedy == "pip install 'tfdl[onnx]'"
