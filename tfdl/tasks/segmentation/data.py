"""Pictures with label maps -> what a segmentation network eats."""

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data import cache, location, splits
from tfdl.data.augment import annotations
from tfdl.data.sources import (
    coco_semantic,
    masks,
    semantic,
    source,
    synthetic,
    tfds_semantic,
)

FORMATS = ("synthetic", "masks", "coco", "tfds")

GREY = 0.5  # beside a picture that is smaller than its crop
IGNORED = semantic.IGNORED
_DRAWING_SEED = 20
_DRAWN_OBJECTS = 4  # at most, in a drawing
_CHANNELS = 3


def read(
    spec: str,
    *,
    cache_dir: pathlib.Path,
    image_size: int,
    num_examples: int,
    validation_fraction: float,
    test_fraction: float,
    on_bad_data: str,
    ignore: Sequence[int] = (),
    train_dev_fraction: float = 0.0,
    warn: Callable[[str], None] = warnings.warn,
) -> dict[str, semantic.Source | semantic.Stream]:
    """Open train, validation and test of a data set, with no picture in two of them.

    Only the splits of a tfds: set are taken as they are.

    Args:
        spec: "synthetic", "masks:PATH", "coco:PATH" or "tfds:NAME".
        cache_dir: where drawings, scans, and copies of label maps are kept.
        image_size: of the drawings of the synthetic source, in pixels.
        num_examples: of the synthetic source.
        validation_fraction: share of train to hold out where there is no validation.
        test_fraction: the same of test.
        on_bad_data: "error" or "skip", for broken pictures and maps and for leaks.
        ignore: values of label maps that are no class, beside 255; of masks: and tfds:
            data alone.
        train_dev_fraction: share of train that is neither trained on nor chosen by.
        warn: takes one line about each thing that was left out.

    Returns:
        {"train", "validation", "test"}, and "train_dev" if a share is given.

    Raises:
        UsageError: the format is unknown, or has no values to ignore.
        DataError: the data are missing, broken or leak.
        NetworkError: they would have to be fetched, and there is no network.
    """
    name, place = location.parse(spec, formats=FORMATS)
    if ignore and name not in ("masks", "tfds"):
        raise errors.UsageError(
            f"--ignore is of values in label maps, and --data {spec} has none",
            "drop --ignore",
        )
    fractions = {
        "validation_fraction": validation_fraction,
        "test_fraction": test_fraction,
        "train_dev_fraction": train_dev_fraction,
    }
    if name == "tfds":
        prepared = [location.root() / "tensorflow_datasets", location.root()]
        folders = [*prepared, pathlib.Path("~/tensorflow_datasets").expanduser()]
        return tfds_semantic.read(
            place, folders=folders, ignore=ignore, cache=cache_dir, **fractions
        )
    if name == "synthetic":
        found = synthetic.read_semantic(
            cache=cache_dir,
            num_examples=num_examples,
            image_size=image_size,
            max_objects=_DRAWN_OBJECTS,
            seed=_DRAWING_SEED,
        )
    else:
        how = {"cache": cache_dir, "on_bad_data": on_bad_data, "warn": warn}
        path = location.find(place)
        if name == "coco":
            found = coco_semantic.read(path, **how)
        else:
            found = masks.read(path, ignore=ignore, **how)
    found = splits.complete(found, **fractions)
    return splits.apart(found, on_bad_data=on_bad_data, warn=warn)


def class_frequencies(train: semantic.Source | semantic.Stream) -> np.ndarray:
    """Compute the share of each class among the pixels that are not ignored.

    Args:
        train: what is trained on; its maps were counted when it was read.

    Returns:
        float64 (classes,), sums to 1.

    Raises:
        DataError: every pixel is ignored.
    """
    pixels = train.class_pixels.sum(axis=0)
    if not pixels.any():
        raise errors.DataError(
            f"every pixel of all {len(train)} label maps of train is ignored",
            "look at the values of the label maps, and at --ignore",
        )
    return pixels / pixels.sum()


def kept(
    examples: semantic.Source | semantic.Stream, *, limit_bytes: int
) -> semantic.Source | semantic.Stream:
    """Keep decoded pictures and label maps in memory.

    Args:
        examples: of any size; a Stream is returned as it is.
        limit_bytes: the most memory to use, and as much again while it is filled; what
            does not fit is decoded each time.
    """
    if isinstance(examples, semantic.Stream):
        return examples
    num_pixels = examples.sizes.astype(np.int64).prod(axis=1)
    joined = dataclasses.replace(
        examples,
        load=lambda index: {"image": _joined(examples.load(index))},
        pixels=num_pixels * (_CHANNELS + 1),
    )
    memory = cache.keep_pictures(
        joined, limit_bytes=limit_bytes, annotations=lambda index: {}
    )
    return dataclasses.replace(
        examples, load=lambda index: _parted(memory.load(index)["image"])
    )


def prepare_image(image: tf.Tensor) -> tf.Tensor:
    """Scale a picture to [0, 1]; it keeps its size.

    Training, evaluation, prediction and the exported graph all come through here.

    Args:
        image: uint8 (height, width, 3), of any size.

    Returns:
        float32 (height, width, 3) in [0, 1].
    """
    # A graph would turn a division into a product: as it stands, both agree.
    return tf.cast(image, tf.float32) * (1 / 255)


def preparation(image_size: int) -> Callable[[source.Sample], dict[str, tf.Tensor]]:
    """Build the function that makes a training example of a sample.

    Args:
        image_size: side of the square that is trained on. Of a picture of another size
            the middle is taken; one that is smaller lies in grey, which is ignored.

    Returns:
        sample with "image" and "semantic" -> {"image": float32 (image_size, image_size,
        3) in [0, 1], "semantic": uint8 (image_size, image_size), 255 for ignored}.
    """
    return functools.partial(_prepare, image_size=image_size)


def question(sample: source.Sample) -> dict[str, tf.Tensor]:
    """Make what is asked in evaluation of a sample, at its own size.

    Returns:
        {"image" as `prepare_image` makes it, "semantic": uint8 (height, width)}.
    """
    return {
        "image": prepare_image(sample["image"]),
        "semantic": sample["semantic"],
    }


def _prepare(sample, *, image_size) -> dict[str, tf.Tensor]:
    square = tf.constant([image_size, image_size])
    corner = (annotations.size_of(sample["image"]) - square) // 2
    middle = annotations.window(
        {name: sample[name] for name in ("image", "semantic")},
        corner,
        square,
        fill=round(255 * GREY),
        min_visibility=0,
    )
    return question(middle)


def _joined(sample: source.Sample) -> tf.Tensor:
    """Put a label map behind its picture -> uint8 (height, width, 4)."""
    return tf.concat([sample["image"], sample["semantic"][..., None]], axis=-1)


def _parted(planes: tf.Tensor) -> source.Sample:
    return {"image": planes[..., :_CHANNELS], "semantic": planes[..., _CHANNELS]}
