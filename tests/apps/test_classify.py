import csv
import importlib.util
import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from tfdl.tasks.classification import data
from tfdl.training import cli, session

APP = pathlib.Path(__file__).parents[2] / "apps" / "classify.py"
SIZE = 32
# Runs where tfdl cannot be imported: answers to the pictures of a folder, as JSON.
STRANGER = """
import json, pathlib, sys
sys.modules["tfdl"] = None
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_default"]
files = sorted(pathlib.Path(sys.argv[2]).iterdir())
rows = [answer(image_bytes=tf.constant([f.read_bytes()])) for f in files]
batch = answer(image_bytes=tf.constant([f.read_bytes() for f in files]))
print(json.dumps({
    "names": [f.name for f in files],
    "single": [row["probabilities"][0].numpy().tolist() for row in rows],
    "batch": batch["probabilities"].numpy().tolist(),
    "class_names": [n.decode() for n in batch["class_name"].numpy()],
    "shapes": {k: v.shape.as_list() for k, v in batch.items()},
}))
"""


@pytest.fixture(scope="module")
def app():
    """Import the script as a module."""
    specification = importlib.util.spec_from_file_location("classify", APP)
    module = importlib.util.module_from_spec(specification)
    sys.modules["classify"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run_app(app):
    def run(*arguments):
        return cli.main(
            app.VERBS,
            app.__doc__,
            presets=app.PRESETS,
            task="classify",
            arguments=[str(argument) for argument in arguments],
        )

    return run


@pytest.fixture(scope="module")
def trained(run_app, tmp_path_factory):
    """Train and export once -> (run, exports, cache)."""
    folder = tmp_path_factory.mktemp("trained")
    run, cache = folder / "run", folder / "cache"
    tiny = ["--preset", "tiny", "--run", run]
    assert run_app("train", *tiny, "--cache-dir", cache) == 0
    assert run_app("evaluate", *tiny) == 0
    assert run_app("export", *tiny, "--base", folder / "exports") == 0
    return run, folder / "exports" / "run" / "1", cache


def test_training_leaves_everything_that_a_person_wants_to_see(trained):
    run, _, _ = trained
    expected = (
        *("config.json", "env.json", "steps.csv", "metrics.csv"),
        *("best.weights.h5", "best.weights.h5.sha256"),
        *("eval/metrics.json", "eval/per_class.csv"),
        *("plots/loss.png", "plots/accuracy.png", "plots/roc.png"),
        *("plots/confusion_matrix.png", "samples/train_batch.png"),
        "samples/predictions.png",
    )
    for name in expected:
        assert (run / name).stat().st_size > 0, name
    for picture in run.glob("*/*.png"):
        with PIL.Image.open(picture) as opened:
            assert opened.width >= 400
    assert list(run.glob("events/*/events.out.tfevents.*"))
    assert list(run.glob("checkpoints/step-*"))


def test_metrics_name_their_number_of_examples_and_interval(trained):
    run, _, _ = trained
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    low, high = metrics["accuracy_interval"]
    assert low <= metrics["accuracy"] <= high
    assert metrics["num_examples"] == 41  # a tenth of each class, rounded
    assert 0 <= metrics["roc_auc_macro"] <= 1


def pictures_of_every_kind(folder: pathlib.Path) -> None:
    random = np.random.default_rng(0)
    noise = PIL.Image.fromarray(random.integers(0, 256, (37, 61, 3), np.uint8))
    smooth = noise.resize((61, 37)).resize((90, 50))
    smooth.save(folder / "odd_size.png")
    smooth.convert("L").save(folder / "grey.png")
    smooth.convert("RGBA").save(folder / "alpha.png")
    noise.crop((0, 0, 1, 1)).save(folder / "one_pixel.png")
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    smooth.save(folder / "turned.jpg", exif=turned)
    smooth.save(folder / "plain.jpg")
    noise.resize((SIZE, SIZE)).save(folder / "right_size.png")
    smooth.save(folder / "windows.bmp")


def test_the_export_answers_a_stranger_as_the_model_in_memory_does(
    app, trained, tmp_path
):
    run, export, _ = trained
    pictures_of_every_kind(tmp_path)
    command = [sys.executable, "-c", STRANGER, str(export), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answered = json.loads(done.stdout)

    _, names, model = session.restore(app.Config, run, app.build)
    expected = []
    for name in answered["names"]:
        # Pillow decodes and turns; JPEG decoders differ by a level, so TensorFlow's.
        content = (tmp_path / name).read_bytes()
        if name.endswith(".jpg"):
            pixels = tf.io.decode_jpeg(content, 3).numpy()
            picture = PIL.Image.fromarray(pixels)
            orientation = PIL.Image.open(io.BytesIO(content)).getexif().get(0x0112, 1)
            picture.getexif()[0x0112] = orientation
            picture = PIL.ImageOps.exif_transpose(picture)
        else:
            picture = PIL.Image.open(io.BytesIO(content)).convert("RGB")
        image = data.prepare_image(
            tf.constant(np.asarray(picture)), image_size=SIZE, channels=3
        )
        logits = model(image[tf.newaxis], training=False)
        expected.append(tf.nn.softmax(logits)[0].numpy())
    np.testing.assert_allclose(answered["single"], expected, atol=1e-5)
    np.testing.assert_allclose(answered["batch"], expected, atol=1e-5)
    best = np.argmax(expected, axis=-1)
    assert answered["class_names"] == [names[index] for index in best]
    count = len(expected)
    assert answered["shapes"] == {
        "probabilities": [count, len(names)],
        "class_id": [count],
        "class_name": [count],
    }


def test_a_turned_picture_and_its_upright_copy_are_one_answer(trained, tmp_path):
    _, export, _ = trained
    ramp = np.linspace(0, 255, 40 * 60 * 3).reshape(40, 60, 3).astype("uint8")
    upright = PIL.Image.fromarray(ramp)
    turned = PIL.Image.Exif()
    turned[0x0112] = 3
    upright.save(tmp_path / "upright.png")
    upright.rotate(180).save(tmp_path / "turned.png", exif=turned)
    answer = tf.saved_model.load(str(export)).signatures["serving_default"]
    files = [(tmp_path / f"{name}.png").read_bytes() for name in ("upright", "turned")]
    first, second = answer(image_bytes=tf.constant(files))["probabilities"].numpy()
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_the_export_has_the_accuracy_that_evaluate_wrote(app, trained):
    run, export, _ = trained
    config, names, _ = session.restore(app.Config, run, app.build)
    test = data.read(**config.data.reading(), cache_bytes=0, multi_label=False)["test"]
    answer = tf.saved_model.load(str(export)).signatures["serving_default"]
    content = tf.constant([pathlib.Path(name).read_bytes() for name in test.names])
    guesses = answer(image_bytes=content)["class_id"].numpy()
    metrics = json.loads((run / "eval" / "metrics.json").read_text())
    assert np.mean(guesses == test.labels) == metrics["accuracy"]
    assert (export / "assets" / "labels.txt").read_text().split() == list(names)


def test_predict_writes_a_row_and_a_picture_for_every_file(run_app, trained, tmp_path):
    run, export, _ = trained
    pictures_of_every_kind(tmp_path)
    assert run_app("predict", "--run", run, tmp_path) == 0
    with open(run / "predictions.csv", newline="") as file:
        rows = {pathlib.Path(row["file"]).name: row for row in csv.DictReader(file)}
    assert rows.keys() == {path.name for path in tmp_path.iterdir()}
    answer = tf.saved_model.load(str(export)).signatures["serving_default"]
    content = tf.constant([(tmp_path / "plain.jpg").read_bytes()])
    served = answer(image_bytes=content)["class_name"].numpy()[0].decode()
    assert rows["plain.jpg"]["class"] == served
    assert (run / "samples" / "answers.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "culprit"),
    [
        (["trian"], 2, "did you mean train"),
        (["train", "--modle", "lenet5"], 2, "--modle"),
        (["train", "--model", "resnet19"], 2, "did you mean resnet18"),
        (["train", "--preset", "mnst"], 2, "did you mean mnist"),
        (["train", "--batch-size", "many"], 2, "--batch-size"),
        (["train", "--batch-size", "100000"], 2, "--batch-size 100000"),
        (["train", "--on-bad-data", "ignore"], 2, "--on-bad-data"),
        (["train", "--learning-rate", "-1"], 2, "--learning-rate"),
        (["train", "--data", "floder:x"], 2, "did you mean folder"),
        (["train", "--data", "folder:no/such/place"], 3, "no/such/place"),
        (["train", "--data", "mnist:."], 3, "train-images-idx3-ubyte"),
        (["train", "--optimizer", "adma"], 2, "--optimizer adma"),
        (["train", "--schedule", "cosin"], 2, "--schedule cosin"),
        (["train", "--strategy", "mirored"], 2, "--strategy mirored"),
        (["train", "--weights", "no.weights.h5"], 4, "no.weights.h5"),
        (["train", "--freeze", "no_layer"], 2, "--freeze no_layer"),
        (["evaluate"], 2, "--run"),
        (["evaluate", "--run", "no/such/run"], 4, "no/such/run"),
        (["predict", "--run", "RUN", "no.jpg"], 3, "no.jpg"),
    ],
)
def test_a_mistake_gives_two_lines_that_name_it_and_its_exit_code(
    run_app, trained, tmp_path, capsys, monkeypatch, arguments, code, culprit
):
    run, _, cache = trained
    monkeypatch.chdir(tmp_path)
    arguments = [str(run) if argument == "RUN" else argument for argument in arguments]
    if arguments[0] == "train":
        if "--preset" not in arguments:
            arguments += ["--preset", "tiny"]
        arguments += ["--cache-dir", str(cache)]
    assert run_app(*arguments) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2, lines
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("remedy: ")
    assert culprit.lower() in " ".join(lines).lower()


def class_folders(folder: pathlib.Path, *, count: int) -> None:
    """Write two classes of pictures that differ in brightness."""
    random = np.random.default_rng(1)
    for name, low in (("dark", 0), ("light", 128)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(low, low + 128, (20, 24, 3), np.uint8)
            PIL.Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.mark.parametrize("kind", ["truncated", "text", "empty", "huge"])
def test_a_broken_picture_is_named_or_skipped(run_app, tmp_path, capsys, kind):
    class_folders(tmp_path / "data", count=30)
    broken = tmp_path / "data" / "dark" / "broken.png"
    whole = (tmp_path / "data" / "dark" / "0.png").read_bytes()
    if kind == "huge":
        with PIL.Image.new("1", (20000, 20000)) as picture:
            picture.save(broken)
    else:
        broken.write_bytes(
            {"truncated": whole[: len(whole) // 2], "text": b"hello", "empty": b""}[
                kind
            ]
        )
    flags = ["--preset", "tiny", "--data", f"folder:{tmp_path / 'data'}"]
    flags += ["--cache-dir", tmp_path / "cache", "--run", tmp_path / "run"]
    flags += ["--batch-size", 16, "--epochs", 1, "--width", 0.25]
    assert run_app("train", *flags) == 3
    assert "broken.png" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="broken.png"):
        assert run_app("train", *flags, "--on-bad-data", "skip") == 0


def test_a_picture_of_train_in_test_is_a_leak(run_app, tmp_path, capsys):
    for split in ("train", "test"):
        class_folders(tmp_path / "data" / split, count=20)
    flags = ["--preset", "tiny", "--data", f"folder:{tmp_path / 'data'}"]
    flags += ["--cache-dir", tmp_path / "cache", "--run", tmp_path / "run"]
    assert run_app("train", *flags) == 3
    assert "in two splits" in capsys.readouterr().err


@pytest.mark.slow
def test_multi_label_pictures_are_trained_and_measured(run_app, tmp_path):
    flags = ["--preset", "tiny", "--multi-label", "--run", tmp_path / "run"]
    assert run_app("train", *flags, "--cache-dir", tmp_path / "cache") == 0
    assert run_app("evaluate", "--run", tmp_path / "run") == 0
    metrics = json.loads((tmp_path / "run" / "eval" / "metrics.json").read_text())
    assert {"label_accuracy", "mean_average_precision"} <= metrics.keys()


@pytest.mark.slow
def test_fine_tuning_starts_from_the_weights_of_another_run(run_app, trained, tmp_path):
    run, _, cache = trained
    flags = ["--preset", "tiny", "--cache-dir", cache, "--run", tmp_path / "tuned"]
    flags += ["--weights", run / "best.weights.h5", "--learning-rate", 1e-12]
    assert run_app("train", *flags) == 0
    assert run_app("evaluate", "--run", tmp_path / "tuned") == 0


@pytest.mark.slow
def test_snapshots_of_cycles_become_one_model(run_app, trained, tmp_path):
    flags = ["--preset", "tiny", "--cache-dir", trained[2], "--run", tmp_path / "run"]
    assert run_app("train", *flags, "--cycles", 2, "--warmup-epochs", 0) == 0
    together = ["--run", tmp_path / "both"]
    members = ["--members", tmp_path / "run" / "snapshots"]
    assert run_app("evaluate", *together, *members) == 0
    assert run_app("export", *together, "--base", tmp_path / "exports") == 0
    measured = json.loads((tmp_path / "both" / "eval" / "metrics.json").read_text())
    folder = tmp_path / "exports" / "both" / "1"
    report = json.loads((folder / "assets.extra" / "parity.json").read_text())
    assert report["metrics"]["served"]["accuracy"] == measured["accuracy"]

    answers = {}
    images = np.random.default_rng(0).random((3, SIZE, SIZE, 3), np.float32)
    for name in ("01", "02"):
        weights = tmp_path / "run" / "snapshots" / f"{name}.weights.h5"
        alone = ["--run", tmp_path / name, "--members", weights]
        assert run_app("export", *alone, "--base", tmp_path / "exports") == 0
        answers[name] = _probabilities(tmp_path / "exports" / name / "1", images)
    np.testing.assert_allclose(
        _probabilities(folder, images), np.mean(list(answers.values()), 0), atol=1e-5
    )
    assert np.abs(answers["01"] - answers["02"]).max() > 1e-3


def _probabilities(folder, images):
    model = tf.saved_model.load(str(folder))
    answer = model.signatures["serve_tensor"]
    return answer(images=tf.constant(images))["probabilities"].numpy()


@pytest.mark.slow
def test_auxiliary_classifiers_are_trained_and_left(run_app, trained, tmp_path):
    flags = ["--preset", "tiny", "--cache-dir", trained[2], "--run", tmp_path / "run"]
    flags += ["--model", "googlenet", "--auxiliary", "--width", 0.125]
    flags += ["--image-size", 80, "--epochs", 1, "--learning-rate", 0.01]
    assert run_app("train", *flags) == 0
    assert run_app("evaluate", "--run", tmp_path / "run") == 0
    assert b"auxiliary" not in (tmp_path / "run" / "best.weights.h5").read_bytes()


def test_info_says_what_a_model_costs_and_sees(run_app, tmp_path, capsys):
    picture = tmp_path / "picture.png"
    PIL.Image.effect_noise((60, 40), 50).save(picture)
    flags = ["--model", "resnet18", "--image-size", 224, "--picture", picture]
    assert run_app("info", *flags, "--out", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "11,689,512" in said
    assert "1,814,073,344" in said  # torchvision publishes 1.814 G
    assert "435" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"layers.csv", "filters.png", "activations_c5.png"}
