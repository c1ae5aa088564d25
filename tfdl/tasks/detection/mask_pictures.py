"""What a person looks at of masks: batches, and answers beside the truth."""

from collections.abc import Sequence

import numpy as np

from tfdl import drawing
from tfdl.ops import masks as masks_of

_SHOWN = 16
_COLUMNS = 4


def batch(
    images: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    outlines: np.ndarray,
    class_names: Sequence[str],
) -> np.ndarray:
    """Draw the first pictures of a batch with their objects, as the model is fed.

    Args:
        images: float32 (batch, size, size, 3) in [0, 1], or a tensor.
        boxes: float32 (batch, objects, 4), pixels of these, likewise.
        labels: int32 (batch, objects), -1 for padding, likewise.
        weights: float32 (batch, objects), 0 for padding, likewise.
        outlines: float32 (batch, objects, cells, cells), each over its box, likewise.
        class_names: one for each class.
    """
    columns = (
        np.asarray(values)[:_SHOWN]
        for values in (images, boxes, labels, weights, outlines)
    )
    drawn = []
    for image, own, classes, shares, shown in zip(*columns, strict=True):
        real = shares > 0
        window = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
        seen = masks_of.resample(shown[real], own[real], window, image.shape[:2])
        drawn.append(
            drawing.masks(
                image,
                np.asarray(seen) >= 0.5,
                labels=classes[real],
                class_names=class_names,
            )
        )
    return drawing.grid(drawn, columns=_COLUMNS)


def answer(
    image: np.ndarray,
    masks: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    class_names: Sequence[str],
) -> np.ndarray:
    """Draw a picture with what was found in it, the surest on top.

    Args:
        image: uint8 (height, width, 3).
        masks: bool (found, height, width), the surest first.
        labels: int32 (found,).
        scores: float32 (found,).
        class_names: one for each class.
    """
    return drawing.masks(
        image,
        masks[::-1],
        labels=labels[::-1],
        class_names=class_names,
        scores=scores[::-1],
    )


def comparisons(
    tiles: Sequence[tuple[np.ndarray, np.ndarray]], *, f_scores: Sequence[float]
) -> np.ndarray:
    """Lay pictures out twice, with their objects and with what was found.

    Args:
        tiles: pictures of the truth and of the answer, uint8 (height, width, 3).
        f_scores: of each.
    """
    titles, colours = [], []
    for f_score in f_scores:
        titles += ["truth", f"found, F1 {f_score:.2f}"]
        colours += ["black", "green" if f_score == 1 else "red"]
    shown = [tile for pair in tiles for tile in pair]
    return drawing.grid(shown, titles=titles, title_colours=colours, columns=_COLUMNS)
