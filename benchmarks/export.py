"""Times an export of ours against Keras's `model.export` of the same network.

    python benchmarks/export.py                # all networks, some minutes
    python benchmarks/export.py --rounds 15    # more rounds

Both are loaded in this one process and asked in turn with the same prepared pictures
(A B C A B C ...); a round is the mean of enough calls to last a fifth of a second, a
figure the median of the rounds. The control is a second copy of Keras's export, loaded
from the same folder: what differs from 1 there is noise. Weights are random.
"""

import argparse
import functools
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable

import tfdl.quiet  # noqa: F401  # isort: skip
import keras
import numpy as np
import tables
import tensorflow as tf

from tfdl.backbones import BACKBONES
from tfdl.export import savedmodel
from tfdl.tasks.classification import postprocess
from tfdl.training import inference, precision

# title, backbone, height and width, channels
NETWORKS = (
    ("ResNet-18, 64 x 64", "resnet18", 64, 3),
    ("ResNet-18, 224 x 224", "resnet18", 224, 3),
    ("ResNet-20, 32 x 32", "cifar_resnet20", 32, 3),
    ("LeNet-5, 28 x 28", "lenet5", 28, 1),
)
BATCH_SIZES = (1, 16)
CLASSES = tuple(f"class {number}" for number in range(10))
ROUND_SECONDS = 0.2


def build(name: str, size: int, channels: int, number_format: str) -> keras.Model:
    """Build a network with the same random weights each time."""
    precision.use(number_format)
    keras.utils.set_random_seed(0)
    model = BACKBONES[name]((size, size, channels), len(CLASSES))
    random = np.random.default_rng(0)
    for weights in model.weights:
        if "moving" in weights.path:
            weights.assign(random.uniform(0.5, 1.5, weights.shape))
    precision.use("float32")
    return model


def write(model: keras.Model, base: pathlib.Path, reference):
    """Write an export of ours, with its proof."""
    shape = model.input_shape[1:]
    random = np.random.default_rng(1)
    images = tf.constant(random.random((4, *shape), np.float32))
    pixels = random.integers(0, 256, (4, *shape), np.uint8)
    files = tf.stack([tf.io.encode_png(picture) for picture in pixels])
    return savedmodel.write(
        base,
        inference.compiled(model),
        reference=reference,
        build=functools.partial(
            postprocess.signatures,
            class_names=CLASSES,
            image_shape=shape,
            multi_label=False,
        ),
        examples={
            "serving_default": {"image_bytes": files},
            "serve_tensor": {"images": images},
        },
        assets={"labels.txt": "\n".join(CLASSES)},
        extras={},
        measure=None,
    )


def load(folder: pathlib.Path, signature: str) -> Callable:
    """Load a signature -> function of pictures alone."""
    loaded = tf.saved_model.load(str(folder))
    function = loaded.signatures[signature]
    (name,) = function.structured_input_signature[1]

    def ask(images):
        return loaded and function(**{name: images})

    return ask


def milliseconds(functions: dict[str, Callable], images, rounds: int) -> dict:
    """Time functions in turn -> the median of each."""
    times = {name: [] for name in functions}
    for function in functions.values():
        for _ in range(3):
            function(images)
    start = time.perf_counter()
    next(iter(functions.values()))(images)
    calls = max(1, int(ROUND_SECONDS / (time.perf_counter() - start)))
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(calls):
                function(images)
            times[name].append((time.perf_counter() - start) / calls * 1000)
    return {name: statistics.median(each) for name, each in times.items()}


def measure(
    name: str, size: int, channels: int, rounds: int, peer: keras.Model | None = None
) -> list[list[str]]:
    """Time one network, and its peer or itself exported by Keras.

    Returns:
        For each batch size: itself, Keras's time, ours, the speed-up, the control, and
        the speed-up of bfloat16.
    """
    model = build(name, size, channels, "float32")
    reference = inference.compiled(model)
    with tempfile.TemporaryDirectory() as place:
        plain = pathlib.Path(place) / "plain"
        (peer or model).export(plain, verbose=False)
        ours = write(model, pathlib.Path(place) / "ours", reference)
        low = build(name, size, channels, "bfloat16")
        lower = write(low, pathlib.Path(place) / "low", reference)
        functions = {
            "plain": load(plain, "serving_default"),
            "control": load(plain, "serving_default"),
            "ours": load(ours, "serve_tensor"),
            "bfloat16": load(lower, "serve_tensor"),
        }
        rows = []
        for batch_size in BATCH_SIZES:
            shape = (batch_size, size, size, channels)
            images = tf.random.stateless_uniform(shape, [0, batch_size])
            found = milliseconds(functions, images, rounds)
            cells = [str(batch_size), f"{found['plain']:.2f} ms"]
            cells += [f"{found['ours']:.2f} ms"]
            cells += [
                f"{found['plain'] / found[each]:.2f}"
                for each in ("ours", "control", "bfloat16")
            ]
            rows.append(cells)
    return rows


def main() -> None:
    """Measure all networks and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dry", action="store_true", help="print, write nothing")
    arguments = parser.parse_args()
    lines = [
        f"Machine: {tables.machine()}; load before {os.getloadavg()[0]:.1f}. Medians "
        f"of {arguments.rounds} rounds in turn. Speed-up: Keras's time divided by "
        "that of the column.",
        "",
        "| network | batch | `model.export` | ours | speed-up | control | bfloat16 |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, *network in NETWORKS:
        for cells in measure(*network, arguments.rounds):
            lines.append(f"| {' | '.join([title, *cells])} |")
            print(lines[-1], flush=True)
    if not arguments.dry:
        tables.write("export", lines)


if __name__ == "__main__":
    main()
