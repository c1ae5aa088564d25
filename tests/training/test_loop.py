import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.layers import norms
from tfdl.training import interruption, loop, optimizers, schedules

ONE = tf.distribute.OneDeviceStrategy("CPU:0")
BATCH_SIZE, EPOCH_STEPS = 8, 8
NUM_EXAMPLES = BATCH_SIZE * EPOCH_STEPS
PENALTY = 0.01
IMAGES = np.random.RandomState(0).rand(NUM_EXAMPLES, 5, 5, 1).astype("float32")
TARGETS = np.random.RandomState(1).rand(NUM_EXAMPLES, 3).astype("float32")


class StopAt(interruption.Interruption):
    """Answers one of its checks as a signal would."""

    def __init__(self, check_number):
        super().__init__()
        self.left = check_number

    @property
    def is_requested(self):
        self.left -= 1
        return self.left == 0


class Press(keras.callbacks.Callback):
    """Raises what Ctrl-C raises where nobody listens, after a step."""

    def __init__(self, step):
        super().__init__()
        self._step = step

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self._step:
            raise KeyboardInterrupt


def convolutional_model(*, dropout=0.0):
    inputs = keras.Input((5, 5, 1))
    x = keras.layers.Conv2D(4, 3, use_bias=False)(inputs)
    x = keras.layers.ReLU()(norms.normalization("batch")(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def dense_model(kind=keras.Model):
    inputs = keras.Input((5, 5, 1))
    outputs = keras.layers.Dense(3)(keras.layers.Flatten()(inputs))
    return kind(inputs, outputs)


def everything_on(*, total_steps=50):
    schedule = schedules.schedule(
        "cosine", peak=0.05, warmup_steps=3, total_steps=total_steps // 2, end=0.01
    )
    options = {"clip_norm": 0.5, "weight_decay": 0.01}
    return optimizers.optimizer(
        "momentum", schedule, accumulation=2, average=0.9, **options
    )


def compiled(
    where, model=convolutional_model, optimizer=everything_on, loss="mse", l1=0.0
):
    """Build the same model in every process, as a fresh object."""
    with where.scope():
        keras.utils.set_random_seed(0)
        built = model()
        optimizers.penalize(built, l1=l1, l2=l1)
        built.compile(optimizer(), loss, metrics=["mae"])
        optimizers.build(built)
    return built


def batches_for(where, targets=TARGETS):
    """Every replica computes the examples of its part of each batch by number."""

    def batches(steps):
        def part(context):
            positions = tf.data.Dataset.range(
                steps.start * BATCH_SIZE, steps.stop * BATCH_SIZE
            )
            examples = positions.map(
                lambda position: (
                    tf.gather(IMAGES, position % NUM_EXAMPLES),
                    tf.gather(targets, position % NUM_EXAMPLES),
                )
            )
            size = BATCH_SIZE // context.num_replicas_in_sync
            return examples.batch(size, drop_remainder=True)

        return where.distribute_datasets_from_function(part)

    return batches


def run(folder, model, *, where=ONE, total_steps=50, **options):
    """Train in `folder` and return the state, or None where it was interrupted."""
    plan = loop.Plan(
        total_steps=total_steps,
        epoch_steps=EPOCH_STEPS,
        steps_per_execution=options.pop("steps_per_execution", 1),
        save_every=options.pop("save_every", 5),
        keep=2,
        seed=3,
    )
    folder.mkdir(exist_ok=True)
    defaults = {
        "validate": lambda: {"number": 0.5},
        "callbacks": [],
        "interrupted": interruption.Interruption(),
        "warn": pytest.fail,
    }
    batches = batches_for(where, options.pop("targets", TARGETS))
    try:
        return loop.train(
            model, batches, plan=plan, folder=folder, where=where, **defaults | options
        )
    except (errors.InterruptedRun, KeyboardInterrupt):
        return None


def losses(folder: pathlib.Path) -> list[float]:
    rows = (folder / "steps.csv").read_text().splitlines()[1:]
    return [float.fromhex(row.split(",")[1]) for row in rows]


def metrics(folder: pathlib.Path) -> list[list[float]]:
    rows = (folder / "metrics.csv").read_text().splitlines()[1:]
    return [[float(cell) for cell in row.split(",")] for row in rows]


def tables(folder: pathlib.Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("steps.csv", "metrics.csv")]


def saved_steps(folder: pathlib.Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in folder.glob("checkpoints/step-*"))


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    """Fifty steps on one device, one at a time."""
    folder = tmp_path_factory.mktemp("one_device")
    run(folder, compiled(ONE, l1=PENALTY))
    return folder


def test_eight_steps_in_one_call_are_bitwise_those_of_eight_calls(one_device, tmp_path):
    run(tmp_path, compiled(ONE, l1=PENALTY), steps_per_execution=8)
    assert tables(tmp_path) == tables(one_device)


def test_two_replicas_train_as_one_device_does(one_device, mirrored_strategy, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    for folder, number in ((alone, 1), (together, 8)):
        model = compiled(mirrored_strategy, l1=PENALTY)
        options = {"where": mirrored_strategy, "steps_per_execution": number}
        run(folder, model, **options)
    assert tables(alone) == tables(together)
    assert len(losses(alone)) == 50
    np.testing.assert_allclose(losses(alone), losses(one_device), rtol=0, atol=1e-4)
    np.testing.assert_allclose(metrics(alone), metrics(one_device), rtol=0, atol=1e-4)


def test_a_run_of_one_device_goes_on_on_two_replicas(
    one_device, mirrored_strategy, tmp_path
):
    run(tmp_path, compiled(ONE, l1=PENALTY), interrupted=StopAt(19))
    model = compiled(mirrored_strategy, l1=PENALTY)
    run(tmp_path, model, where=mirrored_strategy)
    assert len(losses(tmp_path)) == 50
    np.testing.assert_allclose(losses(tmp_path), losses(one_device), rtol=0, atol=1e-4)
    np.testing.assert_allclose(
        metrics(tmp_path), metrics(one_device), rtol=0, atol=1e-4
    )


def with_dropout():
    return convolutional_model(dropout=0.4)


def test_a_run_interrupted_everywhere_repeats_the_uninterrupted_one(tmp_path):
    def interrupt():
        raise errors.InterruptedRun("stopped", "resume")

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run(whole, compiled(ONE, with_dropout), total_steps=20)
    moments = [
        {"callbacks": [Press(3)]},  # before anything is saved
        {"callbacks": [Press(7)]},  # two steps after a save
        {"interrupted": StopAt(1)},  # in the middle of an epoch
        {"validate": interrupt},  # of the first epoch
        {"interrupted": StopAt(2), "steps_per_execution": 3},
        {},
    ]
    for moment in moments:
        state = run(stopped, compiled(ONE, with_dropout), total_steps=20, **moment)
        assert (state is None) == bool(moment)
    assert tables(stopped) == tables(whole)
    assert len(losses(whole)) == 20
    assert saved_steps(stopped) == saved_steps(whole)


def test_two_replicas_resume_in_the_middle_of_an_epoch_bit_by_bit(
    mirrored_strategy, tmp_path
):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    options = {"where": mirrored_strategy, "total_steps": 16, "steps_per_execution": 8}
    run(whole, compiled(mirrored_strategy, with_dropout), **options)
    # After step 5; what each replica counted for the mean error comes back too.
    for check_number, is_done in ((1, False), (0, True)):
        model = compiled(mirrored_strategy, with_dropout)
        state = run(stopped, model, interrupted=StopAt(check_number), **options)
        assert (state is not None) == is_done
    assert tables(stopped) == tables(whole)


def test_the_last_epoch_may_be_shorter_and_its_loss_is_the_mean_of_its_steps(
    one_device,
):
    table = metrics(one_device)
    assert [row[0] for row in table] == [1, 2, 3, 4, 5, 6, 7]
    header = (one_device / "metrics.csv").read_text().splitlines()[0]
    assert header == "epoch,loss,mae,val_number"
    means = [np.mean(losses(one_device)[k * 8 : k * 8 + 8]) for k in range(7)]
    np.testing.assert_allclose([row[1] for row in table], means, rtol=1e-12)


@pytest.mark.parametrize("total_steps", [50, 12])
def test_a_finished_run_returns_at_once(one_device, total_steps):
    before = {path: path.stat().st_mtime_ns for path in one_device.rglob("*.csv")}
    state = run(one_device, compiled(ONE), total_steps=total_steps)
    assert (state.step, state.epoch) == (50, 7)
    after = {path: path.stat().st_mtime_ns for path in one_device.rglob("*.csv")}
    assert before == after


def plateau(model):
    """Improve for two epochs, then never again; a function of the steps done."""
    epoch = int(model.optimizer.iterations) // EPOCH_STEPS
    return {"number": max(1.0, 4.0 - epoch)}


def test_early_stopping_and_plateaus_survive_a_resume(tmp_path):
    def train(folder, **options):
        model = compiled(
            ONE, dense_model, lambda: optimizers.optimizer("sgd", 0.125, average=0.5)
        )
        watchers = [
            keras.callbacks.EarlyStopping("val_number", patience=4, mode="min"),
            keras.callbacks.ReduceLROnPlateau(
                "val_number", 0.5, patience=3, mode="min"
            ),
        ]
        return run(
            folder,
            model,
            validate=lambda: plateau(model),
            callbacks=watchers,
            steps_per_execution=8,
            save_every=100,
            total_steps=80,
            **options,
        )

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    state = train(whole)
    assert (state.is_stopped, state.epoch) == (True, 7)  # the third is the best
    rows = (whole / "steps.csv").read_text().splitlines()[1:]
    rates = [float(row.split(",")[2]) for row in rows]
    assert rates == [0.125] * 48 + [0.0625] * 8
    assert train(stopped, interrupted=StopAt(5)) is None
    assert train(stopped).epoch == 7
    assert tables(stopped) == tables(whole)
    assert train(stopped).is_stopped


class Watcher(keras.callbacks.Callback):
    """Keeps what it hears, and the weights of that moment."""

    def __init__(self):
        super().__init__()
        self.heard = []
        self.weights = []

    def on_epoch_begin(self, epoch, logs=None):
        self.heard.append(f"begin {epoch}")

    def on_train_batch_end(self, batch, logs=None):
        self.heard.append(f"step {batch}")
        self.weights.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.heard.append(f"end {epoch}")


def test_validation_sees_averaged_weights_and_training_never_does(tmp_path):
    model = compiled(
        ONE, dense_model, lambda: optimizers.optimizer("sgd", 0.1, average=0.75)
    )
    watcher, seen = Watcher(), []

    def validate():
        seen.append(model.get_weights()[0])
        return {"loss": float(np.mean((model(IMAGES).numpy() - TARGETS) ** 2))}

    run(tmp_path, model, validate=validate, callbacks=[watcher], total_steps=9)
    average = watcher.weights[0][0]
    for step, weights in enumerate(watcher.weights[1:8], start=1):
        momentum = min(0.75, step / (step + 9))
        average = momentum * average + (1 - momentum) * weights[0]
    np.testing.assert_allclose(seen[0], average, rtol=1e-5)
    assert not np.allclose(seen[0], watcher.weights[7][0], rtol=1e-4)
    np.testing.assert_array_equal(model.get_weights()[0], watcher.weights[8][0])

    fresh = dense_model()
    last = 0.75 * average + 0.25 * watcher.weights[8][0]
    fresh.set_weights([last, fresh.get_weights()[1]])
    with optimizers.averaged_weights(model):
        expected = np.mean((model(IMAGES).numpy() - TARGETS) ** 2)
    assert metrics(tmp_path)[1][-1] == pytest.approx(float(expected), rel=1e-6)
    middle = [f"step {number}" for number in range(8)]
    assert watcher.heard == ["begin 0", *middle, "end 0", "begin 1", "step 8", "end 1"]


def root_of_products(targets, outputs):
    return keras.ops.sqrt(keras.ops.mean(keras.ops.square(targets * outputs)))


@pytest.mark.parametrize(("poison", "loss"), [(np.nan, "nan"), (0.0, "0.0")])
def test_a_step_that_is_not_finite_ends_the_training_and_is_not_saved(
    tmp_path, poison, loss
):
    targets = np.ones_like(TARGETS)
    # Zeros make a loss of 0 whose gradient is 0 / 0.
    targets[6 * BATCH_SIZE : 7 * BATCH_SIZE] = poison
    model = compiled(
        ONE, dense_model, lambda: optimizers.optimizer("sgd", 0.01), root_of_products
    )
    with pytest.raises(errors.DivergedError) as caught:
        run(
            tmp_path,
            model,
            targets=targets,
            steps_per_execution=8,
            names_of_step=lambda step: [f"{step}-{k}.png" for k in range(10)],
        )
    assert caught.value.exit_code == 5
    message = str(caught.value)
    assert message.startswith(f"step 7 has loss {loss} and gradient norm nan")
    assert message.endswith("6-6.png, 6-7.png and 2 more")
    assert saved_steps(tmp_path) == [5]
    assert len(losses(tmp_path)) == 7


class OwnStep(keras.Model):
    """Trains as `keras.Model` does, spelled out."""

    def train_step(self, batch):
        images, targets = batch
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=targets, y_pred=self(images, training=True))
        weights = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        self._loss_tracker.update_state(loss * replicas)
        return {"loss": self._loss_tracker.result()}


class OwnLoss(keras.Model):
    """Doubles the mean squared error."""

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        return 2 * keras.losses.MeanSquaredError()(y, y_pred)


@pytest.mark.parametrize(("kind", "factor"), [(OwnStep, 1), (OwnLoss, 2)])
def test_a_train_step_or_a_loss_of_the_model_itself_trains_on_any_strategy(
    mirrored_strategy, tmp_path, kind, factor
):
    def optimizer():
        return optimizers.optimizer("sgd", 0.05 / factor)

    def train(where, kind):
        folder = tmp_path / f"{type(where).__name__}{kind.__name__}"
        model = compiled(where, lambda: dense_model(kind), optimizer)
        run(folder, model, where=where, total_steps=8, steps_per_execution=8)
        return np.array(losses(folder)), model.get_weights()[0]

    alone, weights = train(ONE, kind)
    together, same_weights = train(mirrored_strategy, kind)
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(weights, same_weights, atol=1e-5)
    expected = compiled(ONE, dense_model, lambda: keras.optimizers.SGD(0.05))
    expected.fit(IMAGES, TARGETS, batch_size=BATCH_SIZE, shuffle=False, verbose=0)
    np.testing.assert_allclose(weights, expected.get_weights()[0], atol=1e-5)
    assert alone[0] == pytest.approx(
        factor * np.mean((dense_start() - TARGETS[:8]) ** 2), rel=1e-5
    )


def dense_start():
    """Answers of the fresh dense model on the first batch, by NumPy."""
    keras.utils.set_random_seed(0)
    kernel, bias = dense_model().get_weights()
    return IMAGES[:8].reshape(8, -1) @ kernel + bias


def test_the_host_state_that_is_saved_is_json(one_device):
    newest = tf.train.load_checkpoint(
        str(one_device / "checkpoints" / "step-000000050" / "variables")
    )
    text = newest.get_tensor("host_state/.ATTRIBUTES/VARIABLE_VALUE")
    state = json.loads(text)
    assert (state["step"], state["epoch"], state["epoch_steps"]) == (50, 7, 0)
