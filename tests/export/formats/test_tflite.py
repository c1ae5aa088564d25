import functools
import json

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.backbones import BACKBONES
from tfdl.export.formats import tflite
from tfdl.tasks.classification import postprocess
from tfdl.training import inference

MODELS = {"lenet5": ((28, 28, 1), 1.0), "resnet18": ((32, 32, 3), 0.125)}
ROWS = {
    name: tf.constant(np.random.default_rng(0).random((4, *shape), np.float32))
    for name, (shape, _) in MODELS.items()
}


def write(base, name, quantization, **changed):
    shape, width = MODELS[name]
    arguments = {
        "build": functools.partial(
            postprocess.signatures,
            class_names=("ant", "bee", "cat"),
            image_shape=shape,
            multi_label=False,
        ),
        "examples": {"images": ROWS[name]},
        "quantization": quantization,
        "calibration": ROWS[name],
        "measure": None,
    }
    infer = inference.compiled(BACKBONES[name](shape, 3, width=width))
    return tflite.write(base / name, infer, **(arguments | changed))


def load(path):
    return tf.lite.Interpreter(model_content=path.read_bytes())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("quantization", "file", "limit"),
    [
        ("none", "{}.tflite", 1e-5),
        ("float16", "{}-float16.tflite", 1e-2),
        ("int8", "{}-int8.tflite", 0.1),
    ],
)
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_a_file_answers_as_the_model_and_says_how_well(
    tmp_path, name, quantization, file, limit
):
    path = write(tmp_path, name, quantization)
    assert path == tmp_path / name / file.format(name)
    report = json.loads(path.with_name(f"{path.name}.json").read_text())
    assert report["outputs"].keys() == {"probabilities", "class_id"}
    assert report["outputs"]["probabilities"]["max_abs_difference"] <= limit
    assert report["num_examples"] == 4
    assert report["bytes"] == path.stat().st_size
    assert report["quantization"] == quantization

    runner = load(path).get_signature_runner("serve_tensor")
    details = runner.get_input_details()["images"]
    assert details["dtype"] == np.float32
    for count in (1, 3):
        answered = runner(images=ROWS[name][:count].numpy())
        assert answered["probabilities"].dtype == np.float32
        assert answered["probabilities"].shape == (count, 3)
        assert answered["class_id"].shape == (count,)
    names = [f.name for f in path.parent.iterdir()]
    assert sorted(names) == [path.name, f"{path.name}.json"]


def test_whole_numbers_need_pictures(tmp_path):
    with pytest.raises(errors.UsageError, match="needs pictures"):
        write(tmp_path, "lenet5", "int8", calibration=tf.zeros([0, 28, 28, 1]))


def test_both_are_measured(tmp_path):
    def measure(signatures):
        answered = signatures["serve_tensor"](images=ROWS["lenet5"])
        return {"mean": float(np.mean(answered["probabilities"][:, 0]))}

    path = write(tmp_path, "lenet5", "none", measure=measure)
    report = json.loads(path.with_name(f"{path.name}.json").read_text())
    memory, served = (report["metrics"][n]["mean"] for n in ("in_memory", "served"))
    assert memory == pytest.approx(served, abs=1e-5)
