"""Which boxes does a detector start from, and where are the cells that predict them?

Anchors (SSD's "default boxes") are constants of a model, computed once with NumPy. All
are ordered level by level, row by row, cell by cell, and shape by shape within a cell,
as a convolution's output is when it is reshaped to (batch, candidates, ...).
"""

from collections.abc import Sequence

import numpy as np

RETINANET_RATIOS = (0.5, 1.0, 2.0)  # height / width, Faster R-CNN's as well
RETINANET_SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
RETINANET_SIZE = 4.0  # in strides: 32 pixels at stride 8, 512 at 128
PROPOSAL_SIZE = 8.0  # of Faster R-CNN's, in strides: 32 pixels at 4, 512 at 64
PROPOSAL_STRIDES = (4, 8, 16, 32, 64)


def grid(size: tuple[int, int], stride: float | tuple[float, float]) -> np.ndarray:
    """Locate the centres of a feature map's cells in the picture.

    Args:
        size: (rows, columns) of the feature map.
        stride: side of a cell in pixels, or its (height, width).

    Returns:
        float32 (rows * columns, 2), (x, y) in pixels, row by row; the first cell's
        centre is half a stride from the corner.
    """
    height, width = np.broadcast_to(stride, 2)
    y = (np.arange(size[0]) + 0.5) * height
    x = (np.arange(size[1]) + 0.5) * width
    x, y = np.meshgrid(x, y)
    return np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.float32)


def over_grid(
    size: tuple[int, int],
    stride: float | tuple[float, float],
    *,
    shapes: Sequence[tuple[float, float]],
) -> np.ndarray:
    """Lay boxes of the same few shapes around the centre of every cell.

    Args:
        size: (rows, columns) of the feature map.
        stride: side of a cell in pixels, or its (height, width).
        shapes: (width, height) of each box of a cell, pixels.

    Returns:
        float32 (rows * columns * shapes, 4), pixels, not cut to the picture.
    """
    centres = grid(size, stride)[:, np.newaxis]
    half = np.asarray(shapes, np.float32) / 2
    corners = np.concatenate([centres - half, centres + half], axis=-1)
    return corners.reshape(-1, 4).astype(np.float32)


def ssd_shapes(
    size: float, next_size: float, *, ratios: Sequence[float]
) -> list[tuple[float, float]]:
    """List the default boxes of one cell of SSD [Liu 2016, 2.2].

    A square of the level's size, one of the geometric mean of it and the next level's,
    and for every ratio a wide and a tall box of the level's area.

    Args:
        size: side of the level's square, pixels.
        next_size: that of the next level.
        ratios: of the sides, above 1: (2,) gives four boxes, (2, 3) six.

    Returns:
        (width, height) of each, pixels.
    """
    between = (size * next_size) ** 0.5
    shapes = [(size, size), (between, between)]
    for ratio in ratios:
        root = ratio**0.5
        shapes += [(size * root, size / root), (size / root, size * root)]
    return shapes


def ssd(
    sizes: Sequence[tuple[int, int]],
    strides: Sequence[tuple[float, float]],
    *,
    box_sizes: Sequence[float],
    ratios: Sequence[Sequence[float]],
) -> np.ndarray:
    """Lay out SSD's default boxes over its feature maps.

    Args:
        sizes: (rows, columns) of each map.
        strides: (height, width) of each map's cells, pixels.
        box_sizes: side of each map's squares, pixels, and one more at the end.
        ratios: of each map, see `ssd_shapes`.

    Returns:
        float32 (boxes, 4), pixels: 8732 for SSD300, 24564 for SSD512.
    """
    levels = zip(sizes, strides, box_sizes[:-1], box_sizes[1:], ratios, strict=True)
    return np.concatenate(
        [
            over_grid(cells, stride, shapes=ssd_shapes(size, following, ratios=own))
            for cells, stride, size, following, own in levels
        ]
    )


def retinanet(
    image_size: tuple[int, int], strides: Sequence[int] = (8, 16, 32, 64, 128)
) -> np.ndarray:
    """Lay out RetinaNet's nine boxes per cell [Lin 2017, 4, "Anchors"].

    Three scales within an octave times three ratios; those of the ratio r have height
    r times the width, and the area of the square.

    Args:
        image_size: (height, width) of the picture, pixels.
        strides: of the maps, whose rows and columns are rounded up.

    Returns:
        float32 (boxes, 4), pixels: 76725 for 640 x 640.
    """
    scales = [RETINANET_SIZE * scale for scale in RETINANET_SCALES]
    return np.concatenate(_levels(image_size, strides, scales))


def proposals(
    image_size: tuple[int, int], strides: Sequence[int] = PROPOSAL_STRIDES
) -> list[np.ndarray]:
    """Lay out the three boxes per cell of a pyramid's region proposals.

    One size for each level and three ratios, as those of `retinanet` [Lin 2017,
    "Feature Pyramid Networks", 4.1].

    Args:
        image_size: (height, width) of the picture, pixels.
        strides: of the maps, whose rows and columns are rounded up.

    Returns:
        float32 (boxes, 4) of each level, pixels: 268569 in all for 800 x 1344.
    """
    return _levels(image_size, strides, [PROPOSAL_SIZE])


def _levels(image_size, strides, scales):
    """Lay boxes of some sizes, in strides, and of all ratios over every level."""
    levels = []
    for stride in strides:
        cells = tuple(-(-side // stride) for side in image_size)
        shapes = [
            (stride * scale / ratio**0.5, stride * scale * ratio**0.5)
            for ratio in RETINANET_RATIOS
            for scale in scales
        ]
        levels.append(over_grid(cells, stride, shapes=shapes))
    return levels
