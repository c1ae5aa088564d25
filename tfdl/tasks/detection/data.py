"""Pictures with objects -> what a detector eats, and back to the picture's pixels."""

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfdl.data import cache, location, splits
from tfdl.data.sources import (
    annotated,
    lookup,
    source,
    synthetic,
    tfds,
)
from tfdl.ops import boxes
from tfdl.tasks.detection import formats

FORMATS = ("synthetic", *formats.FORMATS, "tfds")

GREY = 0.5  # around a picture that is not square
PADDING_LABEL = -1
# What is known of objects, and what stands there for none.
FILLINGS = {"boxes": 0.0, "labels": PADDING_LABEL, "weights": 0.0, "outlines": 0.0}
_DRAWING_SEED = 20
_DRAWN_OBJECTS = 4  # at most, in a drawing


def read(
    spec: str,
    *,
    cache_dir: pathlib.Path,
    image_size: int,
    num_examples: int,
    validation_fraction: float,
    test_fraction: float,
    on_bad_data: str,
    train_dev_fraction: float = 0.0,
    warn: Callable[[str], None] = warnings.warn,
) -> dict[str, source.Source | source.Stream]:
    """Open train, validation and test of a data set, with no picture in two of them.

    Only the splits of a tfds: set are taken as they are.

    Args:
        spec: "synthetic", "voc:PATH", "coco:PATH", "yolo:PATH" or "tfds:NAME".
        cache_dir: where drawings and scans are kept.
        image_size: of the drawings of the synthetic source, in pixels.
        num_examples: of the synthetic source.
        validation_fraction: share of train to hold out where there is no validation.
        test_fraction: the same of test.
        on_bad_data: "error" or "skip", for broken pictures, boxes and for leaks.
        train_dev_fraction: share of train that is neither trained on nor chosen by.
        warn: takes one line about each thing that was left out.

    Returns:
        {"train", "validation", "test"}, and "train_dev" if a share is given; all know
        their objects.

    Raises:
        UsageError: the format is unknown.
        DataError: the data are missing, broken or leak.
        NetworkError: they would have to be fetched, and there is no network.
    """
    name, place = location.parse(spec, formats=FORMATS)
    fractions = {
        "validation_fraction": validation_fraction,
        "test_fraction": test_fraction,
        "train_dev_fraction": train_dev_fraction,
    }
    if name == "tfds":
        prepared = [location.root() / "tensorflow_datasets", location.root()]
        folders = [*prepared, pathlib.Path("~/tensorflow_datasets").expanduser()]
        return tfds.read(place, folders=folders, features="objects", **fractions)
    if name == "synthetic":
        found = synthetic.read(
            cache=cache_dir,
            num_examples=num_examples,
            image_size=image_size,
            max_objects=_DRAWN_OBJECTS,
            multi_label=True,
            seed=_DRAWING_SEED,
        )
    else:
        found = annotated.sources(
            formats.FORMATS[name].read(location.find(place)),
            cache=cache_dir,
            on_bad_data=on_bad_data,
            warn=warn,
        )
    found = splits.complete(found, **fractions)
    return splits.apart(found, on_bad_data=on_bad_data, warn=warn)


def shrunk(
    examples: source.Source | source.Stream, *, image_size: int, limit_bytes: int
) -> source.Source | source.Stream:
    """Make pictures as small as they are trained with, and keep them in memory.

    Augmentation of a small picture is fast, and loses nothing that the model would see
    unless it zooms in.

    Args:
        examples: with objects.
        image_size: of the longer side, in pixels; smaller pictures stay as they are.
        limit_bytes: most memory to use, none for a Stream.
    """
    load = functools.partial(_load_shrunk, examples.load, image_size=image_size)
    if isinstance(examples, source.Stream):
        return dataclasses.replace(examples, load=load)
    sizes = np.array([known.size for known in examples.objects], np.int32)
    smaller = placement(sizes, min(image_size, sizes.max()))[0].numpy()
    smaller = np.where(sizes.max(axis=1, keepdims=True) > image_size, smaller, sizes)
    small = dataclasses.replace(
        examples, load=load, pixels=smaller.astype(np.int64).prod(axis=1) * 3
    )
    scales = (smaller / sizes).astype(np.float32)
    return cache.keep_pictures(
        small,
        limit_bytes=limit_bytes,
        annotations=lookup.objects(examples.objects, scales=scales),
    )


def placement(
    sizes: tf.Tensor, image_size: int | tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Say where pictures of some sizes lie in a square, as large as they fit.

    Args:
        sizes: int32 (..., 2), height and width in pixels.
        image_size: side of the square.

    Returns:
        The height and width that each is resized to, and row and column of its corner,
        int32 (..., 2) both.
    """
    longest = tf.reduce_max(sizes, axis=-1, keepdims=True)
    scale = tf.cast(image_size, tf.float64) / tf.cast(longest, tf.float64)
    exact = tf.cast(sizes, tf.float64) * scale
    resized = tf.maximum(tf.cast(tf.round(exact), tf.int32), 1)
    return resized, (image_size - resized) // 2


def prepare_image(image: tf.Tensor, *, image_size: int) -> tf.Tensor:
    """Lay a picture into a grey square, as large as it fits, scaled to [0, 1].

    Training, evaluation, prediction and the exported graph all come through here.

    Args:
        image: uint8 (height, width, 3), of any size.
        image_size: side of the square.

    Returns:
        float32 (image_size, image_size, 3) in [0, 1].
    """
    size = tf.shape(image)[:2]
    resized, corner = placement(size, image_size)
    # A graph would turn a division into a product: as it stands, both agree.
    image = tf.cast(image, tf.float32) * (1 / 255)
    image = tf.cond(
        tf.reduce_all(resized == size),
        lambda: image,
        lambda: tf.image.resize(image, resized, antialias=True),
    )
    margins = tf.stack([corner, image_size - resized - corner], axis=1)
    square = tf.pad(image, tf.pad(margins, [[0, 1], [0, 0]]), constant_values=GREY)
    return tf.ensure_shape(square, [image_size, image_size, 3])


def into_square(found: tf.Tensor, sizes: tf.Tensor, *, image_size: int) -> tf.Tensor:
    """Move boxes with their picture into the square of `prepare_image`.

    Args:
        found: float32 (..., objects, 4), pixels of the picture.
        sizes: int32 (..., 2), its height and width.
        image_size: side of the square.

    Returns:
        float32 (..., objects, 4), pixels of the square.
    """
    scale, shift = _mapping(sizes, image_size)
    return found * scale + shift


def out_of_square(found: tf.Tensor, sizes: tf.Tensor, *, image_size: int) -> tf.Tensor:
    """Move boxes back, and cut them to their picture; see `into_square`."""
    scale, shift = _mapping(sizes, image_size)
    height, width = tf.unstack(tf.cast(sizes, tf.float32)[..., None], axis=-2)
    limits = tf.stack([width, height, width, height], axis=-1)
    return tf.clip_by_value((found - shift) / scale, 0.0, limits)


def preparation(
    image_size: int, *, max_objects: int
) -> Callable[[source.Sample], dict[str, tf.Tensor]]:
    """Build the function that makes a training example of a sample.

    Args:
        image_size: side of the model's input.
        max_objects: to which objects are padded; more are dropped, the last first.

    Returns:
        sample with "image", "boxes" and "labels" -> {"image": float32 (image_size,
        image_size, 3) in [0, 1], "boxes": float32 (max_objects, 4), pixels of it,
        "labels": int32 (max_objects,), -1 for padding, "weights": float32
        (max_objects,), 0 for padding}.
    """
    return functools.partial(_prepare, image_size=image_size, max_objects=max_objects)


def question(sample: source.Sample, *, image_size: int) -> dict[str, tf.Tensor]:
    """Make what is asked in evaluation of a sample, without its objects.

    Returns:
        {"image" as `prepare_image` makes it, "size": int32 (2,), height and width of
        the picture}.
    """
    image = sample["image"]
    return {
        "image": prepare_image(image, image_size=image_size),
        "size": tf.shape(image)[:2],
    }


def together(objects: dict[str, tf.Tensor], *, max_objects: int) -> dict:
    """Move real objects before padding, and bring them to a fixed number.

    Mixing several pictures leaves padding between their objects.

    Args:
        objects: "boxes", float32 (batch, objects, 4), "labels" and "weights" (batch,
            objects), weight 0 is padding, and perhaps "outlines", (batch, objects,
            cells, cells).
        max_objects: as many as there will be; more are dropped, the last first.
    """
    is_padding = tf.cast(objects["weights"] <= 0, tf.int32)
    order = tf.argsort(is_padding, axis=1, stable=True)[:, :max_objects]
    missing = max_objects - order.shape[1]
    return {
        name: tf.pad(
            tf.gather(values, order, batch_dims=1),
            [[0, 0], [0, missing], *[[0, 0]] * (values.shape.rank - 2)],
            constant_values=FILLINGS[name],
        )
        for name, values in objects.items()
    }


def most_objects(objects: Sequence[source.Objects]) -> int:
    """Count the objects to train on of the picture that has most, at least one."""
    counts = [len(known) - int(known.is_crowd.sum()) for known in objects]
    return max(1, *counts)


def _load_shrunk(load, record, *, image_size) -> source.Sample:
    sample = load(record)
    image = sample["image"]
    size = tf.shape(image)[:2]
    side = tf.minimum(image_size, tf.reduce_max(size))
    resized, _ = placement(size, side)

    def smaller():
        values = tf.image.resize(image, resized, antialias=True)
        return tf.cast(tf.round(tf.clip_by_value(values, 0, 255)), tf.uint8)

    scale = tf.cast(resized, tf.float32) / tf.cast(size, tf.float32)
    return {
        "image": tf.cond(tf.reduce_all(resized == size), lambda: image, smaller),
        "boxes": boxes.scale_and_shift(
            sample["boxes"], scale=scale[::-1], shift=tf.zeros(2)
        ),
        "labels": sample["labels"],
    }


def _prepare(sample, *, image_size, max_objects) -> dict[str, tf.Tensor]:
    size = tf.shape(sample["image"])[:2]
    own = into_square(sample["boxes"], size, image_size=image_size)[:max_objects]
    labels = sample["labels"][:max_objects]
    missing = max_objects - tf.shape(labels)[0]
    weights = tf.pad(tf.ones_like(labels, tf.float32), [[0, missing]])
    labels = tf.pad(labels, [[0, missing]], constant_values=PADDING_LABEL)
    return {
        "image": prepare_image(sample["image"], image_size=image_size),
        "boxes": tf.ensure_shape(tf.pad(own, [[0, missing], [0, 0]]), [max_objects, 4]),
        "labels": tf.ensure_shape(labels, [max_objects]),
        "weights": tf.ensure_shape(weights, [max_objects]),
    }


def _mapping(sizes, image_size) -> tuple[tf.Tensor, tf.Tensor]:
    """Compute the square's pixels as `boxes * scale + shift`, float32 (..., 1, 4)."""
    resized, corner = placement(sizes, image_size)
    scale = tf.cast(resized, tf.float32) / tf.cast(sizes, tf.float32)
    shift = tf.cast(corner, tf.float32)
    return tuple(
        tf.concat([pair[..., ::-1]] * 2, axis=-1)[..., None, :]
        for pair in (scale, shift)
    )
