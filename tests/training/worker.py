"""A small app in a process of its own, for the tests of several workers.

    MOMENT=SIGNAL:STEP python worker.py train --run PATH --strategy multi_worker ...

With MOMENT the process sends itself a signal when the results of that step are
recorded. Every validation prints a digest of the weights, so that workers can be
compared.
"""

import dataclasses
import hashlib
import os
import pathlib
import signal
import sys

import tfdl.quiet  # noqa: F401  # isort: skip
import keras
import numpy as np
import tensorflow as tf

from tfdl.layers import norms
from tfdl.training import cli, flags, loop, session

NUM_EXAMPLES = 96
SIZE = 6
IMAGES = np.random.RandomState(0).rand(NUM_EXAMPLES, SIZE, SIZE, 1).astype("float32")
TARGETS = np.random.RandomState(1).rand(NUM_EXAMPLES, 3).astype("float32")


@dataclasses.dataclass(frozen=True)
class Config:
    """Train a small model."""

    optimization: flags.Optimization = dataclasses.field(
        default_factory=lambda: flags.Optimization(
            learning_rate=0.05, clip_norm=0.5, accumulation=2, average=0.9
        )
    )
    run: flags.Run = dataclasses.field(default_factory=flags.Run)
    dropout: float = 0.0


class Feed:
    """Numbered examples in order, as `session.Feed` wants them."""

    batch_size = 8
    epoch_steps = NUM_EXAMPLES // batch_size

    def shard(self, *place):
        return place

    def batches(self, steps, shard):
        index, workers, replicas = shard
        part = self.batch_size // workers
        places = tf.data.Dataset.range(steps.start * part, steps.stop * part)
        numbers = places.map(
            lambda k: k // part * self.batch_size + index * part + k % part
        )
        examples = numbers.map(
            lambda number: (
                tf.gather(IMAGES, number % NUM_EXAMPLES),
                tf.gather(TARGETS, number % NUM_EXAMPLES),
            )
        )
        return examples.batch(part // replicas, drop_remainder=True)

    def names_of_step(self, step):
        first = step * self.batch_size
        return [f"example {first + k}" for k in range(self.batch_size)]


def train(config: Config) -> None:
    """Train."""
    models = []

    def build_and_keep(optimizer):
        models.append(build(config, optimizer))
        return models[0]

    session.train(
        config,
        config.run.run,
        feed=Feed(),
        build=build_and_keep,
        validate=lambda infer, check: validate(models[0], infer, check),
        monitor="val_loss",
        mode="min",
        class_names=(),
    )


def build(config: Config, optimizer) -> keras.Model:
    inputs = keras.Input((SIZE, SIZE, 1))
    x = keras.layers.Conv2D(4, 3, use_bias=False)(inputs)
    x = keras.layers.ReLU()(norms.normalization("batch")(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(config.dropout)(x)
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    model.compile(optimizer, "mse", metrics=["mae"])
    return model


def validate(model: keras.Model, infer, check) -> dict[str, float]:
    check()
    weights = b"".join(weight.tobytes() for weight in model.get_weights())
    print("digest", hashlib.sha256(weights).hexdigest(), flush=True)
    return {"loss": float(np.mean((infer(IMAGES).numpy() - TARGETS) ** 2))}


def raise_at(name: str, step: int) -> None:
    """Let the process send itself a signal when the results of a step are recorded."""
    record = loop._record

    def record_and_raise(results, state, *arguments):
        first = state.step + 1
        record(results, state, *arguments)
        if first <= step <= state.step:
            os.kill(os.getpid(), getattr(signal, name))

    loop._record = record_and_raise


if __name__ == "__main__":
    if "MOMENT" in os.environ:
        kind, _, number = os.environ["MOMENT"].partition(":")
        raise_at(kind, int(number))
    presets = {"tiny": Config(run=flags.Run(run=pathlib.Path("runs/tiny")))}
    sys.exit(cli.main({train: Config}, __doc__, presets=presets, task="toy"))
