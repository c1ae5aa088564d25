import importlib.util
import io
import json
import pathlib
import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.training import cli

APP = pathlib.Path(__file__).parents[2] / "apps" / "detect.py"
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


def test_predict_draws_every_picture_and_writes_coco_s_form(run_app, trained, tmp_path):
    run, _, _ = trained
    for name, size in SIZES.items():
        (tmp_path / name).write_bytes(encoded(name, *size))
    assert run_app("predict", "--run", run, tmp_path) == 0
    rows = json.loads((run / "predictions.json").read_text())
    for row in rows:
        assert row["image"].startswith(str(tmp_path))
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
        (("train", "--mix", "mosaic", "--batch-size", "4"), 2, "--batch-size 4"),
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
    from tfdl.data import synthetic
    from tfdl.tasks.detection import formats

    monkeypatch.chdir(tmp_path)
    write_coco(tmp_path / "first", synthetic)
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


def write_coco(folder, synthetic):
    """Write three drawings in COCO's form."""
    pictures = folder / "train"
    pictures.mkdir(parents=True)
    (folder / "annotations").mkdir()
    names = synthetic.CLASS_NAMES
    content = {
        "images": [],
        "annotations": [],
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(names)],
    }
    for number in range(1, 4):
        drawn = synthetic.draw(
            np.random.default_rng(number), image_size=48, max_objects=3
        )
        name = f"{number}.png"
        PIL.Image.fromarray(drawn["image"]).save(pictures / name)
        content["images"].append(
            {"id": number, "file_name": name, "width": 48, "height": 48}
        )
        for label, (left, top, right, bottom) in zip(
            drawn["labels"].tolist(), drawn["boxes"].tolist(), strict=True
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
    file = folder / "annotations" / "instances_train.json"
    file.write_text(json.dumps(content))
