"""What does a mask show through another window?

A mask is a grid of values that is spread over its frame, a box in pixels: the mask of
an object over the object's box, or one of a picture over the picture.
"""

from collections.abc import Sequence

import keras
from keras import ops

_TINY = 1e-6  # pixels; a frame without area shows nothing


def resample(
    masks: keras.KerasTensor,
    frames: keras.KerasTensor,
    windows: keras.KerasTensor,
    size: Sequence[int],
) -> keras.KerasTensor:
    """Look at masks through windows.

    Values are interpolated between the centres of four cells. Beyond the outermost
    centres they fall to zero within a cell: half of the value is left at the frame.

    Args:
        masks: float (..., rows, columns).
        frames: float32 (..., 4), where each lies, pixels.
        windows: float32 (..., 4), what is looked at, pixels.
        size: rows and columns of what is seen, numbers or scalar tensors.

    Returns:
        float32 (..., *size).

    Reference:
        Detectron2's `paste_masks_in_image` reads masks in this way, with `grid_sample`
        and without aligned corners.
    """
    masks = ops.cast(masks, "float32")
    down, across = (
        _shares(frames[..., axis::2], windows[..., axis::2], masks.shape[place], count)
        for axis, place, count in ((1, -2, size[0]), (0, -1, size[1]))
    )
    return ops.matmul(ops.matmul(down, masks), ops.swapaxes(across, -1, -2))


def _shares(frame, window, cells, count):
    """Tell how much of each cell is seen at each place of a window, along one axis.

    Args:
        frame: float32 (..., 2), begin and end of the mask.
        window: likewise, of what is seen.
        cells: of the mask.
        count: places of the window.

    Returns:
        float32 (..., count, cells).
    """
    low, length = frame[..., :1], frame[..., 1:] - frame[..., :1]
    step = (window[..., 1:] - window[..., :1]) / ops.cast(count, "float32")
    places = window[..., :1] + (ops.arange(count, dtype="float32") + 0.5) * step
    centres = (places - low) / ops.maximum(length, _TINY) * cells - 0.5
    apart = ops.abs(centres[..., None] - ops.arange(cells, dtype="float32"))
    return ops.maximum(1 - apart, 0)
