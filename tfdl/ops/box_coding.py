"""How is a box written as a correction of an anchor, and read back?

The deltas of Faster R-CNN: the shift of the centre in sizes of the anchor, and the
logarithm of what each side is multiplied by.
"""

import math
from collections.abc import Sequence

import keras
from keras import ops

from tfdl.ops import boxes as boxes_of

# SSD's: what deltas are divided by, so that all four are of order 1.
VARIANCES = (0.1, 0.1, 0.2, 0.2)
# An anchor of 16 pixels becomes at most one of 1000, as in Detectron: an untrained
# network must not return infinity.
MAX_LOG_SCALE = math.log(1000 / 16)
_LEAST_SIZE = 1e-6  # pixels; keeps padding, which has no size, finite


def encode(
    boxes: keras.KerasTensor,
    anchors: keras.KerasTensor,
    *,
    variances: Sequence[float] = VARIANCES,
) -> keras.KerasTensor:
    """Write boxes as deltas of their anchors.

    Args:
        boxes: float32 (..., anchors, 4), pixels; one without size gives finite deltas.
        anchors: float32 (anchors, 4) or (..., anchors, 4), pixels.
        variances: what each delta is divided by; (1, 1, 1, 1) for none.

    Returns:
        float32 (..., anchors, 4): (x, y, log width, log height).

    Reference:
        Ren et al., "Faster R-CNN", 2015, 3.1.2; Liu et al., "SSD", 2016, 2.2 (the
        variances are of the authors' code).
    """
    box, anchor = (boxes_of.to_cxcywh(some) for some in (boxes, anchors))
    anchor_size = anchor[..., 2:]
    shift = (box[..., :2] - anchor[..., :2]) / anchor_size
    scale = ops.log(ops.maximum(box[..., 2:], _LEAST_SIZE) / anchor_size)
    return ops.concatenate([shift, scale], axis=-1) / _as_row(variances)


def decode(
    deltas: keras.KerasTensor,
    anchors: keras.KerasTensor,
    *,
    variances: Sequence[float] = VARIANCES,
) -> keras.KerasTensor:
    """Read boxes from deltas, the inverse of `encode` below `MAX_LOG_SCALE`.

    Args:
        deltas: float32 (..., anchors, 4), as `encode` writes them.
        anchors: float32 (anchors, 4) or (..., anchors, 4), pixels.
        variances: what each delta was divided by.

    Returns:
        float32 (..., anchors, 4), pixels, not cut to the picture.
    """
    deltas = deltas * _as_row(variances)
    anchor = boxes_of.to_cxcywh(ops.convert_to_tensor(anchors, "float32"))
    scale = ops.exp(ops.minimum(deltas[..., 2:], MAX_LOG_SCALE))
    centre = deltas[..., :2] * anchor[..., 2:] + anchor[..., :2]
    return boxes_of.from_cxcywh(
        ops.concatenate([centre, scale * anchor[..., 2:]], axis=-1)
    )


def _as_row(variances):
    return ops.convert_to_tensor(list(variances), "float32")
