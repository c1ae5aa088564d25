"""What should every anchor answer: which class, and which correction of its box?"""

from collections.abc import Mapping, Sequence

import keras
from keras import ops

from tfdl.ops import box_coding, matching, rows

BACKGROUND, IGNORED = -1, -2  # labels of anchors without an object


def assign(
    objects: Mapping[str, keras.KerasTensor],
    anchors: keras.KerasTensor,
    *,
    positive: float,
    negative: float,
    variances: Sequence[float],
) -> dict[str, keras.KerasTensor]:
    """Turn the objects of pictures into targets of fixed shape.

    Args:
        objects: as for `detector.Detector.targets`.
        anchors: float32 (anchors, 4), pixels.
        positive: least IoU of an anchor that answers for an object; every object that
            overlaps an anchor has one, whatever their IoU, see `matching.match`.
        negative: an anchor of less IoU belongs to the background.
        variances: of the deltas, see `box_coding.encode`.

    Returns:
        {"labels": int32 (batch, anchors), the class, `BACKGROUND` or `IGNORED`,
        "deltas": float32 (batch, anchors, 4), zeros without an object,
        "weights": float32 (batch, anchors), the object's, 0 without one}.
    """
    matches = matching.match_boxes(
        objects, anchors, positive=positive, negative=negative
    )
    owners, is_positive = matches["objects"], matches["is_positive"]
    others = ops.where(matches["is_negative"], BACKGROUND, IGNORED)
    labels, weights, boxes = (
        rows.take(objects[name], owners) for name in ("labels", "weights", "boxes")
    )
    deltas = box_coding.encode(boxes, anchors, variances=variances)
    return {
        "labels": ops.where(is_positive, ops.cast(labels, "int32"), others),
        "deltas": ops.where(is_positive[..., None], deltas, 0.0),
        "weights": ops.where(is_positive, weights, 0.0),
    }


def count_positives(labels: keras.KerasTensor) -> keras.KerasTensor:
    """Count the anchors with an object, at least one: what losses are divided by.

    Args:
        labels: int32 (batch, anchors), as `assign` returns them.

    Returns:
        float32 (batch,).
    """
    return ops.maximum(ops.sum(ops.cast(labels >= 0, "float32"), axis=-1), 1.0)
