"""Compares our input pipeline with keras-cv's and Keras's layers, in images per second.

    python benchmarks/input_pipeline.py           # both settings, about 3 minutes

The work: JPEG bytes in memory are decoded to 64 x 64, mirrored, padded by 4 pixels and
cropped, put through RandAugment (two operations, nine tenths of the full strength) and
batched by 64 as float32 in [0, 1]; then, in the second setting, through mosaic and
MixUp. Keras has no mosaic and only does MixUp there. Pictures are those of CIFAR-10,
enlarged, where TFDL_DATA has them, or else noise.

Ours is `pipeline.Training`: every picture has its own draws and can be computed again
from its number. The peers are what their users would write: `decode` and the layers in
parallel maps with AUTOTUNE, of whole batches, because that is their fastest form (of
single pictures keras-cv's layers are 0.6 and Keras's 0.85 times as fast). keras-cv
draws for each picture, Keras's RandAugment once for each batch. All shuffle, and keep
four batches ready. The control is a second process of ours.
"""

import contextlib
import functools
import io
import os
import pathlib
import sys
import time
import zipfile

import contest
import tables

import tfdl.quiet  # noqa: F401  # isort: skip
import keras
import numpy as np
import PIL.Image
import tensorflow as tf

from tfdl.data import augment, pipeline
from tfdl.data.sources import source

SIZE, PADDING, BATCH_SIZE, CLASSES = 64, 4, 64, 10
NUM_OPS, STRENGTH = 2, 0.9
NUM_EXAMPLES = 2048
READY = 4  # batches
ROUNDS, SECONDS = 7, 1.0
PEERS = ("keras_cv", "keras")
TITLES = {
    "plain": "decode, flip, crop, RandAugment",
    "mixed": "the same, mosaic and MixUp",
}


def main() -> None:
    """Measure both settings and write the table."""
    lines = [
        f"Machine: {tables.machine()}. Images/s, medians of {ROUNDS} turns of "
        f"{SECONDS:.0f} s each, by turns; in brackets the smallest and the largest "
        "ratio of a turn. The bar is 3 against each.",
        "",
        "| work | ours | keras-cv | Keras | ours / keras-cv | ours / Keras | control: "
        "ours / ours |",
        "|---|---|---|---|---|---|---|",
    ]
    for setting, title in TITLES.items():
        commands = {
            name: [__file__, "--contender", name.removeprefix("second "), setting]
            for name in ("ours", *PEERS, "second ours")
        }
        came = contest.run(commands, rounds=ROUNDS)
        ours = came["ours"]
        rates = [f"{came[name].rate:.0f}" for name in ("ours", *PEERS)]
        ratios = [
            f"**{ours.times(came[name]):.2f}** [{ours.spread(came[name])}]"
            for name in (*PEERS, "second ours")
        ]
        if setting == "mixed":
            rates[-1] += " (no mosaic)"
        lines.append(f"| {title} | {' | '.join(rates + ratios)} |")
    tables.write("input_pipeline", lines)


def contend(name: str, setting: str) -> None:
    """Be one of the contenders until there are no more turns."""
    pictures = _pictures()
    labels = np.random.default_rng(1).integers(0, CLASSES, len(pictures), np.int32)
    build = {"ours": ours, "keras_cv": keras_cv, "keras": keras_layers}[name]
    batches = iter(build(pictures, labels, is_mixed=setting == "mixed"))
    next(batches)
    turn, rate = contest.Turn(), None
    with contextlib.suppress(contest.Over):
        while True:
            turn.take(rate)
            for _ in range(2 * READY):  # some were made while the others had a turn
                next(batches)
            start, count = time.perf_counter(), 0
            while time.perf_counter() - start < SECONDS:
                next(batches)
                count += 1
            rate = count * BATCH_SIZE / (time.perf_counter() - start)


def ours(pictures: list[bytes], labels: np.ndarray, *, is_mixed: bool):
    """Build the batches as the apps do."""
    contents, classes = tf.constant(pictures), tf.constant(labels)
    examples = source.Source(
        class_names=tuple(map(str, range(CLASSES))),
        names=[str(number) for number in range(len(pictures))],
        labels=labels,
        digests=np.zeros(len(pictures), "S32"),
        pixels=np.full(len(pictures), SIZE * SIZE * 3, np.int64),
        load=lambda index: {
            "image": _decoded(tf.gather(contents, index)),
            "label": tf.gather(classes, index),
        },
    )
    recipe = pipeline.Recipe(
        prepare=lambda sample: {
            "image": tf.cast(sample["image"], tf.float32) * (1 / 255),
            "classes": tf.one_hot(sample["label"], CLASSES),
        },
        augmentations=[
            augment.flip_horizontal,
            functools.partial(augment.random_crop, padding=PADDING),
            functools.partial(
                augment.rand_augment, num_ops=NUM_OPS, magnitude=10 * STRENGTH
            ),
        ],
        mosaic=augment.mosaic if is_mixed else None,
        mix=augment.mixup if is_mixed else None,
    )
    training = pipeline.Training(examples, recipe, batch_size=BATCH_SIZE, seed=0)
    return training.batches(range(1 << 30))


def keras_cv(pictures: list[bytes], labels: np.ndarray, *, is_mixed: bool):
    """Build the batches with keras-cv's layers."""
    from keras_cv import layers

    augmenting = [
        layers.RandomFlip("horizontal"),
        _padded,
        layers.RandomCrop(SIZE, SIZE),
        layers.RandAugment(
            (0, 255), augmentations_per_image=NUM_OPS, magnitude=STRENGTH
        ),
    ]
    mixing = [layers.Mosaic(), layers.MixUp()] if is_mixed else []
    return _layered(pictures, labels, augmenting, mixing)


def keras_layers(pictures: list[bytes], labels: np.ndarray, *, is_mixed: bool):
    """Build the batches with Keras's own layers."""
    layers = keras.layers
    augmenting = [
        layers.RandomFlip("horizontal"),
        _padded,
        layers.RandomCrop(SIZE, SIZE),
        layers.RandAugment((0, 255), num_ops=NUM_OPS, factor=STRENGTH),
    ]
    mixing = [layers.MixUp()] if is_mixed else []
    return _layered(pictures, labels, augmenting, mixing)


def _padded(images: tf.Tensor) -> tf.Tensor:
    return tf.pad(images, [[0, 0], [PADDING] * 2, [PADDING] * 2, [0, 0]])


def _layered(
    pictures: list[bytes], labels: np.ndarray, augmenting: list, mixing: list
) -> tf.data.Dataset:
    """Decode, batch, and call layers on batches."""

    def decode(content, label):
        return _decoded(content), tf.one_hot(label, CLASSES)

    def call(images, classes):
        images = tf.cast(images, tf.float32)
        for layer in augmenting:
            images = layer(images)
        batch = {"images": images, "labels": classes}
        for layer in mixing:
            batch = layer(batch)
        return batch["images"] * (1 / 255), batch["labels"]

    dataset = tf.data.Dataset.from_tensor_slices((pictures, labels))
    dataset = dataset.shuffle(len(pictures)).repeat().map(decode, tf.data.AUTOTUNE)
    dataset = dataset.batch(BATCH_SIZE, drop_remainder=True)
    return dataset.map(call, tf.data.AUTOTUNE).prefetch(READY)


def _decoded(content: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_jpeg(content, channels=3)
    return tf.ensure_shape(image, [SIZE, SIZE, 3])


def _pictures() -> list[bytes]:
    """Encode pictures of 64 x 64 as JPEG."""
    folder = pathlib.Path(os.environ.get("TFDL_DATA", "data"))
    archive = folder / "cifar10_jpg" / "cifar10_jpg_subset.zip"
    if not archive.exists():
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, [NUM_EXAMPLES, 8, 8, 3], np.uint8)
        return [_encoded(PIL.Image.fromarray(values)) for values in coarse]
    with zipfile.ZipFile(archive) as files:
        names = [name for name in files.namelist() if name.endswith(".jpg")]
        return [
            _encoded(PIL.Image.open(io.BytesIO(files.read(name))))
            for name in names[:NUM_EXAMPLES]
        ]


def _encoded(picture: PIL.Image.Image) -> bytes:
    content = io.BytesIO()
    larger = picture.resize((SIZE, SIZE), PIL.Image.Resampling.BICUBIC)
    larger.save(content, "jpeg", quality=90)
    return content.getvalue()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contender"]:
        contend(*sys.argv[2:])
    else:
        main()
