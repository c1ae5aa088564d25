import csv
import importlib.util
import io
import json
import pathlib
import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.data import images as reading
from tfdl.tasks.segmentation import data, postprocess
from tfdl.training import cli, session

APP = pathlib.Path(__file__).parents[2] / "apps" / "segment.py"
SIZES = {"one_pixel.png": (1, 1), "long.png": (20, 900), "odd.jpg": (37, 201)}
SMALL = ("--image-size", "32", "--num-examples", "60", "--width", "0.0625")
SMALL += ("--tile-size", "64", "--overlap", "32")
LEARNING = ("--epochs", "4", "--class-weights", "inverse", "--normalization", "batch")


@pytest.fixture(scope="module")
def app():
    """Import the script as a module."""
    specification = importlib.util.spec_from_file_location("segment", APP)
    module = importlib.util.module_from_spec(specification)
    sys.modules["segment"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run_app(app):
    def run(*arguments):
        return cli.main(
            app.VERBS,
            app.__doc__,
            presets=app.PRESETS,
            task="segment",
            arguments=[str(argument) for argument in arguments],
        )

    return run


@pytest.fixture(scope="module")
def trained(run_app, tmp_path_factory):
    """Train and export once -> (run, export)."""
    folder = tmp_path_factory.mktemp("trained")
    run, cache = folder / "run", folder / "cache"
    tiny = ["--preset", "tiny", "--run", run]
    assert run_app("train", *tiny, *SMALL, *LEARNING, "--cache-dir", cache) == 0
    assert run_app("evaluate", "--run", run) == 0
    assert run_app("export", "--run", run, "--base", folder / "exports") == 0
    return run, folder / "exports" / "run" / "1"


def test_training_leaves_everything_that_a_person_wants_to_see(trained):
    run, _ = trained
    expected = (
        *("config.json", "env.json", "steps.csv", "metrics.csv"),
        *("best.weights.h5", "eval/metrics.json", "eval/per_class.csv"),
        *("plots/loss.png", "plots/mean_iou.png", "plots/confusion_matrix.png"),
        *("samples/train_batch.png", "samples/worst.png"),
    )
    for name in expected:
        assert (run / name).stat().st_size > 0, name
    assert list(run.glob("events/*/events.out.tfevents.*"))


def test_the_export_has_the_overlap_that_evaluate_wrote(trained):
    run, export = trained
    report = json.loads((export / "assets.extra" / "parity.json").read_text())
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    with open(run / "eval" / "per_class.csv", newline="") as file:
        rates = [float(row["accuracy"] or 0) for row in csv.DictReader(file)]
    assert sum(rate > 0 for rate in rates) >= 2  # or any export would be equal
    assert metrics["num_examples"] == 6
    served = report["metrics"]["served"]
    assert abs(served["mean_iou"] - metrics["mean_iou"]) <= 1e-4
    assert set(report["signatures"]) == {"serving_default", "serve_tensor"}


def encoded(name, height, width, mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    written = io.BytesIO()
    kind = "JPEG" if name.endswith("jpg") else "PNG"
    PIL.Image.fromarray(pixels).convert(mode).save(written, kind)
    return written.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("size", [(37, 201), (1, 1)])
def test_the_export_equals_the_network_in_memory(app, trained, mode, size):
    run, export = trained
    config, names, model = session.restore(app.Config, run, app.build)
    served = tf.saved_model.load(str(export)).signatures
    content = tf.constant(encoded("a.png", *size, mode))
    images = data.prepare_image(reading.decode(content))[None]
    expected = postprocess.tiled_probabilities(
        lambda seen: model(seen, training=False),
        images,
        config.tiling,
        num_classes=len(names),
    ).numpy()
    found = served["serve_tensor"](images=images)["probabilities"].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    packed = served["serving_default"](image_bytes=content[None])["label_map_bytes"][0]
    label_map = tf.io.decode_png(packed)[..., 0].numpy()
    first, second = np.sort(expected[0], axis=-1)[..., :-3:-1].transpose(2, 0, 1)
    is_sure = first - second > 1e-4
    assert is_sure.any()
    np.testing.assert_array_equal(label_map[is_sure], expected[0].argmax(-1)[is_sure])


def test_onnx_sees_pictures_whole_and_tflite_is_refused(
    run_app, trained, tmp_path, capsys
):
    run, _ = trained
    how = ("export", "--run", run, "--base", tmp_path, "--format")
    assert run_app(*how, "tflite") == 2
    assert "error: --format tflite" in capsys.readouterr().err
    assert run_app(*how, "onnx") == 0
    report = json.loads((tmp_path / "run" / "run.onnx.json").read_text())
    metrics = report["metrics"]
    served, expected = metrics["served"], metrics["in_memory"]
    assert abs(served["mean_iou"] - expected["mean_iou"]) <= 1e-4


def test_the_export_answers_pictures_of_any_size_by_maps_of_that_size(trained):
    _, export = trained
    answer = tf.saved_model.load(str(export)).signatures["serving_default"]
    files = [encoded(name, *size) for name, size in SIZES.items()]
    found = answer(image_bytes=tf.constant(files))["label_map_bytes"].numpy()
    names = (export / "assets" / "labels.txt").read_text().splitlines()
    for content, size in zip(found, SIZES.values(), strict=True):
        label_map = tf.io.decode_png(content)
        assert label_map.shape == (*size, 1)
        assert tf.reduce_max(label_map) < len(names)


def test_predict_writes_maps_colours_and_shares(run_app, trained, tmp_path):
    run, _ = trained
    for name, size in SIZES.items():
        (tmp_path / name).write_bytes(encoded(name, *size))
    assert run_app("predict", "--run", run, tmp_path) == 0
    for number, name in enumerate(sorted(SIZES), start=1):
        stem = f"{number:02d}_{pathlib.Path(name).stem}"
        with PIL.Image.open(run / "predictions" / f"classes_{stem}.png") as written:
            assert written.size == SIZES[name][::-1]
        assert (run / "samples" / f"answer_{stem}.png").exists()
    lines = (run / "predictions.csv").read_text().splitlines()
    assert len(lines) == 1 + len(SIZES)


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (("--model", "unets"), 2, "--model unets"),
        (("--backbone", "resnet19"), 2, "--backbone resnet19"),
        (("--loss", "hinge"), 2, "hinge"),
        (("--data", "masks:nowhere"), 3, "nowhere"),
        (("--data", "pascal:x"), 2, "pascal"),
        (("--tile-size", "100", "--overlap", "62"), 2, "--overlap 62"),
        (("--preset", "tiny", "--ignore", "3"), 2, "--ignore"),
    ],
)
def test_a_mistake_gives_two_lines_that_name_it_and_its_exit_code(
    run_app, tmp_path, monkeypatch, capsys, arguments, code, named
):
    monkeypatch.chdir(tmp_path)
    how = ("train", *arguments, "--cache-dir", tmp_path)
    assert run_app(*how) == code
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 2
    assert said[0].startswith("error:")
    assert named in said[0]
    assert said[1].startswith("remedy:")


def laid_out(folder, **maps):
    """Write ten pictures and label maps of sky and road; `maps` replaces some."""
    sound = np.arange(16 * 24, dtype=np.uint8).reshape(16, 24) % 2
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    (folder / "classes.txt").write_text("sky\nroad\n")
    for number in range(10):
        picture = np.full((16, 24, 3), number, np.uint8)
        PIL.Image.fromarray(picture).save(folder / "images" / f"p{number}.png")
        label_map = maps.get(f"p{number}", sound)
        if label_map is not None:
            file = folder / "masks" / f"p{number}.png"
            PIL.Image.fromarray(label_map).save(file)


@pytest.mark.parametrize(
    ("label_map", "said"),
    [
        (np.full((16, 24), 7, np.uint8), "7"),
        (np.zeros((16, 23), np.uint8), "16"),
        (None, "does not exist"),
    ],
    ids=["an unknown value", "another size", "missing"],
)
def test_a_bad_label_map_is_named(run_app, tmp_path, capsys, label_map, said):
    (tmp_path / "data").mkdir()
    laid_out(tmp_path / "data", p4=label_map)
    how = ("--data", f"masks:{tmp_path / 'data'}", "--cache-dir", tmp_path / "cache")
    assert run_app("train", *SMALL, *how, "--run", tmp_path / "run") == 3
    error, remedy = capsys.readouterr().err.strip().splitlines()
    assert error.startswith("error:")
    assert "p4.png" in error
    assert said in error
    assert remedy.startswith("remedy:")


def test_members_are_refused_before_anything_is_written(run_app, tmp_path, capsys):
    how = ("--run", tmp_path / "joined", "--members", tmp_path)
    assert run_app("evaluate", *how) == 2
    assert "error: --members" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_check_finds_nothing_wrong_with_drawings(run_app, tmp_path):
    run = tmp_path / "run"
    how = ("--preset", "tiny", *SMALL, "--cache-dir", tmp_path, "--run", run)
    assert run_app("check", *how) == 0
    rows = json.loads((run / "check" / "findings.json").read_text())
    verdicts = {row["name"]: row["verdict"] for row in rows}
    assert verdicts["loss at step 0"] == "pass"
    assert "fail" not in verdicts.values()
