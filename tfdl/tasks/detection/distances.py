"""How does a cell say where a box is? By its distances to the four sides, in strides.

Each cell of the feature maps is a candidate. From its centre it predicts the distances
to a box's left, top, right and bottom, each as a distribution over the whole numbers 0
to `BINS - 1` of its stride, whose mean is the distance [Li 2020]. So a box always holds
the centre that it is predicted from, and reaches at most 15 strides to each side.
"""

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tfdl.ops import anchors

BINS = 16
SIDES = 4  # left, top, right, bottom


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The cells of all feature maps, level by level, row by row.

    Attributes:
        centres: float32 (candidates, 2), (x, y) in pixels.
        strides: float32 (candidates, 1), pixels.
    """

    centres: np.ndarray
    strides: np.ndarray

    def __len__(self) -> int:
        return len(self.strides)


def candidates(size: tuple[int, int], *, strides: Sequence[int]) -> Candidates:
    """Locate every cell of a picture's feature maps.

    Args:
        size: (height, width) of the picture, multiples of every stride.
        strides: of the maps, in their order.
    """
    height, width = size
    centres = [
        anchors.grid((height // stride, width // stride), stride) for stride in strides
    ]
    sides = [
        np.full((len(level), 1), stride, np.float32)
        for level, stride in zip(centres, strides, strict=True)
    ]
    return Candidates(np.concatenate(centres), np.concatenate(sides))


def by_side(logits: keras.KerasTensor) -> keras.KerasTensor:
    """Take a network's channels apart: all bins of the left come first.

    Args:
        logits: float (batch, candidates, SIDES * BINS).

    Returns:
        float32 (batch, candidates, SIDES, BINS).
    """
    logits = ops.cast(logits, "float32")
    return ops.reshape(logits, (-1, logits.shape[1], SIDES, BINS))


def decode(logits: keras.KerasTensor, known: Candidates) -> keras.KerasTensor:
    """Compute boxes from the distributions of their distances.

    Args:
        logits: float (batch, candidates, SIDES * BINS).
        known: the candidates.

    Returns:
        float32 (batch, candidates, 4), pixels, not cut to the picture.
    """
    probabilities = ops.softmax(by_side(logits), axis=-1)
    # Not a matrix product, which some accelerators compute with few digits.
    numbers = np.arange(BINS, dtype=np.float32)
    reach = ops.sum(probabilities * numbers, axis=-1) * known.strides
    low = ops.subtract(known.centres, reach[..., :2])
    high = ops.add(known.centres, reach[..., 2:])
    return ops.concatenate([low, high], axis=-1)


def encode(boxes: keras.KerasTensor, known: Candidates) -> keras.KerasTensor:
    """Measure the distances that `decode` would make these boxes of.

    Args:
        boxes: float32 (batch, candidates, 4), pixels, one for each candidate.
        known: the candidates.

    Returns:
        float32 (batch, candidates, SIDES), in strides; negative where the centre is
        beyond that side, and without a limit.
    """
    low = known.centres - boxes[..., :2]
    high = boxes[..., 2:] - known.centres
    return ops.concatenate([low, high], axis=-1) / known.strides
