"""What can be computed from boxes alone?

A box is float32 (x_min, y_min, x_max, y_max) in pixels of the image beside it, half
open: the box of one pixel at the origin is (0, 0, 1, 1). Other formats exist only at
the borders, where a file or a paper has them, and are converted here. Leading
dimensions (batch, ...) are free unless a docstring says otherwise.
"""

import math

import keras
from keras import ops


def area(boxes: keras.KerasTensor) -> keras.KerasTensor:
    """Measure boxes; one whose corners are in the wrong order has no area.

    Args:
        boxes: float32 (..., 4), pixels.

    Returns:
        float32 (...), square pixels.
    """
    x_min, y_min, x_max, y_max = _columns(boxes)
    return ops.maximum(x_max - x_min, 0) * ops.maximum(y_max - y_min, 0)


def intersection(
    boxes: keras.KerasTensor, others: keras.KerasTensor
) -> keras.KerasTensor:
    """Measure what each box shares with each of the others.

    Args:
        boxes: float32 (..., boxes, 4), pixels.
        others: float32 (..., others, 4), pixels.

    Returns:
        float32 (..., boxes, others), square pixels.
    """
    # One (boxes, others) plane per coordinate: pairs of them are five times slower.
    return _shared(boxes[..., :, None, :], others[..., None, :, :])


def iou(boxes: keras.KerasTensor, others: keras.KerasTensor) -> keras.KerasTensor:
    """Compare each box with each of the others: intersection over union.

    Args:
        boxes: float32 (..., boxes, 4), pixels.
        others: float32 (..., others, 4), pixels.

    Returns:
        float32 (..., boxes, others) in [0, 1]; 0 where both boxes are without area.
    """
    shared = intersection(boxes, others)
    union = area(boxes)[..., :, None] + area(others)[..., None, :] - shared
    return ops.divide_no_nan(shared, union)


def giou(boxes: keras.KerasTensor, others: keras.KerasTensor) -> keras.KerasTensor:
    """Compare boxes one to one: IoU, less the empty share of the box around both.

    Unlike `iou` it takes no pairs of all with all: each box meets the one at its own
    place. The gradient does not vanish where the two lie apart.

    Args:
        boxes: float32 (..., 4), pixels; without area where corners are crossed.
        others: float32 (..., 4), pixels; the shapes may differ if they broadcast.

    Returns:
        float32 (...) in [-1, 1] where corners are in order; always finite, and so is
        the gradient.

    Reference:
        Rezatofighi 2019, Generalized Intersection over Union.
    """
    overlap, union = _overlap_and_union(boxes, others)
    width, height = _enclosing_sides(boxes, others)
    around = width * height
    return overlap - _quotient(around - union, around)


def diou(boxes: keras.KerasTensor, others: keras.KerasTensor) -> keras.KerasTensor:
    """Compare boxes one to one: IoU, less the distance of the two centres.

    The distance is squared and relative to the diagonal of the box around both.

    Args:
        boxes: float32 (..., 4), pixels; without area where corners are crossed.
        others: float32 (..., 4), pixels; the shapes may differ if they broadcast.

    Returns:
        float32 (...) in [-1, 1] where corners are in order; always finite, and so is
        the gradient.

    Reference:
        Zheng 2020, Distance-IoU Loss, equation 7.
    """
    overlap, _ = _overlap_and_union(boxes, others)
    return overlap - _centre_distance(boxes, others)


def ciou(boxes: keras.KerasTensor, others: keras.KerasTensor) -> keras.KerasTensor:
    """Compare boxes one to one: `diou`, less the difference of the two shapes.

    The shape's weight (the paper's alpha) is a constant to the gradient.

    Args:
        boxes: float32 (..., 4), pixels; without area where corners are crossed.
        others: float32 (..., 4), pixels; the shapes may differ if they broadcast.

    Returns:
        float32 (...) in [-2, 1] where corners are in order; always finite, and so is
        the gradient.

    Deviations from the paper: the angle's gradient keeps its factor 1 / (width^2 +
    height^2), which the authors' code sets to 1 because their sides are shares of the
    picture's.

    Reference:
        Zheng 2020, Distance-IoU Loss, equations 8 to 11.
    """
    overlap, _ = _overlap_and_union(boxes, others)
    difference = (_angle(boxes) - _angle(others)) * (2 / math.pi)
    shape = difference * difference
    weight = ops.stop_gradient(_quotient(shape, ops.maximum(1 - overlap, 0) + shape))
    return overlap - _centre_distance(boxes, others) - weight * shape


def clip(boxes: keras.KerasTensor, *, height: int, width: int) -> keras.KerasTensor:
    """Cut boxes to the picture; a box outside it becomes one without area.

    Args:
        boxes: float32 (..., 4), pixels.
        height: of the picture, pixels; a number or a scalar tensor.
        width: of the picture, pixels; a number or a scalar tensor.

    Returns:
        float32 (..., 4), pixels within [0, width] and [0, height].
    """
    limits = ops.cast(ops.stack([width, height, width, height]), boxes.dtype)
    return ops.minimum(ops.maximum(boxes, 0), limits)


def flip_horizontal(boxes: keras.KerasTensor, *, width: int) -> keras.KerasTensor:
    """Mirror boxes left to right with their picture.

    Args:
        boxes: float32 (..., 4), pixels.
        width: of the picture, pixels; a number or a scalar tensor.

    Returns:
        float32 (..., 4), pixels.
    """
    x_min, y_min, x_max, y_max = _columns(boxes)
    width = ops.cast(width, boxes.dtype)
    return ops.stack([width - x_max, y_min, width - x_min, y_max], axis=-1)


def flip_vertical(boxes: keras.KerasTensor, *, height: int) -> keras.KerasTensor:
    """Mirror boxes top to bottom with their picture.

    Args:
        boxes: float32 (..., 4), pixels.
        height: of the picture, pixels; a number or a scalar tensor.

    Returns:
        float32 (..., 4), pixels.
    """
    x_min, y_min, x_max, y_max = _columns(boxes)
    height = ops.cast(height, boxes.dtype)
    return ops.stack([x_min, height - y_max, x_max, height - y_min], axis=-1)


def scale_and_shift(
    boxes: keras.KerasTensor, *, scale: keras.KerasTensor, shift: keras.KerasTensor
) -> keras.KerasTensor:
    """Stretch boxes about the origin, then move them: `scale * box + shift`.

    Args:
        boxes: float32 (..., 4), pixels.
        scale: float32 (2,), factors along x and y, positive.
        shift: float32 (2,), pixels along x and y, of the stretched picture.

    Returns:
        float32 (..., 4), pixels of the stretched picture.
    """
    scale, shift = ops.cast(scale, boxes.dtype), ops.cast(shift, boxes.dtype)
    return boxes * ops.tile(scale, [2]) + ops.tile(shift, [2])


def affine_hull(
    boxes: keras.KerasTensor, matrix: keras.KerasTensor
) -> keras.KerasTensor:
    """Enclose each box's image under an affine map.

    The centre moves with the map and half the size with the map's absolute values,
    which is the tight box of the four moved corners.

    Args:
        boxes: float32 (..., 4), pixels.
        matrix: float32 (2, 3), maps (x, y, 1) to (x, y), pixels.

    Returns:
        float32 (..., 4), pixels, not cut to any picture.
    """
    linear, shift = ops.transpose(matrix[:, :2]), matrix[:, 2]
    low, high = boxes[..., :2], boxes[..., 2:]
    centre = ops.matmul((low + high) / 2, linear) + shift
    half = ops.matmul((high - low) / 2, ops.abs(linear))
    return ops.concatenate([centre - half, centre + half], axis=-1)


def from_masks(masks: keras.KerasTensor) -> keras.KerasTensor:
    """Find the tight box of each mask.

    Args:
        masks: uint8 (..., height, width), not 0 inside the object.

    Returns:
        float32 (..., 4), pixels; zeros for an empty mask.
    """
    masks = ops.not_equal(masks, 0)
    x_min, x_max = _first_and_end(ops.any(masks, axis=-2))
    y_min, y_max = _first_and_end(ops.any(masks, axis=-1))
    return ops.stack([x_min, y_min, x_max, y_max], axis=-1)


def from_xywh(boxes: keras.KerasTensor) -> keras.KerasTensor:
    """Convert boxes of corner and size, as COCO has them.

    Args:
        boxes: float32 (..., 4), (x_min, y_min, width, height).

    Returns:
        float32 (..., 4), (x_min, y_min, x_max, y_max).
    """
    low, size = boxes[..., :2], boxes[..., 2:]
    return ops.concatenate([low, low + size], axis=-1)


def to_xywh(boxes: keras.KerasTensor) -> keras.KerasTensor:
    """Convert boxes to corner and size, as COCO wants them.

    Args:
        boxes: float32 (..., 4), (x_min, y_min, x_max, y_max).

    Returns:
        float32 (..., 4), (x_min, y_min, width, height).
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    return ops.concatenate([low, high - low], axis=-1)


def from_cxcywh(boxes: keras.KerasTensor) -> keras.KerasTensor:
    """Convert boxes of centre and size, as YOLO files and box deltas have them.

    Args:
        boxes: float32 (..., 4), (x_centre, y_centre, width, height).

    Returns:
        float32 (..., 4), (x_min, y_min, x_max, y_max).
    """
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return ops.concatenate([centre - half, centre + half], axis=-1)


def to_cxcywh(boxes: keras.KerasTensor) -> keras.KerasTensor:
    """Convert boxes to centre and size, as YOLO files and box deltas want them.

    Args:
        boxes: float32 (..., 4), (x_min, y_min, x_max, y_max).

    Returns:
        float32 (..., 4), (x_centre, y_centre, width, height).
    """
    low, high = boxes[..., :2], boxes[..., 2:]
    return ops.concatenate([(low + high) / 2, high - low], axis=-1)


def _columns(boxes):
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


_SMALLEST_SIDE = 1e-6  # pixels; keeps quotients and their gradients finite


def _shared(boxes, others):
    """Measure the intersection of boxes that broadcast."""
    x_min, y_min, x_max, y_max = _columns(boxes)
    left, top, right, bottom = _columns(others)
    width = ops.minimum(x_max, right) - ops.maximum(x_min, left)
    height = ops.minimum(y_max, bottom) - ops.maximum(y_min, top)
    return ops.maximum(width, 0) * ops.maximum(height, 0)


def _overlap_and_union(boxes, others):
    """Measure IoU and union one to one."""
    shared = _shared(boxes, others)
    union = area(boxes) + area(others) - shared
    return _quotient(shared, union), union


def _enclosing_sides(boxes, others):
    """Measure width and height of the box around both."""
    low = ops.minimum(boxes[..., :2], others[..., :2])
    high = ops.maximum(boxes[..., 2:], others[..., 2:])
    sides = ops.maximum(high - low, 0)
    return sides[..., 0], sides[..., 1]


def _centre_distance(boxes, others):
    """Measure the squared distance as a share of the enclosing diagonal's square."""
    apart = (boxes[..., :2] + boxes[..., 2:] - others[..., :2] - others[..., 2:]) / 2
    width, height = _enclosing_sides(boxes, others)
    return _quotient(ops.sum(apart * apart, axis=-1), width * width + height * height)


def _angle(boxes):
    """Measure a shape by arctan(width / height), 0 to pi / 2."""
    sides = ops.maximum(boxes[..., 2:] - boxes[..., :2], _SMALLEST_SIDE)
    return ops.arctan2(sides[..., 0], sides[..., 1])


def _quotient(part, whole):
    """Divide square pixels; nearly 0 by nearly 0 is nearly 0."""
    return part / ops.maximum(whole, _SMALLEST_SIDE**2)


def _first_and_end(occupied):
    """Locate the first True and the end of the last; zeros where there is none."""
    found = ops.cast(ops.any(occupied, axis=-1), "float32")
    occupied = ops.cast(occupied, "int32")
    first = ops.argmax(occupied, axis=-1)
    behind = ops.argmax(ops.flip(occupied, axis=-1), axis=-1)
    end = ops.cast(ops.shape(occupied)[-1] - behind, "float32")
    return ops.cast(first, "float32") * found, end * found
