"""Pictures with masks -> what Mask R-CNN eats."""

import dataclasses
import functools
import pathlib
import warnings
from collections.abc import Callable

import tensorflow as tf

from tfdl.data import location, splits
from tfdl.data.augment import annotations
from tfdl.data.sources import (
    coco_instances,
    instance_folder,
    instances,
    source,
    synthetic,
)
from tfdl.tasks.detection import data

_FILES = {"coco": coco_instances, "instances": instance_folder}
FORMATS = ("synthetic", *_FILES)

OUTLINE_CELLS = 56  # of an outline's side: twice those of what Mask R-CNN answers
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
) -> dict[str, instances.Source]:
    """Open train, validation and test of a data set, with no picture in two of them.

    Args:
        spec: "synthetic", "coco:PATH", or "instances:PATH", a folder with a mask file
            for each object.
        cache_dir: where drawings, scans and masks are kept.
        image_size: as of `data.read`, and so are the others.
        num_examples: of the synthetic source.
        validation_fraction: share of train to hold out.
        test_fraction: the same of test.
        on_bad_data: "error" or "skip".
        train_dev_fraction: share of train.
        warn: takes one line about each thing that was left out.

    Raises:
        UsageError: the format is unknown.
        DataError: the data are missing, broken or leak.
    """
    name, place = location.parse(spec, formats=FORMATS)
    if name == "synthetic":
        found = synthetic.read_instances(
            cache=cache_dir,
            num_examples=num_examples,
            image_size=image_size,
            max_objects=_DRAWN_OBJECTS,
            seed=_DRAWING_SEED,
        )
    else:
        how = {"cache": cache_dir, "on_bad_data": on_bad_data, "warn": warn}
        found = _FILES[name].read(location.find(place), **how)
    found = splits.complete(
        found,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        train_dev_fraction=train_dev_fraction,
    )
    return splits.apart(found, on_bad_data=on_bad_data, warn=warn)


def shrunk(examples: instances.Source, *, image_size: int) -> instances.Source:
    """Make pictures as small as they are trained with, before they are augmented.

    Args:
        examples: with masks.
        image_size: of the longer side, in pixels; smaller pictures stay as they are.
    """

    def load(record: tf.Tensor) -> source.Sample:
        sample = examples.load(record)
        size = tf.shape(sample["image"])[:2]
        side = tf.minimum(image_size, tf.reduce_max(size))
        resized, _ = data.placement(size, side)
        return annotations.resize(sample, resized, antialias=True)

    return dataclasses.replace(examples, load=load)


def preparation(
    image_size: int, *, max_objects: int
) -> Callable[[source.Sample], dict[str, tf.Tensor]]:
    """Build the function that makes a training example of a sample.

    Args:
        image_size: side of the model's input.
        max_objects: to which objects are padded; more are dropped, the last first.

    Returns:
        sample with "image", "boxes", "labels" and "masks" -> that of
        `data.preparation`, with "outlines", float32 (max_objects, OUTLINE_CELLS,
        OUTLINE_CELLS) of 0 and 1, see `outlines`.
    """
    prepare = data.preparation(image_size, max_objects=max_objects)
    return functools.partial(_prepare, prepare=prepare, max_objects=max_objects)


def outlines(masks: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Look at masks within their boxes, at the pixels under regularly spaced points.

    A few thousand numbers of each object are kept in place of a whole picture.

    Args:
        masks: uint8 (objects, height, width) of 0 and 1.
        boxes: float32 (objects, 4), pixels of these.

    Returns:
        float32 (objects, OUTLINE_CELLS, OUTLINE_CELLS) of 0 and 1.
    """
    # A border of zeros: there is nothing of an object beyond its picture.
    framed = tf.pad(masks, [[0, 0], [1, 1], [1, 1]])[..., None]
    limits = tf.cast(tf.tile(tf.shape(framed)[1:3], [2]) - 1, tf.float32)
    low, high = boxes[:, 1::-1] + 0.5, boxes[:, :1:-1] + 0.5  # rows, columns, framed
    half_step = (high - low) / (2 * OUTLINE_CELLS)
    corners = tf.concat([low + half_step, high - half_step], axis=-1)
    side = [OUTLINE_CELLS, OUTLINE_CELLS]
    own = tf.range(tf.shape(boxes)[0])
    seen = tf.image.crop_and_resize(
        framed, corners / limits, own, side, method="nearest"
    )
    return seen[..., 0]


def _prepare(sample, *, prepare, max_objects) -> dict[str, tf.Tensor]:
    own = outlines(sample["masks"][:max_objects], sample["boxes"][:max_objects])
    missing = max_objects - tf.shape(own)[0]
    padded = tf.pad(own, [[0, missing], [0, 0], [0, 0]])
    shape = [max_objects, OUTLINE_CELLS, OUTLINE_CELLS]
    return prepare(sample) | {"outlines": tf.ensure_shape(padded, shape)}
