"""What a person looks at of a detector: batches, answers beside the truth, and charts.

Everything is drawn as uint8 (height, width, 3), and nothing is written.
"""

from collections.abc import Sequence

import numpy as np

from tfdl import drawing
from tfdl.data.sources import source
from tfdl.tasks.detection import (
    curves,
    detections as detecting,
    matches as matching,
)

_SHOWN = 16
_COLUMNS = 4
BACKGROUND = "(background)"


def batch(
    images: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    class_names: Sequence[str],
) -> np.ndarray:
    """Draw the first pictures of a batch with their objects, as the model is fed.

    Args:
        images: float32 (batch, size, size, 3) in [0, 1], or a tensor.
        boxes: float32 (batch, objects, 4), pixels of these, likewise.
        labels: int32 (batch, objects), -1 for padding, likewise.
        weights: float32 (batch, objects), 0 for padding, likewise; a weight below 1, as
            in a mixture, stands beside the name.
        class_names: one for each class.
    """
    columns = (
        np.asarray(values)[:_SHOWN] for values in (images, boxes, labels, weights)
    )
    drawn = []
    for image, own, classes, shares in zip(*columns, strict=True):
        real = shares > 0
        is_mixture = (shares[real] < 1).any()
        drawn.append(
            drawing.boxes(
                image,
                own[real],
                labels=classes[real],
                class_names=class_names,
                scores=shares[real] if is_mixture else None,
            )
        )
    return drawing.grid(drawn, columns=_COLUMNS)


def answer(
    image: np.ndarray,
    found: detecting.Detections,
    class_names: Sequence[str],
    *,
    score_threshold: float,
) -> np.ndarray:
    """Draw a picture with what was found in it, the surest on top.

    Args:
        image: uint8 (height, width, 3).
        found: in pixels of it.
        class_names: one for each class.
        score_threshold: detections below are left out.
    """
    kept = np.flatnonzero(found.scores >= score_threshold)[::-1]
    return drawing.boxes(
        image,
        found.boxes[kept],
        labels=found.labels[kept],
        class_names=class_names,
        scores=found.scores[kept],
    )


def comparisons(
    images: Sequence[np.ndarray],
    ground_truth: Sequence[source.Objects],
    detections: Sequence[detecting.Detections],
    class_names: Sequence[str],
    *,
    f_scores: Sequence[float],
    score_threshold: float,
) -> np.ndarray:
    """Draw pictures twice, with their objects and with what was found.

    Args:
        images: uint8 (height, width, 3) each, at least one.
        ground_truth: of each.
        detections: of each.
        class_names: one for each class.
        f_scores: of each at the threshold.
        score_threshold: detections below are left out.
    """
    tiles, titles, colours = [], [], []
    rows = zip(images, ground_truth, detections, f_scores, strict=True)
    for image, known, found, f_score in rows:
        tiles += [
            drawing.boxes(
                image, known.boxes, labels=known.labels, class_names=class_names
            ),
            answer(image, found, class_names, score_threshold=score_threshold),
        ]
        titles += ["truth", f"found, F1 {f_score:.2f}"]
        colours += ["black", "green" if f_score == 1 else "red"]
    return drawing.grid(tiles, titles=titles, title_colours=colours, columns=_COLUMNS)


def charts(
    matches: matching.Matches,
    costs: dict[str, dict[str, float]],
    *,
    score_threshold: float,
) -> dict[str, np.ndarray]:
    """Draw every chart of a split.

    Args:
        matches: of the split.
        costs: of errors, as `error_types.measure` returns them.
        score_threshold: of the confusion matrices.

    Returns:
        "precision_recall", "f_score", "error_types" and what `confusion_matrices`
        returns.
    """
    by_recall, by_threshold = curves.precision_recall(matches), curves.f_score(matches)
    return confusion_matrices(matches, score_threshold=score_threshold) | {
        "precision_recall": drawing.precision_recall_curves(
            by_recall, mean=curves.mean(by_recall)
        ),
        "f_score": drawing.f_score_curves(by_threshold, mean=curves.mean(by_threshold)),
        "error_types": errors(costs),
    }


def errors(costs: dict[str, dict[str, float]]) -> np.ndarray:
    """Draw what `error_types.measure` returns."""
    gains = {name: 100 * numbers["AP50_gain"] for name, numbers in costs.items()}
    return drawing.bars(
        gains,
        notes={
            name: f"{gain:+.1f}, {costs[name]['count']:,} of them"
            for name, gain in gains.items()
        },
        title="What each type of error costs",
        x_label="gain of AP50 if all of the type were mended (points)",
    )


def confusion_matrices(
    matches: matching.Matches, *, score_threshold: float
) -> dict[str, np.ndarray]:
    """Draw the confusion matrix in counts and in shares, as the arguments of `charts`.

    Returns:
        "confusion_matrix" and "confusion_matrix_normalized"; the background is last.
    """
    matrix = curves.confusion_matrix(matches, score_threshold=score_threshold)
    names = [*matches.pooled.class_names, BACKGROUND]
    return {
        "confusion_matrix": drawing.confusion_matrix(matrix, names),
        "confusion_matrix_normalized": drawing.confusion_matrix(
            matrix, names, normalized=True
        ),
    }
