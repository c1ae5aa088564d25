"""What a person looks at of a classifier: batches, answers and charts.

Everything is drawn as uint8 (height, width, 3), and nothing is written.
"""

from collections.abc import Sequence

import numpy as np

from tfdl import drawing
from tfdl.tasks.classification import curves, metrics

_SHOWN = 32
_THRESHOLD = 0.5  # as in `metrics`


def batch(images: np.ndarray, targets: np.ndarray, class_names: Sequence[str]):
    """Draw the first pictures of a batch with their targets.

    Args:
        images: float32 (batch, height, width, channels) in [0, 1], or a tensor.
        targets: float32 (batch, classes), distributions or multi-hot, likewise.
        class_names: one for each class.
    """
    images, targets = (np.asarray(values)[:_SHOWN] for values in (images, targets))
    titles = [_target(row, class_names) for row in targets]
    return drawing.grid(images, titles=titles)


def predictions(
    images: np.ndarray,
    probabilities: np.ndarray,
    targets: np.ndarray,
    class_names: Sequence[str],
    *,
    multi_label: bool,
) -> np.ndarray:
    """Draw pictures with the answer and, where it is wrong, what the truth was given.

    The answer is the most probable class; where classes do not exclude one another and
    some are wrong, it is the one that is most so.

    Args:
        images: float32 (pictures, height, width, channels) in [0, 1].
        probabilities: float32 (pictures, classes).
        targets: float32 (pictures, classes), one-hot or multi-hot.
        class_names: one for each class.
        multi_label: whether classes do not exclude one another.
    """
    titles, colours = [], []
    for row, target in zip(probabilities, targets, strict=True):
        title, is_right = _answer(row, target, class_names, multi_label)
        titles.append(title)
        colours.append("green" if is_right else "red")
    return drawing.grid(images, titles=titles, title_colours=colours)


def charts(
    probabilities: np.ndarray,
    targets: np.ndarray,
    class_names: Sequence[str],
) -> dict[str, np.ndarray]:
    """Draw every chart of a split.

    Args:
        probabilities: float32 (examples, classes).
        targets: int (examples,), or (examples, classes) multi-hot.
        class_names: one for each class.

    Returns:
        "roc", "precision_recall", "f_score", "calibration" and, for exclusive classes,
        what `confusion_matrices` returns.
    """
    answers = (probabilities, targets)
    roc = curves.roc(*answers, class_names=class_names)
    by_recall = curves.precision_recall(*answers, class_names=class_names)
    by_threshold = curves.f_score(*answers, class_names=class_names)
    return confusion_matrices(probabilities, targets, class_names) | {
        "roc": drawing.roc_curves(roc, mean=curves.mean(roc, stepwise=False)),
        "precision_recall": drawing.precision_recall_curves(
            by_recall, mean=curves.mean(by_recall, stepwise=True)
        ),
        "f_score": drawing.f_score_curves(
            by_threshold, mean=curves.mean(by_threshold, stepwise=True)
        ),
        "calibration": drawing.calibration(*curves.calibration(*answers)),
    }


def confusion_matrices(
    probabilities: np.ndarray, targets: np.ndarray, class_names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Draw the confusion matrix in counts and in shares, as the arguments of `charts`.

    Returns:
        "confusion_matrix" and "confusion_matrix_normalized"; nothing of classes that do
        not exclude one another.
    """
    if targets.ndim > 1:
        return {}
    matrix = metrics.confusion_matrix(probabilities, targets)
    return {
        "confusion_matrix": drawing.confusion_matrix(matrix, class_names),
        "confusion_matrix_normalized": drawing.confusion_matrix(
            matrix, class_names, normalized=True
        ),
    }


def _answer(row, target, class_names, multi_label) -> tuple[str, bool]:
    """Write an answer, beside the truth unless it is right -> (text, is it right?)."""
    index = int(row.argmax())
    if not multi_label:
        text, truth = f"{class_names[index]} {row[index]:.2f}", int(target.argmax())
        if index == truth:
            return text, True
        return f"{text}, is {class_names[truth]} {row[truth]:.2f}", False
    errors = np.abs(row - target)
    if errors.max() <= _THRESHOLD:
        return f"{class_names[index]} {row[index]:.2f}", True
    index = int(errors.argmax())
    denial = "no " if target[index] else ""
    truth = _target(target, class_names) or "none"
    return f"{denial}{class_names[index]} {row[index]:.2f}, is {truth}", False


def _target(row: np.ndarray, class_names: Sequence[str]) -> str:
    """Name the classes of a target, with shares where it is a mixture."""
    chosen = np.flatnonzero(row > 0)
    is_mixture = len(chosen) > 1 and np.isclose(row.sum(), 1)
    return ", ".join(
        f"{class_names[index]} {row[index]:.2f}" if is_mixture else class_names[index]
        for index in chosen
    )
