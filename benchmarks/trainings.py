"""The sides of a training benchmark, each a contender that takes turns.

All train on the same random pictures in memory by SGD with momentum. Ours is
`loop.train` as the apps run it; the peer is plain `fit`.
"""

import contextlib
import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable, Sequence

import contest

import tfdl.quiet  # noqa: F401  # isort: skip
import keras
import numpy as np
import tensorflow as tf

from tfdl.training import interruption, loop, optimizers, precision, strategy

RATE, MOMENTUM = 0.01, 0.9
_MOST_VALUES = 1 << 24  # of all pictures


@dataclasses.dataclass(frozen=True)
class Work:
    """What both sides do.

    Attributes:
        shape: (height, width, channels) of the pictures.
        num_classes: of the labels.
        batch_size: pictures in a step.
        steps: in one turn, a multiple of `together`.
        together: steps that our loop runs in one call.
        precision: "float32" or "bfloat16".
    """

    shape: Sequence[int]
    num_classes: int
    batch_size: int
    steps: int
    together: int
    precision: str

    def examples(self) -> tuple[np.ndarray, np.ndarray]:
        """Draw pictures, float32 in [0, 1], and labels, int32."""
        rng = np.random.default_rng(0)
        batches = _MOST_VALUES // (self.batch_size * int(np.prod(self.shape)))
        size = self.batch_size * max(2, min(16, batches))
        images = rng.random((size, *self.shape), dtype=np.float32)
        return images, rng.integers(0, self.num_classes, size, np.int32)


def ours(work: Work, build: Callable[[Sequence[int]], keras.Model]) -> None:
    """Train a classifier by our loop until there are no more turns.

    Args:
        work: what to do.
        build: shape of the pictures -> model.
    """

    def compiled() -> keras.Model:
        model = build(work.shape)
        model.compile(
            optimizers.optimizer("momentum", RATE), _loss(), metrics=["accuracy"]
        )
        return model

    looped(work, compiled, work.examples())


def looped(work: Work, compiled: Callable[[], keras.Model], examples) -> None:
    """Train a model by our loop until there are no more turns.

    Args:
        work: what to do.
        compiled: makes the model, with an optimizer of ours.
        examples: nested arrays, examples first, of what `train_step` takes.
    """
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(1)
    precision.use(work.precision)
    where = strategy.create("auto")
    with where.scope():
        model = compiled()
        optimizers.build(model)
    plan = loop.Plan(
        total_steps=1 << 40,
        epoch_steps=1 << 30,
        steps_per_execution=work.together,
        save_every=1 << 30,
        keep=1,
        seed=0,
    )
    batches = _batches(work, where, examples)
    with contextlib.suppress(contest.Over), tempfile.TemporaryDirectory() as folder:
        loop.train(
            model,
            batches,
            plan=plan,
            folder=pathlib.Path(folder),
            where=where,
            validate=dict,
            callbacks=[Stopwatch(work, work.together)],
            interrupted=interruption.Interruption(),
            warn=print,
        )


def fit(
    work: Work, build: Callable[[Sequence[int]], keras.Model], *, num_params: int
) -> None:
    """Train by Keras's `fit` until there are no more turns.

    Args:
        work: what to do.
        build: shape of the pictures -> model.
        num_params: of our model, which the peer must have.

    Raises:
        ValueError: it has another number.
    """
    if work.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = build(work.shape)
    if model.count_params() != num_params:
        raise ValueError(f"{model.count_params()} and {num_params} parameters")
    images, labels = work.examples()
    sgd = keras.optimizers.SGD(RATE, momentum=MOMENTUM)
    model.compile(sgd, _loss(), metrics=["accuracy"])
    with contextlib.suppress(contest.Over):
        model.fit(
            images,
            labels,
            batch_size=work.batch_size,
            epochs=1 << 30,
            verbose=0,
            callbacks=[Stopwatch(work, 1)],
        )


class Stopwatch(keras.callbacks.Callback):
    """Takes a turn of so many steps, then reports and waits for the next."""

    def __init__(self, work: Work, together: int):
        super().__init__()
        self._work, self._together = work, together
        self._turn, self._times = contest.Turn(), None

    def on_train_batch_end(self, batch, logs=None):
        """Note the time of the call that just ended."""
        if self._times is None:  # the first call compiled
            self._turn.take()
        elif len(self._times) <= self._work.steps // self._together:
            self._times.append(time.perf_counter())
            return
        else:
            seconds = float(np.median(np.diff(self._times))) / self._together
            self._turn.take(self._work.batch_size / seconds)
        self._times = [time.perf_counter()]


def _loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _batches(work: Work, where: tf.distribute.Strategy, examples):
    """Make the function that feeds our loop: steps -> data set."""
    examples = tf.nest.map_structure(tf.constant, examples)
    size = len(tf.nest.flatten(examples)[0])

    def batch(step: tf.Tensor):
        positions = tf.range(work.batch_size, dtype=tf.int64) + step * work.batch_size
        epoch = step * work.batch_size // size
        numbers = tf.random.experimental.index_shuffle(
            positions % size, tf.stack([0, epoch]), size - 1
        )
        return tf.nest.map_structure(lambda v: tf.gather(v, numbers), examples)

    def batches(steps: range):
        dataset = tf.data.Dataset.range(steps.start, steps.stop)
        dataset = dataset.map(batch, tf.data.AUTOTUNE).prefetch(4)
        return where.distribute_datasets_from_function(lambda context: dataset)

    return batches
