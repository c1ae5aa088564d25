"""Where do YOLOv3's candidates lie, and what do the network's numbers say of a box?"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tfdl import errors
from tfdl.ops import anchors as anchors_of, boxes as boxes_of

STRIDES = (8, 16, 32)
ANCHORS_PER_CELL = 3
# Width and height, for pictures of 416 pixels [Redmon 2018, 2.3].
PUBLISHED_ANCHORS = (
    *((10, 13), (16, 30), (33, 23)),
    *((30, 61), (62, 45), (59, 119)),
    *((116, 90), (156, 198), (373, 326)),
)
_PUBLISHED_SIZE = 416
# An anchor of 16 pixels becomes at most one of 1000.
_MAX_LOG_SCALE = math.log(1000 / 16)
_LEAST_SIDE = 1.0  # of a target, pixels: nothing smaller is seen


@dataclasses.dataclass(frozen=True)
class Grid:
    """The candidates, level by level, row by row, cell by cell, anchor by anchor.

    Attributes:
        size: (height, width) of the picture, pixels, multiples of the last stride.
        shapes: (width, height) of nine anchors, pixels; the three smallest belong to
            stride 8, the next to 16, the largest to 32.
    """

    size: tuple[int, int]
    shapes: tuple[tuple[float, float], ...]

    @property
    def num_candidates(self) -> int:
        """Number of candidates of a picture, 10647 for 416 x 416."""
        return len(self.anchors)

    @functools.cached_property
    def anchors(self) -> np.ndarray:
        """The anchors around the centres of all cells, float32 (candidates, 4)."""
        levels = [
            anchors_of.over_grid(
                self._cells(level), stride, shapes=self._shapes_of(level)
            )
            for level, stride in enumerate(STRIDES)
        ]
        return np.concatenate(levels)

    def boxes(self, raw: keras.KerasTensor) -> keras.KerasTensor:
        """Read boxes, (x, y) within a cell and sides as factors of an anchor's.

        Args:
            raw: float (batch, candidates, 4), (t_x, t_y, t_w, t_h) of the paper.

        Returns:
            float32 (batch, candidates, 4), pixels, not cut to the picture. The
            exponents of sides are cut at ln(1000 / 16), so that all is finite.

        Reference:
            Redmon and Farhadi, "YOLOv3", 2018, 2.1.
        """
        raw = ops.cast(raw, "float32")
        centre = ops.sigmoid(raw[..., :2]) * self._strides[:, None] + self._corners
        sides = ops.exp(ops.minimum(raw[..., 2:], _MAX_LOG_SCALE)) * self._sides
        return boxes_of.from_cxcywh(ops.concatenate([centre, sides], axis=-1))

    def places(self, boxes: keras.KerasTensor) -> keras.KerasTensor:
        """Find the candidate of each object: its cell, and the anchor of its shape.

        The anchor is that of the nine with the best IoU if both had the same centre;
        of equals the smallest. It tells the level.

        Args:
            boxes: float32 (batch, objects, 4), pixels.

        Returns:
            int32 (batch, objects), places along the axis of candidates.
        """
        number = self._best_anchor(boxes)
        level = number // ANCHORS_PER_CELL
        stride = ops.take(ops.convert_to_tensor(STRIDES, "float32"), level)
        cells = np.array([self._cells(level) for level in range(len(STRIDES))], "int32")
        rows, columns = (ops.take(cells[:, axis], level) for axis in (0, 1))
        centre = (boxes[..., :2] + boxes[..., 2:]) / 2
        column, row = (
            ops.clip(ops.cast(ops.floor(centre[..., axis] / stride), "int32"), 0, most)
            for axis, most in ((0, columns - 1), (1, rows - 1))
        )
        counts = ANCHORS_PER_CELL * cells.prod(axis=1)
        first = ops.take(np.cumsum([0, *counts[:-1]]).astype("int32"), level)
        cell = row * columns + column
        return first + cell * ANCHORS_PER_CELL + number % ANCHORS_PER_CELL

    def offsets(
        self, boxes: keras.KerasTensor, places: keras.KerasTensor
    ) -> keras.KerasTensor:
        """Write what `boxes` reads at those places, before the logistic function.

        Args:
            boxes: float32 (batch, objects, 4), pixels; sides under one pixel count as
                one.
            places: int32 (batch, objects), as `places` finds them.

        Returns:
            float32 (batch, objects, 4): x and y in [0, 1], as shares of the cell, then
            the logarithms of width and height in those of the anchor.
        """
        box = boxes_of.to_cxcywh(boxes)
        stride = ops.take(self._strides, places)[..., None]
        within = (box[..., :2] - ops.take(self._corners, places, axis=0)) / stride
        sides = ops.maximum(box[..., 2:], _LEAST_SIDE)
        scale = ops.log(sides / ops.take(self._sides, places, axis=0))
        return ops.concatenate([ops.clip(within, 0.0, 1.0), scale], axis=-1)

    def _cells(self, level) -> tuple[int, int]:
        """Return rows and columns of a level."""
        return self.size[0] // STRIDES[level], self.size[1] // STRIDES[level]

    def _shapes_of(self, level):
        return self.shapes[level * ANCHORS_PER_CELL : (level + 1) * ANCHORS_PER_CELL]

    @functools.cached_property
    def _strides(self):
        """Stride of every candidate, float32 (candidates,)."""
        counts = [
            ANCHORS_PER_CELL * math.prod(self._cells(level))
            for level in range(len(STRIDES))
        ]
        return np.repeat(np.float32(STRIDES), counts)

    @functools.cached_property
    def _corners(self):
        """First corner of every candidate's cell, float32 (candidates, 2), pixels."""
        centres = (self.anchors[:, :2] + self.anchors[:, 2:]) / 2
        return centres - self._strides[:, None] / 2

    @functools.cached_property
    def _sides(self):
        """Width and height of every candidate's anchor, float32 (candidates, 2)."""
        counts = [math.prod(self._cells(level)) for level in range(len(STRIDES))]
        return np.concatenate(
            [
                np.tile(np.float32(self._shapes_of(level)), (count, 1))
                for level, count in enumerate(counts)
            ]
        )

    def _best_anchor(self, boxes):
        """Compare shapes -> int32 (batch, objects) in [0, 9)."""
        sides = boxes[..., 2:] - boxes[..., :2]
        shapes = np.float32(self.shapes)
        own = ops.concatenate([-sides / 2, sides / 2], axis=-1)
        others = np.concatenate([-shapes / 2, shapes / 2], axis=-1)
        return ops.cast(ops.argmax(boxes_of.iou(own, others), axis=-1), "int32")


def grid(
    image_shape: Sequence[int | None],
    anchors: Sequence[tuple[float, float]] | None = None,
) -> Grid:
    """Lay the candidates over a picture.

    Args:
        image_shape: (height, width, channels).
        anchors: (width, height) of nine, in pixels of that picture, in any order; None
            for the published ones, which grow with the picture's longer side.

    Raises:
        UsageError: a side is unknown or no multiple of 32, or the anchors are not nine
            of positive size.
    """
    size = tuple(image_shape[:2])
    if any(side is None or side < STRIDES[-1] or side % STRIDES[-1] for side in size):
        raise errors.UsageError(
            f"--image-size must be a multiple of {STRIDES[-1]} for YOLOv3. Received "
            f"{size[0]} x {size[1]}.",
            "Give --image-size 416, or another multiple.",
        )
    if anchors is None:
        factor = max(size) / _PUBLISHED_SIZE
        anchors = [
            (factor * width, factor * height) for width, height in PUBLISHED_ANCHORS
        ]
    shapes = [tuple(float(side) for side in shape) for shape in anchors]
    expected = ANCHORS_PER_CELL * len(STRIDES)
    if len(shapes) != expected or min(min(shape) for shape in shapes) <= 0:
        raise errors.UsageError(
            f"`anchors` must be {expected} widths and heights, all positive. Received "
            f"anchors={shapes}.",
            "Fit them to the data, or give none for the published ones.",
        )
    return Grid(size, tuple(sorted(shapes, key=math.prod)))
