import dataclasses
import pathlib
import shlex
import signal
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.layers import norms
from tfdl.training import best, ensembles, flags, run_folder, session

NUM_EXAMPLES, BATCH_SIZE = 16, 4
INPUTS = np.random.RandomState(0).rand(NUM_EXAMPLES, 3).astype("float32")
TARGETS = np.random.RandomState(1).rand(NUM_EXAMPLES, 2).astype("float32")


@dataclasses.dataclass(frozen=True)
class Config:
    optimization: flags.Optimization = flags.Optimization()
    run: flags.Run = flags.Run()
    units: int = 2


@dataclasses.dataclass(frozen=True)
class Feed:
    """Numbered examples in order; keeps the shards that it is asked for."""

    epoch_steps: int = NUM_EXAMPLES // BATCH_SIZE
    batch_size: int = BATCH_SIZE
    shards: list = dataclasses.field(default_factory=list)

    def shard(self, *place):
        return place

    def batches(self, steps, shard):
        self.shards.append(shard)
        numbers = tf.data.Dataset.range(
            steps.start * BATCH_SIZE, steps.stop * BATCH_SIZE
        )
        examples = numbers.map(
            lambda k: (
                tf.gather(INPUTS, k % NUM_EXAMPLES),
                tf.gather(TARGETS, k % NUM_EXAMPLES),
            )
        )
        return examples.batch(BATCH_SIZE, drop_remainder=True)

    def names_of_step(self, step):
        return [f"{step * BATCH_SIZE + k}.png" for k in range(BATCH_SIZE)]


def build(units, optimizer=None):
    inputs = keras.Input((3,))
    x = keras.layers.Dropout(0.2)(keras.layers.Dense(4, name="first")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(units, name="last")(x))
    if optimizer is not None:
        model.compile(optimizer, "mse", metrics=["mae"])
    return model


def measure(infer, check):
    check()
    return {"loss": float(np.mean((infer(INPUTS).numpy() - TARGETS) ** 2))}


def config(*, epochs=3, run=(), **optimization):
    defaults = {
        "optimizer": "adam",
        "learning_rate": 0.05,
        "average": 0.5,
        "warmup_epochs": 0.0,
        "schedule": "constant",
    }
    return Config(
        flags.Optimization(epochs=epochs, **defaults | optimization),
        flags.Run(strategy="one_device", steps_per_execution=3, **dict(run)),
    )


def train(folder, settings, *, feed=None, validate=measure):
    return session.train(
        settings,
        folder,
        feed=feed or Feed(),
        build=lambda optimizer: build(settings.units, optimizer),
        validate=validate,
        monitor="val_loss",
        mode="min",
        class_names=["cat", "dog"],
    )


def tables(folder):
    return [(folder / name).read_bytes() for name in ("steps.csv", "metrics.csv")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of three epochs, in a folder whose name must be quoted."""
    folder = tmp_path_factory.mktemp("runs") / "größe (lr=1), x"
    feed = Feed()
    assert train(folder, config(), feed=feed)
    return folder, feed


def test_a_run_holds_everything_to_rebuild_and_believe_it(trained):
    folder, feed = trained
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("config.json", "env.json", "lock", "checkpoints", "events"),
        *("metrics.csv", "steps.csv", "best.weights.h5", "best.weights.h5.sha256"),
    }
    saved = run_folder.read_config(folder)
    assert saved["class_names"] == ["cat", "dog"]
    assert saved["epoch_steps"] == 4
    assert len((folder / "steps.csv").read_text().splitlines()) == 1 + 12
    assert set(feed.shards) == {(0, 1, 1)}


def test_the_best_model_comes_back_with_the_metric_that_was_written(trained):
    folder, _ = trained
    settings, names, model = session.restore(
        Config, folder, lambda settings, num_classes: build(settings.units)
    )
    assert settings == config()
    assert names == ["cat", "dog"]
    rows = (folder / "metrics.csv").read_text().splitlines()[1:]
    lowest = min(float(row.split(",")[-1]) for row in rows)
    loss = np.mean((model.predict(INPUTS, verbose=0) - TARGETS) ** 2)
    assert float(loss) == pytest.approx(lowest, rel=1e-5)


def test_a_folder_without_a_run_cannot_be_restored(tmp_path):
    with pytest.raises(errors.ModelFileError, match="is no run"):
        session.restore(Config, tmp_path, lambda *_: build(2))


def test_the_end_says_the_best_metric_the_place_and_the_next_commands(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["apps/toy.py"])
    monkeypatch.chdir(tmp_path)
    folder = pathlib.Path("my runs/größe (lr=1)" + "y" * 80)
    train(folder, config(epochs=1))
    *_, result, evaluate, export, board = capsys.readouterr().out.splitlines()
    metric = float((folder / "metrics.csv").read_text().split(",")[-1])
    assert result == f"best val_loss {metric:.4f} at epoch 1, in {folder.resolve()}"
    assert [shlex.split(command) for command in (evaluate, export, board)] == [
        ["python", "apps/toy.py", "evaluate", "--run", str(folder)],
        ["python", "apps/toy.py", "export", "--run", str(folder)],
        ["tensorboard", "--logdir", str(folder / "events")],
    ]


def test_a_finished_run_says_so_and_changes_nothing(trained, capsys):
    folder, _ = trained
    before = tables(folder)
    train(folder, config())
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "already finished at epoch 3 (step 12); a larger --epochs goes on"
    )
    assert tables(folder) == before


def test_a_signal_in_validation_saves_and_the_same_command_goes_on(trained, tmp_path):
    validations = []

    def measure_and_be_told_to_stop(infer, check):
        validations.append(1)
        if len(validations) == 2:
            signal.raise_signal(signal.SIGTERM)
        return measure(infer, check)

    with pytest.raises(errors.InterruptedRun) as caught:
        train(tmp_path, config(), validate=measure_and_be_told_to_stop)
    assert caught.value.exit_code == 75
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 1 + 1
    train(tmp_path, config())
    assert tables(tmp_path) == tables(trained[0])


def test_data_that_changed_their_number_are_refused(trained):
    with pytest.raises(errors.UsageError, match="epoch_steps 4 -> 5"):
        train(trained[0], config(), feed=Feed(epoch_steps=5))


def test_early_stopping_ends_a_run_for_good(tmp_path, capsys):
    settings = config(epochs=9, patience=1)
    train(tmp_path, settings, validate=lambda infer, check: {"loss": 1.0})
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 1 + 2
    capsys.readouterr()
    train(tmp_path, settings)
    assert "at epoch 2 (step 8); --overwrite trains anew" in capsys.readouterr().out


def test_divergence_names_the_pictures_of_the_step(tmp_path):
    with pytest.raises(errors.DivergedError) as caught:
        train(tmp_path, config(optimizer="sgd", learning_rate=1e30))
    message = str(caught.value)
    first = BATCH_SIZE * (int(message.split()[1]) - 1)
    names = ", ".join(f"{first + k}.png" for k in range(BATCH_SIZE))
    assert message.endswith(f"its batch: {names}")
    assert not (tmp_path / best.FILE_NAME).exists()


def test_frozen_layers_keep_their_weights(tmp_path):
    train(tmp_path, config(epochs=1, freeze="first", l2=0.1))
    _, _, model = session.restore(Config, tmp_path, lambda *_: build(2))
    keras.utils.set_random_seed(0)
    fresh = build(2).get_weights()
    np.testing.assert_array_equal(model.get_weights()[0], fresh[0])
    assert not np.array_equal(model.get_weights()[2], fresh[2])


def build_with_norm(optimizer=None):
    inputs = keras.Input((3,))
    x = keras.layers.Dense(4, name="first")(inputs)
    x = norms.BatchNormalization(name="norm")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(x))
    if optimizer is not None:
        model.compile(optimizer, "mse", metrics=["mae"])
    return model


def test_frozen_layers_change_in_no_bit_and_take_no_slots(tmp_path):
    """Neither by decay, nor by the statistics of a norm, nor by averaging."""
    built = []

    def build_and_look(optimizer):
        model = build_with_norm(optimizer)
        built.append((model, model.get_weights()))
        return model

    settings = config(freeze="norm", weight_decay=0.5, optimizer="adamw")
    session.train(
        settings,
        tmp_path,
        feed=Feed(),
        build=build_and_look,
        validate=measure,
        monitor="val_loss",
        mode="min",
        class_names=["cat", "dog"],
    )
    [(model, before)] = built
    assert [w.path for w in model.trainable_weights] == ["last/kernel", "last/bias"]
    for old, weight in zip(before[:6], model.weights[:6], strict=True):
        np.testing.assert_array_equal(old, weight)
    assert not np.array_equal(before[6], model.weights[6])
    shapes = [tuple(v.shape) for v in model.optimizer.variables if len(v.shape)]
    assert set(shapes) == {(4, 2), (2,)}  # of the head alone


def test_freezing_everything_is_refused(tmp_path):
    with pytest.raises(errors.UsageError, match="--freeze last: no weights are left"):
        train(tmp_path, config(freeze="last"))


CYCLES = {"schedule": "cosine", "average": 0.0}


@pytest.fixture(scope="module")
def cycled(tmp_path_factory):
    """A run of two cycles of two epochs."""
    folder = tmp_path_factory.mktemp("cycles") / "run"
    assert train(folder, config(epochs=4, cycles=2, **CYCLES))
    return folder


def snapshots_of(folder):
    """Read the weights of every snapshot: name -> bytes."""
    found = {}
    for path in (folder / "snapshots").glob("*.weights.h5"):
        model = build(2)
        best.load_weights(model, path)
        found[path.name] = b"".join(w.tobytes() for w in model.get_weights())
    return found


def test_every_cycle_leaves_a_snapshot_and_the_rate_starts_again(cycled):
    assert len(snapshots_of(cycled)) == 2
    rows = (cycled / "steps.csv").read_text().splitlines()[1:]
    rates = [float(row.split(",")[-1]) for row in rows]
    assert rates[8:] == rates[:8] == sorted(rates[:8], reverse=True)
    assert rates[8] == pytest.approx(0.05)


def test_the_snapshot_is_what_the_epoch_was_measured_with(cycled):
    rows = (cycled / "metrics.csv").read_text().splitlines()[1:]
    for number, row in ((1, rows[1]), (2, rows[3])):
        model = build(2)
        path = cycled / "snapshots" / f"{number:02d}.weights.h5"
        best.load_weights(model, path)
        loss = np.mean((model.predict(INPUTS, verbose=0) - TARGETS) ** 2)
        assert float(loss) == pytest.approx(float(row.split(",")[-1]), rel=1e-5)


def test_a_run_that_is_resumed_leaves_the_same_snapshots(cycled, tmp_path):
    """Stopped in the epoch that ends a cycle, before and after it is measured."""
    settings = config(epochs=4, cycles=2, **CYCLES)
    for stop_at in (2, 1):  # validations until the signal, of those that are left
        left = [stop_at]

        def stopping(infer, check, left=left):
            left[0] -= 1
            if not left[0]:
                signal.raise_signal(signal.SIGTERM)
            return measure(infer, check)

        with pytest.raises(errors.InterruptedRun):
            train(tmp_path, settings, validate=stopping)
    train(tmp_path, settings)
    assert snapshots_of(tmp_path) == snapshots_of(cycled)
    assert tables(tmp_path) == tables(cycled)


def test_cycles_of_the_same_length_extend_a_run(cycled, tmp_path):
    folder = tmp_path / "run"
    train(folder, config(epochs=4, cycles=2, **CYCLES))
    train(folder, config(epochs=6, cycles=3, **CYCLES))
    whole = tmp_path / "whole"
    train(whole, config(epochs=6, cycles=3, **CYCLES))
    assert tables(folder) == tables(whole)
    assert snapshots_of(folder) == snapshots_of(whole)
    assert snapshots_of(cycled).items() <= snapshots_of(whole).items()


@pytest.mark.parametrize(
    ("values", "difference"),
    [
        ({"epochs": 8, "cycles": 2}, "cycle_epochs 2 -> 4"),
        ({"epochs": 8, "cycles": 1}, "cycle_epochs 2 -> None"),
    ],
)
def test_cycles_of_another_length_are_another_run(cycled, values, difference):
    with pytest.raises(errors.UsageError, match=difference):
        train(cycled, config(**values, **CYCLES))


def join(settings, models):
    assert settings.units == 2
    inputs = keras.Input((3,))
    outputs = keras.layers.average([model(inputs) for model in models])
    return keras.Model(inputs, outputs)


def build_again(settings, num_classes):
    return build(settings.units)


def test_an_ensemble_of_snapshots_comes_back_as_their_mean(cycled, tmp_path, capsys):
    folder = tmp_path / "ensemble"
    ensembles.gather(folder, [cycled / "snapshots"])
    settings, names, model = session.restore(Config, folder, build_again, join)
    assert capsys.readouterr().out == f"{folder} is an ensemble of 2 models\n"
    assert (settings.units, names) == (2, ["cat", "dog"])
    answers = []
    for path in sorted((cycled / "snapshots").glob("*.h5")):
        member = build(2)
        best.load_weights(member, path)
        answers.append(member(INPUTS, training=False))
    found = model(INPUTS, training=False)
    np.testing.assert_allclose(found, np.mean(answers, axis=0), rtol=1e-5)
    with pytest.raises(errors.UsageError, match="is an ensemble, which"):
        session.restore(Config, folder, build_again)


def test_an_ensemble_is_not_trained(cycled, tmp_path):
    folder = tmp_path / "ensemble"
    ensembles.gather(folder, [cycled / "snapshots"])
    with pytest.raises(errors.UsageError, match="is an ensemble of models"):
        train(folder, config(epochs=4, cycles=2, **CYCLES))


def test_a_model_comes_back_in_the_precision_that_is_asked_for(trained, monkeypatch):
    monkeypatch.setattr(session.precision, "has_bfloat16", lambda: True)
    for number_format in ("bfloat16", "float32"):
        _, _, model = session.restore(
            Config, trained[0], build_again, number_format=number_format
        )
        assert model.layers[-1].compute_dtype == number_format
