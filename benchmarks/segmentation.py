"""Compares our training of segmentation networks with Keras's and keras-cv's.

    python benchmarks/segmentation.py             # all rows, about 15 minutes
    python benchmarks/segmentation.py unet        # the rows whose name has this in it

All train on the same random pictures of 256 x 256 and random label maps in memory, by
SGD with momentum. Ours is `loop.train` as the app runs it; the peers are plain `fit`
with their own layers, loss and bfloat16 policy. The control is a second process of the
peer. Both DeepLabv3+ have the same layers: keras-cv's takes the paper's decoder as its
`segmentation_head`, and ours the only output stride of keras-cv's, 32; its ResNet has
the strides one convolution earlier, so that it does a little less. Rows of bfloat16 are
left out where the processor has no instructions for it.
"""

import contextlib
import dataclasses
import functools
import json
import sys

import contest
import keras_segmentation
import tables

import tfdl.quiet  # noqa: F401  # isort: skip
import keras
import numpy as np
import trainings

from tfdl.layers import cost
from tfdl.tasks.segmentation import deeplab, segmenter, unet
from tfdl.training import optimizers, precision

SIZE = 256
ROUNDS = 6


@dataclasses.dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        network: a key of `NETWORKS`.
        precision: "float32" or "bfloat16".
        bar: the ratio to reach.
    """

    network: str
    precision: str
    bar: float

    @property
    def name(self) -> str:
        """The row's name on the command line."""
        return f"{self.network}-{self.precision}"


@dataclasses.dataclass(frozen=True)
class Network:
    """A network on both sides.

    Attributes:
        title: what the table calls it.
        shape: (height, width, channels) of the pictures.
        num_classes: of pixels.
        batch_size: pictures in a step.
        ours: (shape, number of classes) -> our network.
        peer: the same -> the peer's, whose output are probabilities.
    """

    title: str
    shape: tuple[int, int, int]
    num_classes: int
    batch_size: int
    ours: object
    peer: object


NETWORKS = {
    "unet": Network(
        "U-Net, Keras `fit`",
        (SIZE, SIZE, 1),
        2,
        2,
        unet.unet,
        keras_segmentation.unet,
    ),
    "deeplabv3plus": Network(
        "DeepLabv3+ ResNet-50, keras-cv",
        (SIZE, SIZE, 3),
        21,
        4,
        functools.partial(deeplab.deeplabv3plus, output_stride=32),
        keras_segmentation.deeplabv3plus,
    ),
}
ROWS = (
    Row("unet", "float32", 0.98),
    Row("deeplabv3plus", "float32", 1.3),
    Row("deeplabv3plus", "bfloat16", 1.7),
)


def main(names: list[str]) -> None:
    """Measure the rows of these names, or all, and write the table."""
    tables.RESULTS.mkdir(parents=True, exist_ok=True)
    file = tables.RESULTS / "segmentation.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    kinds = ["float32"] + ["bfloat16"] * precision.has_bfloat16()
    for row in ROWS:
        is_asked = not names or any(name in row.name for name in names)
        if is_asked and row.precision in kinds:
            results[row.name] = measure(row)
            file.write_text(json.dumps(results, indent=2))
    tables.write("segmentation", table(results))


def measure(row: Row) -> dict:
    """Compare the two networks of a row, and their speeds -> what the table says.

    Raises:
        ValueError: they have not equal numbers of parameters.
    """
    network = NETWORKS[row.network]
    makers = (network.ours, network.peer)
    made = [make(network.shape, network.num_classes) for make in makers]
    counts = [model.count_params() for model in made]
    if counts[0] != counts[1]:
        raise ValueError(f"{row.name}: {counts} parameters")
    return {
        **contest.against_peer(__file__, row.name, rounds=ROUNDS),
        "parameters": counts,
        "multiply_adds": [
            cost.total(cost.of_layers(model)).multiply_adds for model in made
        ],
    }


def contend(kind: str, name: str) -> None:
    """Train one side of a row until there are no more turns."""
    [row] = [row for row in ROWS if row.name == name]
    network = NETWORKS[row.network]
    work = trainings.Work(
        network.shape,
        network.num_classes,
        network.batch_size,
        steps=2,
        together=2,
        precision=row.precision,
    )
    (_train_ours if kind == "ours" else _train_peer)(network, work)


def _examples(work: trainings.Work) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures, float32 in [0, 1], and label maps, uint8."""
    images, _ = work.examples()
    rng = np.random.default_rng(1)
    shape = images.shape[:-1]
    return images, rng.integers(0, work.num_classes, shape, np.uint8)


def _train_ours(network: Network, work: trainings.Work) -> None:
    def compiled() -> keras.Model:
        optimizer = optimizers.optimizer("momentum", trainings.RATE)
        made = network.ours(work.shape, work.num_classes)
        return segmenter.Objective().compile(made, optimizer)

    images, labels = _examples(work)
    trainings.looped(work, compiled, (images, {"labels": labels}))


def _train_peer(network: Network, work: trainings.Work) -> None:
    if work.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = network.peer(work.shape, work.num_classes)
    model.compile(
        keras.optimizers.SGD(trainings.RATE, momentum=trainings.MOMENTUM),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    watch = trainings.Stopwatch(work, 1)
    with contextlib.suppress(contest.Over):
        model.fit(
            *_examples(work),
            batch_size=work.batch_size,
            epochs=1 << 30,
            verbose=0,
            callbacks=[watch],
        )


def table(results: dict[str, dict]) -> list[str]:
    """Write the results as a Markdown table."""
    lines = [
        f"Machine: {tables.machine()}. Medians of {ROUNDS} turns each, by turns; in "
        "brackets the smallest and the largest ratio of a turn. Memory is the most "
        "that the process had. Pairs are ours and the peer's.",
        "",
        "| network and peer | batch | precision | million parameters | billion "
        "multiply-adds of a picture, forwards | images/s | ratio | bar | control: the "
        "peer against itself | memory, MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        if row.name in results:
            found, network = results[row.name], NETWORKS[row.network]
            cells = (
                network.title,
                str(network.batch_size),
                row.precision,
                _both(found["parameters"], "{:.2f}", 1e6),
                _both(found["multiply_adds"], "{:.1f}", 1e9),
                _both([found["ours"], found["peer"]], "{:.2f}"),
                f"**{found['ratio']:.2f}** [{found['spread']}]",
                str(row.bar),
                f"{found['control']:.2f} [{found['control_spread']}]",
                _both(found["megabytes"], "{:,.0f}"),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _both(pair: list[float], style: str, unit: float = 1) -> str:
    return " and ".join(style.format(number / unit) for number in pair)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        contend(*sys.argv[2:])
    else:
        main(sys.argv[1:])
