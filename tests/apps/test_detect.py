import importlib.util
import io
import json
import pathlib
import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.data import synthetic
from tfdl.tasks.detection import formats
from tfdl.training import cli

APP = pathlib.Path(__file__).parents[2] / "apps" / "detect.py"
SMALL = ("train", "--preset", "tiny", "--num-examples", "60", "--epochs", "11")
SIZES = {"one_pixel.png": (1, 1), "long.png": (20, 8000), "odd.jpg": (61, 37)}


@pytest.fixture(scope="module")
def app():
    """Import the script as a module."""
    specification = importlib.util.spec_from_file_location("detect", APP)
    module = importlib.util.module_from_spec(specification)
    sys.modules["detect"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run_app(app):
    def run(*arguments):
        return cli.main(
            app.VERBS,
            app.__doc__,
            presets=app.PRESETS,
            task="detect",
            arguments=[str(argument) for argument in arguments],
        )

    return run


@pytest.fixture(scope="module")
def trained(run_app, tmp_path_factory):
    """Train and export once, with mosaic -> (run, export, cache)."""
    folder = tmp_path_factory.mktemp("trained")
    run, cache = folder / "run", folder / "cache"
    tiny = ["--preset", "tiny", "--run", run]
    small = ["--image-size", 64, "--num-examples", 80, "--width", 0.25]
    mixed = ["--mix", "mosaic", "--plain-epochs", 1]
    assert run_app("train", *tiny, *small, *mixed, "--cache-dir", cache) == 0
    assert run_app("evaluate", *tiny) == 0
    assert run_app("export", *tiny, "--base", folder / "exports") == 0
    return run, folder / "exports" / "run" / "1", cache


def test_training_leaves_everything_that_a_person_wants_to_see(trained):
    run, _, _ = trained
    expected = (
        *("config.json", "env.json", "steps.csv", "metrics.csv"),
        *("best.weights.h5", "eval/metrics.json", "eval/per_class.csv"),
        *("plots/loss.png", "plots/class_loss.png", "plots/AP.png"),
        *("plots/confusion_matrix.png", "samples/train_batch.png"),
    )
    for name in expected:
        assert (run / name).stat().st_size > 0, name
    assert list(run.glob("events/*/events.out.tfevents.*"))


def test_metrics_are_coco_s_with_their_number_of_pictures(trained):
    run, _, _ = trained
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert 0 <= metrics["AP"] <= metrics["AP50"] <= 1
    assert metrics["num_examples"] == 8
    low, high = metrics["AP50_interval"]
    assert low <= high


def test_the_export_has_the_precision_that_evaluate_wrote(trained):
    run, export, _ = trained
    report = json.loads((export / "assets.extra" / "parity.json").read_text())
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    served = report["metrics"]["served"]
    assert abs(served["AP"] - metrics["AP"]) <= 1e-4
    assert set(report["signatures"]) == {
        "serving_default",
        "serve_tuned",
        "serve_tensor",
    }
    assert (export / "assets.extra" / "labels.txt").read_text().splitlines()


def encoded(name, width, height):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    written = io.BytesIO()
    kind = "JPEG" if name.endswith("jpg") else "PNG"
    PIL.Image.fromarray(pixels).save(written, kind)
    return written.getvalue()


def test_the_export_answers_pictures_of_any_size_in_their_own_pixels(trained):
    _, export, _ = trained
    answer = tf.saved_model.load(str(export)).signatures["serving_default"]
    files = [encoded(name, *size) for name, size in SIZES.items()]
    found = answer(image_bytes=tf.constant(files))
    assert found["boxes"].shape == (3, 100, 4)
    for row, (width, height) in enumerate(SIZES.values()):
        count = int(found["num_detections"][row])
        boxes = found["boxes"][row].numpy()
        assert (found["labels"][row].numpy()[count:] == -1).all()
        assert (boxes >= 0).all()
        assert boxes[:, [0, 2]].max(initial=0) <= width
        assert boxes[:, [1, 3]].max(initial=0) <= height


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (("tflite",), "run.tflite"),
        (("tflite", "--quantization", "float16"), "run-float16.tflite"),
        (("onnx",), "run.onnx"),
    ],
)
def test_files_for_other_runtimes_have_the_precision_of_the_network(
    run_app, trained, tmp_path, flags, name
):
    run, _, _ = trained
    assert run_app("export", "--run", run, "--base", tmp_path, "--format", *flags) == 0
    report = json.loads((tmp_path / "run" / f"{name}.json").read_text())
    assert report["num_examples"] == 8
    metrics = report["metrics"]
    limit = 1e-2 if "float16" in flags else 1e-4
    assert abs(metrics["served"]["AP"] - metrics["in_memory"]["AP"]) <= limit


def test_predict_draws_every_picture_and_writes_coco_s_form(run_app, trained, tmp_path):
    run, _, _ = trained
    for name, size in SIZES.items():
        (tmp_path / name).write_bytes(encoded(name, *size))
    assert run_app("predict", "--run", run, tmp_path) == 0
    rows = json.loads((run / "predictions.json").read_text())
    for row in rows:
        assert row["file_name"].startswith(str(tmp_path))
        assert len(row["bbox"]) == 4
        assert 0 <= row["score"] <= 1
    assert list((run / "samples").glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("train", "--model", "yolov9"), 2, "--model yolov9"),
        (("train", "--backbone", "resnet19"), 2, "--backbone resnet19"),
        (("train", "--data", "coco:nowhere"), 3, "nowhere"),
        (("train", "--data", "pascal:x"), 2, "pascal"),
        (("train", "--score-threshold", "2"), 2, "--score-threshold"),
        (("train", "--preset", "tiny", "--image-size", "100"), 2, "--image-size"),
        (("train", "--preset", "tiny", "--mix", "mosaic"), 2, "--epochs"),
        ((*SMALL, "--mix", "mosaic", "--batch-size", "4"), 2, "--batch-size 4"),
        (("convert", "--data", "voc:nowhere", "--to", "coco:x"), 3, "nowhere"),
    ],
)
def test_a_mistake_gives_two_lines_that_name_it_and_its_exit_code(
    run_app, tmp_path, monkeypatch, capsys, arguments, code, named
):
    monkeypatch.chdir(tmp_path)
    assert (
        run_app(*arguments, *(["--cache-dir", tmp_path] * ("train" in arguments)))
        == code
    )
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 2
    assert said[0].startswith("error:")
    assert named in said[0]
    assert said[1].startswith("remedy:")


def test_a_data_set_is_converted_and_trained_on_in_another_form(
    run_app, tmp_path, monkeypatch
):
    """From drawings in COCO's form by way of YOLO's to VOC's: the same boxes."""
    monkeypatch.chdir(tmp_path)
    write_coco(tmp_path / "first", drawings(3))
    assert (
        run_app(
            "convert", "--data", f"coco:{tmp_path / 'first'}", "--to", "yolo:second"
        )
        == 0
    )
    yolo = f"yolo:{tmp_path / 'second'}"
    assert run_app("convert", "--data", yolo, "--to", "voc:third") == 0
    first, third = (
        module.read(tmp_path / name).splits["train"]
        for module, name in (
            (formats.FORMATS["coco"], "first"),
            (formats.FORMATS["voc"], "third"),
        )
    )
    for picture, other in zip(first, third, strict=True):
        np.testing.assert_array_equal(
            picture.boxes.astype(np.float32), other.boxes.astype(np.float32)
        )


def drawings(count, *, seed=0):
    """Draw pictures -> [(pixels, boxes, labels)]."""
    drawn = [
        synthetic.draw(np.random.default_rng([seed, n]), image_size=48, max_objects=3)
        for n in range(count)
    ]
    return [(each["image"], each["boxes"], each["labels"]) for each in drawn]


def write_coco(folder, pictures, split="train"):
    """Write pictures in COCO's form."""
    (folder / split).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    names = synthetic.CLASS_NAMES
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(names)],
    }
    for number, (image, boxes, labels) in enumerate(pictures, start=1):
        height, width, _ = image.shape
        name = f"{number}.png"
        PIL.Image.fromarray(image).save(folder / split / name)
        content["images"].append(
            {"id": number, "file_name": name, "width": width, "height": height}
        )
        for (left, top, right, bottom), label in zip(
            np.asarray(boxes).tolist(), np.asarray(labels).tolist(), strict=True
        ):
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": 0,
                }
            )
    file = folder / "annotations" / f"instances_{split}.json"
    file.write_text(json.dumps(content))


def odd_pictures(*, seed):
    """Draw what may be in a data set: nothing, 500 objects, 1 x 1 and 8000 x 20."""
    random = np.random.default_rng(seed)

    def noise(height, width):
        return random.integers(0, 256, (height, width, 3), np.uint8)

    low = random.uniform(0, 100, (500, 2))
    many = np.concatenate([low, low + random.uniform(4, 20, (500, 2))], axis=1)
    return [
        (np.full((64, 64, 3), 100 + seed, np.uint8), np.zeros((0, 4)), []),
        (noise(128, 128), many, random.integers(0, 10, 500)),
        (noise(1, 1), [[0, 0, 1, 1]], [3]),
        (noise(20, 8000), [[100, 2, 180, 18], [7000, 0, 7030, 20]], [1, 2]),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        ("--width", 0.25),
        ("--model", "faster_rcnn", "--backbone", "resnet18", "--width", 0.125),
    ],
)
def test_odd_pictures_are_trained_on_evaluated_and_served(run_app, tmp_path, model):
    data, run = tmp_path / "data", tmp_path / "run"
    for seed, (split, count) in enumerate({"train": 12, "val": 4, "test": 4}.items()):
        pictures = odd_pictures(seed=seed) + drawings(count, seed=seed)
        write_coco(data, pictures, split=split)
    flags = ["--data", f"coco:{data}", "--image-size", 64, "--batch-size", 8]
    flags += [*model, "--epochs", 2, "--plain-epochs", 1, "--mix", "mosaic"]
    assert run_app("train", *flags, "--run", run, "--cache-dir", tmp_path) == 0
    assert run_app("evaluate", "--run", run) == 0
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert metrics["num_examples"] == 8
    assert metrics["num_objects"] >= 500
    assert run_app("export", "--run", run, "--base", tmp_path / "exports") == 0
    assert run_app("predict", "--run", run, data / "test") == 0
