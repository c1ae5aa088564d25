"""What a person looks at of a segmenter: batches, answers beside the truth, and charts.

Everything is drawn as uint8 (height, width, 3), and nothing is written. Class k has the
colour of label k - 1, class 0 is dark, and what is ignored is white.
"""

from collections.abc import Sequence

import numpy as np

from tfdl import drawing
from tfdl.data.augment import annotations
from tfdl.tasks.segmentation import metrics

_IGNORED = annotations.SEMANTIC_PADDING
_SHOWN = 16
_COLUMNS = 4
_COMPARED = 3  # tiles of a picture: truth, answer, errors
_BARS = 40  # the worst classes; more would be higher than a screen
_WRONG = (213, 94, 0)  # vermilion, which the colour-blind tell from grey
_PALE = 230  # not white, as the page is


def batch(
    images: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> np.ndarray:
    """Draw the first pictures of a batch under their label maps, as the model is fed.

    Args:
        images: float32 (batch, height, width, channels) in [0, 1], or a tensor.
        labels: uint8 (batch, height, width), 255 for ignored, likewise.
        class_names: one for each class.
    """
    pairs = zip(np.asarray(images)[:_SHOWN], np.asarray(labels)[:_SHOWN], strict=True)
    drawn = [drawing.semantic(*pair, class_names=class_names) for pair in pairs]
    return drawing.grid(drawn, columns=_COLUMNS)


def coloured(label_map: np.ndarray) -> np.ndarray:
    """Draw a label map alone.

    Args:
        label_map: uint8 (height, width), 255 for ignored.
    """
    palette = np.full((256, 3), 255, np.uint8)
    palette[0], palette[1:_IGNORED] = 0, drawing.label_colours(_IGNORED - 1)
    return palette[np.asarray(label_map)]


def answer(
    image: np.ndarray, label_map: np.ndarray, class_names: Sequence[str]
) -> np.ndarray:
    """Draw a label map over its picture, with the share of each class that occurs.

    Args:
        image: uint8 (height, width, 3).
        label_map: uint8 (height, width), 255 for ignored, which has no share.
        class_names: one for each class.
    """
    pixels = np.bincount(np.asarray(label_map).ravel(), minlength=256)[:_IGNORED]
    shares = pixels[: len(class_names)] / max(pixels.sum(), 1)
    names = [
        f"{name} {share:.1%}" for name, share in zip(class_names, shares, strict=True)
    ]
    return drawing.semantic(image, label_map, class_names=names)


def errors(
    image: np.ndarray, labels: np.ndarray, predictions: np.ndarray
) -> np.ndarray:
    """Draw which pixels of a picture are wrong: those in vermilion.

    The others are a grey picture, nearly white where it is ignored.

    Args:
        image: uint8 (height, width, 3).
        labels: uint8 (height, width), the truth, 255 for ignored.
        predictions: uint8 (height, width).
    """
    grey = np.mean(image, axis=-1, keepdims=True)
    drawn = np.broadcast_to(64 + grey / 2, (*np.shape(labels), 3)).copy()
    is_ignored = labels == _IGNORED
    drawn[is_ignored] = _PALE
    drawn[(labels != predictions) & ~is_ignored] = _WRONG
    return np.rint(drawn).astype(np.uint8)


def comparisons(
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    class_names: Sequence[str],
) -> np.ndarray:
    """Draw pictures three times: with the truth, with the answer, with its errors.

    Args:
        images: uint8 (height, width, 3) each, at least one.
        labels: uint8 (height, width) of each, 255 for ignored.
        predictions: uint8 (height, width) of each.
        class_names: one for each class.
    """
    tiles, titles = [], []
    for image, known, found in zip(images, labels, predictions, strict=True):
        found = np.where(known == _IGNORED, _IGNORED, found)
        tiles += _levelled(
            answer(image, known, class_names),
            answer(image, found, class_names),
            errors(image, known, found),
        )
        titles += ["truth", *_verdict(known, found, num_classes=len(class_names))]
    return drawing.grid(tiles, titles=titles, columns=_COMPARED)


def charts(matrices: np.ndarray, class_names: Sequence[str]) -> dict[str, np.ndarray]:
    """Draw every chart of a split.

    Args:
        matrices: int (pictures, classes, classes), `metrics.confusion_matrix` of each.
        class_names: one for each class.

    Returns:
        "iou", the bars of classes that occur, where there is one, and what
        `confusion_matrices` returns.
    """
    drawn = confusion_matrices(matrices, class_names)
    rows = metrics.per_class(matrices, class_names=class_names)
    occurring = [row for row in rows if row["pixels"]]
    if occurring:
        drawn["iou"] = _bars(occurring)
    return drawn


def confusion_matrices(
    matrices: np.ndarray, class_names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Draw the confusion matrix in pixels and in shares, as the arguments of `charts`.

    Returns:
        "confusion_matrix" and "confusion_matrix_normalized".
    """
    matrix = np.sum(matrices, axis=0)
    return {
        "confusion_matrix": drawing.confusion_matrix(matrix, class_names),
        "confusion_matrix_normalized": drawing.confusion_matrix(
            matrix, class_names, normalized=True
        ),
    }


def _bars(rows):
    """Draw the IoU of classes, the worst first."""
    rows = sorted(rows, key=lambda row: row["iou"])
    mean = np.mean([row["iou"] for row in rows])
    shown = rows[:_BARS]
    worst = f", the worst {_BARS}" if len(shown) < len(rows) else ""
    return drawing.bars(
        {row["class"]: row["iou"] for row in shown},
        notes={
            row["class"]: f"{row['iou']:.3f}, {row['share']:.1%} of pixels"
            for row in shown
        },
        title=f"IoU of {len(rows)} classes{worst}: the mean is {mean:.3f}",
        x_label="intersection over union, of the whole split",
    )


def _verdict(labels, predictions, *, num_classes) -> tuple[str, str]:
    """Write how good an answer is, and how much of it is wrong."""
    matrix = metrics.confusion_matrix(labels, predictions, num_classes=num_classes)
    if not matrix.any():
        return "answer, all is ignored", "nothing to be wrong"
    iou = metrics.picture_ious(matrix[None])[0]
    wrong = 1 - np.trace(matrix) / matrix.sum()
    return f"answer, mean IoU {iou:.3f}", f"{wrong:.2%} wrong"


def _levelled(*tiles):
    """Enlarge tiles to one width, and put white below to one height."""
    width = max(tile.shape[1] for tile in tiles)
    enlarged = [
        tile.repeat(width // tile.shape[1], 0).repeat(width // tile.shape[1], 1)
        for tile in tiles
    ]
    height = max(tile.shape[0] for tile in enlarged)
    return [
        np.pad(tile, [(0, height - tile.shape[0]), (0, 0), (0, 0)], constant_values=255)
        for tile in enlarged
    ]
