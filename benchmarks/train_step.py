"""Compares our training loop with Keras's `fit`, in images per second and memory.

    python benchmarks/train_step.py               # all rows, about 6 minutes
    python benchmarks/train_step.py lenet5        # the rows whose name has this in it

Both train the same network (equal numbers of parameters) by SGD with momentum on the
same random pictures in memory, shuffled and batched by both. Ours is `loop.train` as
the apps run it: 16 steps in one call (4 where a step takes half a second), op
determinism, every loss written to steps.csv. The peer is plain `fit` with Keras's own
layers, optimizer and bfloat16 policy. The control is a second process of the peer.

A rate is that of the median time between two steps, so that what either does at the end
of an epoch does not count.
"""

import dataclasses
import functools
import json
import sys

import contest
import tables

import tfdl.quiet  # noqa: F401  # isort: skip
import keras
import trainings
from keras import layers

from tfdl.backbones import BACKBONES

CLASSES = 10
ROUNDS = 6


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        backbone: a key of `BACKBONES`.
        size: height and width of the pictures.
        channels: of the pictures.
        batch_size: pictures in a step.
        precision: "float32" or "bfloat16".
        steps: in one turn, a multiple of `together`.
        together: steps that our loop runs in one call.
        bar: the ratio to reach, if one was set.
    """

    backbone: str
    size: int
    channels: int
    batch_size: int
    precision: str
    steps: int
    together: int = 16
    bar: float | None = None

    @property
    def name(self) -> str:
        """The row's name on the command line."""
        return f"{self.backbone}-{self.size}-{self.precision}"


ROWS = (
    Row("lenet5", 28, 1, 32, "float32", 480, bar=1.3),
    Row("cifar_resnet20", 32, 3, 128, "float32", 16),
    Row("cifar_resnet20", 32, 3, 128, "bfloat16", 16),
    Row("resnet18", 64, 3, 32, "float32", 16),
    Row("resnet18", 64, 3, 32, "bfloat16", 16),
    Row("resnet18", 224, 3, 32, "float32", 4, together=4, bar=1.3),
    Row("resnet18", 224, 3, 32, "bfloat16", 4, together=4, bar=1.7),
)


def main(names: list[str]) -> None:
    """Measure the rows of these names, or all, and write the table."""
    tables.RESULTS.mkdir(parents=True, exist_ok=True)
    file = tables.RESULTS / "train_step.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for row in ROWS:
        if not names or any(name in row.name for name in names):
            results[row.name] = contest.against_peer(__file__, row.name, rounds=ROUNDS)
            file.write_text(json.dumps(results, indent=2))
    tables.write("train_step", table(results))


def table(results: dict[str, dict]) -> list[str]:
    """Write the results as a Markdown table."""
    lines = [
        f"Machine: {tables.machine()}. Medians of {ROUNDS} turns each, by turns; in "
        "brackets the smallest and the largest ratio of a turn. Memory is the most "
        "that the process had.",
        "",
        "| network | pictures | batch | precision | ours, images/s | `fit`, images/s | "
        "ratio | bar | control: `fit` against `fit` | memory, ours and `fit` |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if row.name in results:
            found = results[row.name]
            own, other = found["megabytes"]
            cells = (
                row.backbone,
                f"{row.size} x {row.size} x {row.channels}",
                str(row.batch_size),
                row.precision,
                f"{found['ours']:.0f}",
                f"{found['peer']:.0f}",
                f"**{found['ratio']:.2f}** [{found['spread']}]",
                str(row.bar or "-"),
                f"{found['control']:.2f} [{found['control_spread']}]",
                f"{own:.0f} MB, {other:.0f} MB",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def contend(kind: str, row: Row) -> None:
    """Be one of the contenders until there are no more turns."""
    work = trainings.Work(
        shape=(row.size, row.size, row.channels),
        num_classes=CLASSES,
        batch_size=row.batch_size,
        steps=row.steps,
        together=row.together,
        precision=row.precision,
    )
    if kind == "ours":
        trainings.ours(
            work, functools.partial(BACKBONES[row.backbone], num_classes=CLASSES)
        )
    else:
        own = BACKBONES[row.backbone](work.shape, CLASSES)
        trainings.fit(work, PEERS[row.backbone], num_params=own.count_params())


def _resnet18(shape):
    """ResNet-18 as its users write it with Keras's layers."""
    inputs, x = _normalized(shape)
    x = layers.MaxPooling2D(3, 2, "same")(_convolution(x, 64, 7, 2))
    for filters, strides in ((64, 1), (128, 2), (256, 2), (512, 2)):
        shortcut = x
        if strides > 1:
            shortcut = _convolution(x, filters, 1, strides, activation=None)
        x = _residual(x, shortcut, filters, strides)
        x = _residual(x, x, filters, 1)
    return keras.Model(inputs, _classifier(x))


def _resnet20(shape):
    """The ResNet-20 of CIFAR, whose shortcuts have no parameters."""
    inputs, x = _normalized(shape)
    x = _convolution(x, 16, 3)
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        shortcut = x
        if strides > 1:
            missing = filters - x.shape[-1]
            shortcut = layers.AveragePooling2D(1, strides)(x)
            shortcut = keras.ops.pad(shortcut, ((0, 0),) * 3 + ((0, missing),))
        x = _residual(x, shortcut, filters, strides)
        for _ in range(2):
            x = _residual(x, x, filters, 1)
    return keras.Model(inputs, _classifier(x))


def _lenet5(shape):
    inputs, x = _normalized(shape)
    x = layers.ZeroPadding2D(2)(x)
    for filters in (6, 16):
        x = layers.MaxPooling2D()(layers.Conv2D(filters, 5, activation="relu")(x))
    x = layers.Flatten()(x)
    for units in (120, 84):
        x = layers.Dense(units, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(CLASSES, dtype="float32")(x))


def _normalized(shape):
    inputs = keras.Input(shape)
    return inputs, layers.Rescaling(4.0, -2.0)(inputs)


def _convolution(x, filters, size, strides=1, activation="relu"):
    x = layers.Conv2D(filters, size, strides, "same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    return layers.Activation(activation)(x) if activation else x


def _residual(x, shortcut, filters, strides):
    x = _convolution(x, filters, 3, strides)
    x = _convolution(x, filters, 3, activation=None)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _classifier(x):
    return layers.Dense(CLASSES, dtype="float32")(layers.GlobalAveragePooling2D()(x))


PEERS = {"lenet5": _lenet5, "cifar_resnet20": _resnet20, "resnet18": _resnet18}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        [chosen] = [row for row in ROWS if row.name == sys.argv[3]]
        contend(sys.argv[2], chosen)
    else:
        main(sys.argv[1:])
