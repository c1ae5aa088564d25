"""What does a feature map show within a box, at a fixed size?"""

from collections.abc import Sequence

import keras
from keras import ops

from tfdl.ops import boxes as boxes_of

_CANONICAL_SIZE, _CANONICAL_LEVEL = 224, 4  # of ImageNet's pictures, on p4
_TINY = 1e-8  # keeps the logarithm of a box without area finite


def pyramid_levels(
    boxes: keras.KerasTensor, *, num_levels: int, finest: int = 2
) -> keras.KerasTensor:
    """Choose the map of a pyramid on which a box has some 7 to 14 cells a side.

    Args:
        boxes: float32 (..., 4), pixels.
        num_levels: how many maps there are.
        finest: the level of the first, 2 for a stride of 4.

    Returns:
        int32 (...), 0 for the finest.

    Reference:
        Lin et al., "Feature Pyramid Networks for Object Detection", 2017, equation 1.
    """
    side = ops.sqrt(boxes_of.area(boxes))
    level = ops.floor(_CANONICAL_LEVEL + ops.log2(side / _CANONICAL_SIZE + _TINY))
    return ops.cast(ops.clip(level - finest, 0, num_levels - 1), "int32")


def align(
    features: Sequence[keras.KerasTensor],
    boxes: keras.KerasTensor,
    levels: keras.KerasTensor,
    *,
    strides: Sequence[int],
    size: int,
    samples: int = 2,
) -> keras.KerasTensor:
    """Read what is within boxes from feature maps, without rounding (RoIAlign).

    Every box is cut into `size` x `size` bins, and each bin is the mean of `samples` x
    `samples` regularly spaced points, interpolated between the centres of the four
    cells around each. Up to one cell beyond the map a point has the value of the map's
    edge, farther out it is zero. The gradient reaches the features and not the boxes.

    Args:
        features: maps, float (batch, rows, columns, channels) with equal channels.
        boxes: float32 (batch, boxes, 4), pixels of the picture.
        levels: int32 (batch, boxes), on which of the maps each box is read.
        strides: of the maps, pixels of the picture between their cells.
        size: bins of each side.
        samples: points of a bin's side.

    Returns:
        Float (batch, boxes, size, size, channels), of the features' type.

    Reference:
        He et al., "Mask R-CNN", 2017, 3; half a cell is taken off as in Detectron2
        ("aligned"), since the first cell's centre lies half a stride within.
    """
    boxes = ops.cast(ops.stop_gradient(boxes), "float32")
    sizes = [ops.shape(feature)[1:3] for feature in features]
    counts = [rows * columns for rows, columns in sizes]
    channels = features[0].shape[-1]
    listed = [
        ops.reshape(feature, (-1, count, channels))
        for feature, count in zip(features, counts, strict=True)
    ]
    cells = ops.reshape(ops.concatenate(listed, axis=1), (-1, channels))

    def of_box(values):
        return ops.take(ops.convert_to_tensor(values), levels, axis=0)  # (batch, boxes)

    starts = [sum(counts[:number]) for number in range(len(counts))]
    pictures = ops.arange(ops.shape(boxes)[0], dtype="int32")[:, None]
    start = of_box(starts) + pictures * sum(counts)
    rows, columns = (of_box([size[axis] for size in sizes]) for axis in range(2))
    scaled = boxes / ops.cast(of_box(list(strides)), "float32")[..., None] - 0.5
    across = _neighbours(scaled[..., 0], scaled[..., 2], columns, size, samples)
    down = _neighbours(scaled[..., 1], scaled[..., 3], rows, size, samples)

    total = 0.0
    for row, row_weight in down:
        for column, column_weight in across:
            places = row[..., :, None] * columns[..., None, None]
            places = places + column[..., None, :] + start[..., None, None]
            weight = row_weight[..., :, None] * column_weight[..., None, :]
            weight = ops.cast(weight, cells.dtype)[..., None]
            total = total + weight * ops.take(cells, places, axis=0)
    return total


def _neighbours(low, high, count, size, samples):
    """List the cells that bins are mixed from, along one axis.

    Args:
        low: float32 (batch, boxes), where the boxes begin, in cells.
        high: likewise, where they end.
        count: int32 (batch, boxes), cells of the map.
        size: bins.
        samples: points of each.

    Returns:
        For each point of a bin and each of its two neighbours, (cell, int32 (batch,
        boxes, size), weight, float32 (batch, boxes, size)).
    """
    step = ((high - low) / size)[..., None]
    last = ops.cast(count, "float32")[..., None] - 1
    found = []
    for sample in range(samples):
        middles = ops.arange(size, dtype="float32") + (sample + 0.5) / samples
        place = low[..., None] + middles * step  # (batch, boxes, size)
        is_near = ops.logical_and(place >= -1, place <= last + 1)
        share = ops.cast(is_near, "float32") / samples
        place = ops.clip(place, 0, last)
        first = ops.floor(place)
        second = ops.minimum(first + 1, last)
        found.append((ops.cast(first, "int32"), share * (first + 1 - place)))
        found.append((ops.cast(second, "int32"), share * (place - first)))
    return found
