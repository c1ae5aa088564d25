"""Asks an export of Mask R-CNN about examples and about whole splits."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data import questions
from tfdl.data.sources import instances
from tfdl.tasks.detection import (
    mask_answers,
    mask_feeding,
    mask_results,
    order,
    postprocess,
    served,
)

_NUM_EXAMPLES = 8
_MAPS = "instance_map_bytes"
_DOUBT = 1e-3  # share of a map's pixels that rounding may change

Signatures = Mapping[str, Callable[..., Mapping]]


def task(
    splits: mask_feeding.Splits | None,
    class_names: Sequence[str],
    *,
    image_size: int,
    thresholds: postprocess.Thresholds,
    file_format: str,
) -> dict[str, Any]:
    """Say what an export answers, and how that is proved.

    Args:
        splits: of the run's data, or None where they are not at hand.
        class_names: one for each class.
        image_size: side of what the model takes.
        thresholds: what is answered.
        file_format: "savedmodel"; the others cannot hold the network.

    Returns:
        The arguments of `tfdl.export.writing.write` that know the task.

    Raises:
        UsageError: another format is asked for.
    """
    if file_format != "savedmodel":
        raise errors.UsageError(
            f"--format {file_format} is not written of Mask R-CNN, which drops boxes "
            "within its network",
            "write a SavedModel",
        )
    shown, measured = questions.noise(), None
    if splits:
        test = splits.sources["test"]
        shown = questions.some_pictures(test, count=_NUM_EXAMPLES)
        measured = functools.partial(
            measure, examples=test, most=thresholds.max_detections
        )
    squares = served.prepared(shown, image_size=image_size)
    return {
        "build": functools.partial(mask_answers.signatures, image_size=image_size),
        "labels": class_names,
        "align": functools.partial(aligned, thresholds=thresholds),
        "examples": {
            "serving_default": {"image_bytes": questions.files(shown)},
            "serve_tensor": {"images": squares},
        },
        "calibration": tf.zeros([0, image_size, image_size, 3]),
        "measure": measured,
    }


def aligned(
    expected: Mapping, found: Mapping, tolerance: float, *, thresholds
) -> Mapping:
    """Bring detections into the order of those that were expected, and their masks.

    Maps are taken for equal where rounding alone may have moved an edge: masks are
    compared number by number beside them.

    Args:
        expected: of `mask_answers.signatures`.
        found: likewise, of the same pictures.
        tolerance: as of `order.aligned`.
        thresholds: likewise.
    """
    (own, maps), (others, other_maps) = map(_apart, (expected, found))
    arranged = order.aligned(own, others, tolerance, thresholds=thresholds)
    if maps is None:
        return arranged
    chosen = [
        one if _are_alike(one, other) else other
        for one, other in zip(maps, other_maps, strict=True)
    ]
    return {**arranged, _MAPS: tf.constant(chosen)}


def measure(
    signatures: Signatures, examples: instances.Source, *, most: int
) -> dict[str, float]:
    """Measure the average precision of the masks that an export finds in a split.

    Args:
        signatures: of which "serving_default" is asked with files, which are PNG and so
            of the same pixels.
        examples: the split.
        most: as of `mask_results.Collected`.

    Returns:
        As `mask_results.brief`: the AP that `evaluate` reports.
    """

    def answers():
        for number in range(len(examples)):
            image = examples.load(tf.constant(number, tf.int64))["image"]
            asked = tf.io.encode_png(image)[None]
            batch = {"number": [number], "size": [image.shape[:2]]}
            yield signatures["serving_default"](image_bytes=asked), batch

    return mask_results.brief(mask_results.collect(answers(), examples, most=most))


def _apart(answers: Mapping) -> tuple[dict, list[bytes] | None]:
    """Tell what is said of each detection from the maps of the pictures."""
    rest = {name: value for name, value in answers.items() if name != _MAPS}
    return rest, np.asarray(answers[_MAPS]).tolist() if _MAPS in answers else None


def _are_alike(one: bytes, other: bytes) -> bool:
    first, second = (tf.io.decode_png(m, dtype=tf.uint16).numpy() for m in (one, other))
    return first.shape == second.shape and np.mean(first != second) <= _DOUBT
