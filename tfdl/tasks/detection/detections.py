"""What a detector found in one picture."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Detections:
    """The objects that were found, the surest first.

    Attributes:
        boxes: float32 (found, 4), pixels of the picture as it was given, upright.
        scores: float32 (found,) in [0, 1], not ascending.
        labels: int32 (found,), indices into the class names.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)
