"""Looks the objects of a picture up by its number, in the graph."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfdl.data.sources import source


def objects(
    known: Sequence[source.Objects], *, scales: np.ndarray | None = None
) -> Callable[[tf.Tensor], source.Sample]:
    """Build the function that finds boxes and labels; crowds are left out.

    Args:
        known: of each picture.
        scales: float32 (pictures, 2), by which height and width of each picture were
            changed, and its boxes are; or None.

    Returns:
        index, int64 () -> {"boxes": float32 (objects, 4), "labels": int32 (objects,)}.
    """
    singles = [~of_picture.is_crowd for of_picture in known]
    boxes, labels = (
        tf.constant(np.concatenate([empty, *found]))
        for empty, found in (
            (np.zeros((0, 4), np.float32), _kept("boxes", known, singles)),
            (np.zeros(0, np.int32), _kept("labels", known, singles)),
        )
    )
    ends = np.cumsum([0, *(is_single.sum() for is_single in singles)])
    bounds = tf.constant(np.stack([ends[:-1], ends[1:]], axis=1))
    if scales is None:
        scales = np.ones((len(known), 2), np.float32)
    factors = tf.constant(np.tile(scales[:, ::-1], 2))

    def find(index: tf.Tensor) -> source.Sample:
        first, end = tf.unstack(tf.gather(bounds, index))
        return {
            "boxes": boxes[first:end] * tf.gather(factors, index),
            "labels": labels[first:end],
        }

    return find


def _kept(name: str, known, singles) -> list[np.ndarray]:
    pairs = zip(known, singles, strict=True)
    return [getattr(each, name)[is_single] for each, is_single in pairs]
