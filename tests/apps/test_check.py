"""A healthy set-up passes `check`; sabotaged ones fail with the reason."""

import dataclasses
import importlib.util
import json
import pathlib
import sys

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.layers import norms
from tfdl.tasks.classification import data
from tfdl.training import cli, rate_range, session, trial

APP = pathlib.Path(__file__).parents[2] / "apps" / "classify.py"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def app():
    """Import the script anew, to be sabotaged."""
    specification = importlib.util.spec_from_file_location("classify_checked", APP)
    module = importlib.util.module_from_spec(specification)
    sys.modules["classify_checked"] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def check(app, tmp_path, cache):
    """Return a function: flags -> (exit code, findings by name)."""

    def run(*flags):
        arguments = ["check", "--preset", "tiny", "--run", tmp_path / "run"]
        code = cli.main(
            app.VERBS,
            app.__doc__,
            presets=app.PRESETS,
            task="classify",
            arguments=[*map(str, [*arguments, "--cache-dir", cache, *flags])],
        )
        rows = json.loads((tmp_path / "run" / "check" / "findings.json").read_text())
        return code, {row["name"]: row for row in rows}

    return run


def first_failure(found) -> dict:
    return next(row for row in found.values() if row["verdict"] == "fail")


def sabotage_samples(monkeypatch, change):
    """Let every sample of every split pass through `change(sample, source)`."""
    read = data.read

    def sabotaged(**options):
        return {
            split: dataclasses.replace(
                found, load=lambda n, found=found: change(found.load(n), n, found)
            )
            for split, found in read(**options).items()
        }

    monkeypatch.setattr(data, "read", sabotaged)


def sabotage_model(app, monkeypatch, change):
    build = app.build

    def sabotaged(*arguments, **options):
        model = build(*arguments, **options)
        change(model)
        return model

    monkeypatch.setattr(app, "build", sabotaged)


@pytest.mark.slow
def test_a_healthy_set_up_passes_and_leaves_the_run_free(check, app, tmp_path, capsys):
    code, found = check()
    assert code == 0, capsys.readouterr().out
    assert "fail" not in {row["verdict"] for row in found.values()}
    place = tmp_path / "run" / "check"
    for name in ("train_batch", "learning_rate_range", "one_batch", "layers"):
        with PIL.Image.open(place / f"{name}.png") as picture:
            assert picture.width >= 800
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"check"}
    printed = capsys.readouterr().out
    assert all(row["reason"] in printed for row in found.values())


@pytest.mark.slow
def test_shuffled_labels_are_found(check, monkeypatch):
    def shuffle(sample, number, found):
        labels = np.random.default_rng(0).permutation(found.labels)
        return sample | {"label": tf.gather(tf.constant(labels), number)}

    sabotage_samples(monkeypatch, shuffle)
    code, found = check()
    assert code == 3
    assert first_failure(found)["name"] == "input is used"
    assert "shuffled" in found["input is used"]["reason"]


@pytest.mark.slow
def test_a_rate_of_100_is_found(check):
    code, found = check("--learning-rate", 100)
    assert code == 2
    assert first_failure(found)["name"] == "learning rate"
    assert "too high" in found["learning rate"]["reason"]
    assert found["one batch is overfitted"]["verdict"] == "pass"


@pytest.mark.slow
def test_a_layer_frozen_by_mistake_is_named(check, app, monkeypatch):
    def freeze(model):
        model.get_layer("c2_block1_1_conv").trainable = False

    sabotage_model(app, monkeypatch, freeze)
    code, found = check()
    assert code == 2
    assert first_failure(found)["name"] == "gradients"
    assert "c2_block1_1_conv" in found["gradients"]["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("scale", [255.0, 1.0])
def test_pictures_that_are_not_normalised_are_found(check, app, monkeypatch, scale):
    def raw(model):
        layer = model.get_layer("normalize")
        layer.scale, layer.offset = scale, 0.0

    sabotage_model(app, monkeypatch, raw)
    code, found = check()
    assert code == 2
    assert first_failure(found)["name"] == "input scale"
    assert "not normalised" in found["input scale"]["reason"]


@pytest.mark.slow
def test_a_network_without_normalisation_is_found(check, app, monkeypatch):
    monkeypatch.setattr(
        norms, "normalization", lambda kind, name, **_: keras.layers.Identity(name=name)
    )
    code, found = check("--model", "cifar_resnet56")
    assert code == 2
    assert "grow with depth" in found["activations"]["reason"]


@pytest.mark.slow
def test_a_constant_input_is_found(check, monkeypatch):
    def blank(sample, number, found):
        return sample | {"image": tf.zeros_like(sample["image"])}

    sabotage_samples(monkeypatch, blank)
    code, found = check("--augmentation", "none")
    assert code == 3
    assert first_failure(found)["name"] == "pictures differ"
    assert "constant" in found["pictures differ"]["reason"]


def test_a_test_picture_in_train_is_found(check, tmp_path):
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for number in range(20):
                pixels = random.integers(0, 256, (20, 20, 3), np.uint8)
                place = tmp_path / "data" / split / name / f"{split}{number}.png"
                PIL.Image.fromarray(pixels).save(place)
    leaked = tmp_path / "data" / "test" / "a" / "test0.png"
    (tmp_path / "data" / "train" / "a" / "copy.png").write_bytes(leaked.read_bytes())
    code, found = check("--data", f"folder:{tmp_path / 'data'}")
    assert code == 3
    assert "in two splits" in first_failure(found)["reason"]
    assert "copy.png" in first_failure(found)["reason"]


@pytest.mark.slow
def test_dead_units_are_found(check, app, monkeypatch):
    def kill(model):
        layer = model.get_layer("c2_block1_1_norm")
        layer.beta.assign(layer.beta - 10.0)

    sabotage_model(app, monkeypatch, kill)
    code, found = check()
    assert code == 2
    assert first_failure(found)["name"] == "activations"
    assert "dead ReLUs" in found["activations"]["reason"]


@pytest.mark.slow
def test_the_suggested_rate_is_within_2_points_of_the_best_of_7(app, real_data, cache):
    config = dataclasses.replace(
        app.PRESETS["mnist"],
        optimization=app.flags.Classification(optimizer="nesterov"),
    )
    splits = app.read(config)
    optimizer = config.optimization.build_trial_optimizer(config.data.batch_size)
    model, _ = session._made_ready(
        app.build(config, 10, optimizer), config.optimization
    )
    trained = trial.Trial(model, splits.first_batch(), seed=0)
    found = rate_range.measure(
        trained, splits.training.batches(range(rate_range.STEPS))
    )
    accuracies = {}
    for rate in (*np.geomspace(1e-3, 1, 7), found.suggested):
        trained.reset()
        trained.train(splits.training.batches(range(300)), rate, 300)
        accuracies[rate] = np.mean(
            [
                tf.argmax(model(batch["image"], training=False), -1).numpy()
                == np.argmax(batch["classes"], -1)
                for batch in splits.evaluation("validation").take(20)
            ]
        )
    assert accuracies[found.suggested] >= max(accuracies.values()) - 0.02, accuracies
