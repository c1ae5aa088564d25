"""Drawings through all verbs, and pictures that are odd."""

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

APP = pathlib.Path(__file__).parents[2] / "apps" / "segment_instances.py"


@pytest.fixture(scope="module")
def run_app():
    """Import the script as a module -> a function that runs it in this process."""
    specification = importlib.util.spec_from_file_location("segment_instances", APP)
    app = importlib.util.module_from_spec(specification)
    sys.modules["segment_instances"] = app  # dataclasses look their module up
    specification.loader.exec_module(app)

    def run(*arguments):
        return cli.main(
            app.VERBS,
            app.__doc__,
            presets=app.PRESETS,
            task="segment_instances",
            arguments=[str(argument) for argument in arguments],
        )

    return run


@pytest.fixture(scope="module")
def trained(run_app, tmp_path_factory):
    """Train, evaluate and export once -> (run, export)."""
    folder = tmp_path_factory.mktemp("trained")
    run = folder / "run"
    tiny = ["--preset", "tiny", "--run", run]
    assert run_app("train", *tiny, "--cache-dir", folder / "cache") == 0
    assert run_app("evaluate", "--run", run) == 0
    assert run_app("export", "--run", run, "--base", folder / "exports") == 0
    return run, folder / "exports" / "run" / "1"


@pytest.mark.slow
def test_training_leaves_everything_that_a_person_wants_to_see(trained):
    run, _ = trained
    expected = (
        *("config.json", "steps.csv", "metrics.csv", "best.weights.h5"),
        *("eval/metrics.json", "eval/per_class.csv", "samples/train_batch.png"),
        *("plots/mask_loss.png", "plots/AP.png", "plots/confusion_matrix.png"),
    )
    for name in expected:
        assert (run / name).stat().st_size > 0, name
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert 0 <= metrics["AP"] <= metrics["AP50"] <= 1
    assert 0 <= metrics["mean_precision"] <= 1


@pytest.mark.slow
def test_the_export_has_the_precision_that_evaluate_wrote(trained):
    run, export = trained
    report = json.loads((export / "assets.extra" / "parity.json").read_text())
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert abs(report["metrics"]["served"]["AP"] - metrics["AP"]) <= 1e-4
    assert set(report["signatures"]) == {"serving_default", "serve_tensor"}


@pytest.mark.slow
def test_pictures_of_any_size_are_answered_in_their_own_pixels(trained):
    answer = tf.saved_model.load(str(trained[1])).signatures["serving_default"]
    sizes = [(1, 1), (20, 300), (61, 37)]
    files = []
    for size in sizes:
        written = io.BytesIO()
        PIL.Image.effect_noise(size, 50).convert("RGB").save(written, "PNG")
        files.append(written.getvalue())
    found = answer(image_bytes=tf.constant(files))
    for row, (width, height) in enumerate(sizes):
        drawn = tf.io.decode_png(found["instance_map_bytes"][row], dtype=tf.uint16)
        assert drawn.shape == (height, width, 1)
        assert np.all(found["boxes"][row] <= [width, height, width, height])


@pytest.mark.slow
def test_predict_writes_runs_and_pictures(run_app, trained, tmp_path):
    run, _ = trained
    for number in range(2):
        PIL.Image.effect_noise((40, 30), 50).save(tmp_path / f"{number}.png")
    assert run_app("predict", "--run", run, tmp_path) == 0
    assert len(list((run / "samples").glob("answer_*.png"))) == 2
    for row in json.loads((run / "predictions.json").read_text()):
        assert row["segmentation"]["size"] == [30, 40]


def write_example(folder, masks, size):
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    noise = np.random.default_rng(len(masks)).integers(0, 256, (*size, 3), np.uint8)
    PIL.Image.fromarray(noise).save(folder / "images" / "picture.png")
    for number, mask in enumerate(masks):
        values = (mask * 255).astype(np.uint8)
        PIL.Image.fromarray(values).save(folder / "masks" / f"{number:03d}.png")


@pytest.mark.slow
def test_none_four_hundred_and_a_single_pixel(run_app, tmp_path):
    """Trained on, evaluated, exported and served."""
    size = (60, 60)
    grid = np.zeros((400, *size), bool)
    for number, mask in enumerate(grid):
        row, column = divmod(number, 20)
        mask[3 * row : 3 * row + 2, 3 * column : 3 * column + 2] = True
    pixel = np.zeros((1, *size), bool)
    pixel[0, 30, 31] = True
    odd = {"none": grid[:0], "many": grid, "pixel": pixel}
    for split in ("train", "val", "test"):
        for number, (name, masks) in enumerate(odd.items()):
            side = (size[0], size[1] + ["train", "val", "test"].index(split))
            masks = np.pad(masks, [(0, 0), (0, 0), (0, side[1] - size[1])])
            write_example(tmp_path / "data" / split / f"{number}{name}", masks, side)
    run = tmp_path / "run"
    flags = ["--data", f"instances:{tmp_path / 'data'}", "--image-size", 64]
    flags += ["--backbone", "resnet18", "--width", 0.125, "--batch-size", 3]
    flags += ["--epochs", 1, "--max-detections", 400, "--run", run]
    assert run_app("train", *flags, "--cache-dir", tmp_path / "cache") == 0
    assert run_app("evaluate", "--run", run) == 0
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert metrics["num_objects"] == 401
    assert run_app("export", "--run", run, "--base", tmp_path / "exports") == 0
