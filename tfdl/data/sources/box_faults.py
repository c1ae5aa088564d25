"""What is wrong with the boxes of one picture?"""

import numpy as np

# Pixels: formats round, and count pixels from 0 or from 1; shares of a picture's size
# do not give back whole pixels exactly.
_MAX_OUTSIDE = 1.001


def find(
    boxes: np.ndarray, labels: np.ndarray, areas: np.ndarray, *, size: tuple[int, int]
) -> dict[int, str]:
    """Find boxes that cannot be trained on.

    Args:
        boxes: float64 (objects, 4), pixels.
        labels: int32 (objects,), negative for an unknown class.
        areas: float64 (objects,), square pixels.
        size: (height, width) of the picture in pixels.

    Returns:
        {index: reason} of boxes whose class is unknown, that are not finite, that have
        no width or no height, or that reach over a pixel out of the picture.
    """
    cut = clip(boxes, size)
    x_min, y_min, x_max, y_max = cut.T
    is_sound = (x_min < x_max) & (y_min < y_max) & (labels >= 0)
    is_sound &= (np.abs(boxes - cut) <= _MAX_OUTSIDE).all(axis=1)
    is_sound &= np.isfinite(areas) & (areas >= 0)
    return {
        index: _reason(boxes[index], labels[index], areas[index], size)
        for index in np.flatnonzero(~is_sound).tolist()
    }


def clip(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cut boxes to a picture.

    Args:
        boxes: float64 (objects, 4), pixels.
        size: (height, width) of the picture in pixels.

    Returns:
        float32 (objects, 4), in which a box that was cut away has no area.
    """
    limits = np.array([size[1], size[0]] * 2, np.float64)
    return np.minimum(np.maximum(boxes, 0), limits).astype(np.float32)


def text(size: tuple[int, int]) -> str:
    """Write (height, width) as people do."""
    return f"{size[1]} x {size[0]} pixels"


def _reason(box, label, area, size) -> str:
    width, height = box[2:] - box[:2]
    if label < 0:
        return "its class is unknown"
    if not np.isfinite([width, height, area]).all():
        return "its box or its area is not of finite numbers"
    if width <= 0 or height <= 0:
        return f"its box of {width:g} x {height:g} pixels has no area"
    if area < 0:
        return f"its area of {area:g} pixels is negative"
    corners = ", ".join(f"{number:g}" for number in box)
    return f"its box ({corners}) is not within the picture of {text(size)}"
