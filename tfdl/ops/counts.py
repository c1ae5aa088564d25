"""How good are predictions, by counting right and wrong ones over a whole data set?

NumPy and not `keras.ops`: a metric is computed once, from all examples, in float64, and
a curve has as many points as there are distinct scores, a shape no graph knows.
"""

from collections.abc import Sequence

import numpy as np

from tfdl import errors


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, *, num_classes: int
) -> np.ndarray:
    """Count the examples of each class by what they were taken for.

    Args:
        labels: integer (examples,), the true classes.
        predictions: integer (examples,), the predicted classes.
        num_classes: the number of classes; both hold numbers from 0 to num_classes - 1.

    Returns:
        int64 (num_classes, num_classes), truth in rows, prediction in columns.

    Raises:
        UsageError: no examples, different lengths or a class out of range.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    check_examples(labels=labels, predictions=predictions)
    for name, classes in {"labels": labels, "predictions": predictions}.items():
        if classes.min() < 0 or classes.max() >= num_classes:
            raise errors.UsageError(
                f"`{name}` must lie in [0, {num_classes}). Received "
                f"{classes.min()} to {classes.max()}.",
                "Leave padding out and pass the number of classes of the model.",
            )
    cells = labels.astype(np.int64) * num_classes + predictions
    counts = np.bincount(cells, minlength=num_classes**2)
    return counts.astype(np.int64).reshape(num_classes, num_classes)


def precision_recall_f1(
    matrix: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the three rates of each class, one against the rest.

    Args:
        matrix: integer (classes, classes), see `confusion_matrix`.

    Returns:
        precision, recall and F1, each float64 (classes,) in [0, 1]; 0 where a rate is
        0 / 0 (a class that never occurs, or is never predicted).
    """
    matrix = np.asarray(matrix)
    right = np.diagonal(matrix)
    predicted, actual = matrix.sum(axis=0), matrix.sum(axis=1)
    return (
        _ratio(right, predicted),
        _ratio(right, actual),
        _ratio(2 * right, predicted + actual),
    )


def roc_curve(
    scores: np.ndarray, positives: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trace the receiver operating characteristic of a two-class score.

    Equal scores make one point, so the order of the examples has no influence.

    Args:
        scores: float (examples,), higher for what looks positive.
        positives: bool (examples,), the truth.

    Returns:
        fpr, tpr: float64 (points,) in [0, 1], both from 0 to 1.
        thresholds: float64 (points,), falling from infinity; an example counts as
            positive when its score is at least the threshold.

    Raises:
        UsageError: no examples, different lengths, NaN, or one kind of example only.
    """
    true_positives, false_positives, thresholds = _counts_by_threshold(
        scores, positives
    )
    num_positives, num_negatives = true_positives[-1], false_positives[-1]
    if num_positives == 0 or num_negatives == 0:
        raise errors.UsageError(
            "A ROC curve needs positive and negative examples. Received "
            f"{num_positives} positive and {num_negatives} negative.",
            "Leave this class out, or evaluate on more examples.",
        )
    fpr = np.append(0.0, false_positives / num_negatives)
    tpr = np.append(0.0, true_positives / num_positives)
    return fpr, tpr, np.append(np.inf, thresholds)


def area_under_curve(x: np.ndarray, y: np.ndarray) -> float:
    """Integrate a curve by trapezoids.

    Args:
        x: float (points,), ascending.
        y: float (points,).

    Returns:
        The area; of a ROC curve, the probability that a positive scores above a
        negative, ties counting one half.
    """
    return float(np.trapezoid(y, x))


def precision_recall_curve(
    scores: np.ndarray, positives: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trace precision against recall of a two-class score.

    Args:
        scores: float (examples,), higher for what looks positive.
        positives: bool (examples,), the truth.

    Returns:
        precision, recall: float64 (points,) in [0, 1], recall ascending from 0, where
            precision is 1 by convention.
        thresholds: float64 (points,), falling from infinity, as in `roc_curve`.

    Raises:
        UsageError: no examples, different lengths, NaN, or no positive example.
    """
    true_positives, false_positives, thresholds = _counts_by_threshold(
        scores, positives
    )
    if true_positives[-1] == 0:
        raise errors.UsageError(
            "A precision-recall curve needs a positive example. Received "
            f"{len(np.asarray(scores))} examples, none of them positive.",
            "Leave this class out, or evaluate on more examples.",
        )
    precision = true_positives / (true_positives + false_positives)
    recall = true_positives / true_positives[-1]
    return (
        np.append(1.0, precision),
        np.append(0.0, recall),
        np.append(np.inf, thresholds),
    )


def average_precision(scores: np.ndarray, positives: np.ndarray) -> float:
    """Average the precision over the steps of recall, without interpolation.

    Detection's AP interpolates; it is not this one.

    Args:
        scores: float (examples,), higher for what looks positive.
        positives: bool (examples,), the truth.

    Returns:
        The average precision in [0, 1].

    Raises:
        UsageError: as `precision_recall_curve`.
    """
    precision, recall, _ = precision_recall_curve(scores, positives)
    return float(np.sum(np.diff(recall) * precision[1:]))


def mean_curve(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    stepwise: bool,
    num_points: int = 501,
) -> tuple[np.ndarray, np.ndarray]:
    """Average curves over [0, 1], as the macro mean over classes does.

    Args:
        curves: pairs of x, float (points,), ascending in [0, 1], and y; at least one.
        stepwise: True, y between two points is that of the next, and 0 after the last,
            as of F-score against threshold and precision against recall; False, it is
            interpolated, as of a ROC curve.
        num_points: of the result.

    Returns:
        x, float64 (num_points,) from 0 to 1, and y, the mean there.
    """
    grid = np.linspace(0, 1, num_points)
    if stepwise:
        sampled = [np.append(y, 0.0)[np.searchsorted(x, grid)] for x, y in curves]
    else:
        sampled = [np.interp(grid, x, y) for x, y in curves]
    return grid, np.mean(sampled, axis=0)


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, *, k: int) -> float:
    """Compute the share of examples whose class is among the k best scores.

    Among equal scores the lower class comes first, as with `argmax`, so that k = 1 is
    the accuracy and a constant model does not get everything right.

    Args:
        scores: float (examples, classes).
        labels: integer (examples,), the true classes.
        k: how many of the best classes count.

    Returns:
        The share in [0, 1].

    Raises:
        UsageError: no examples or different lengths.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    check_examples(scores=scores, labels=labels)
    own = np.take_along_axis(scores, labels[:, np.newaxis], axis=1)
    is_lower_class = np.arange(scores.shape[1]) < labels[:, np.newaxis]
    is_ahead = (scores > own) | ((scores == own) & is_lower_class)
    return float(np.mean(is_ahead.sum(axis=1) < k))


def f_score_curve(
    scores: np.ndarray, positives: np.ndarray, *, beta: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Trace the F-score of a two-class score against the threshold.

    Van Rijsbergen, Information Retrieval, 1979, chapter 7: the harmonic mean of
    precision and recall, recall weighing `beta` times as much.

    Args:
        scores: float (examples,), higher for what looks positive.
        positives: bool (examples,), the truth.
        beta: 1 for F1.

    Returns:
        f_scores: float64 (points,) in [0, 1]; 0 where there is no positive example.
        thresholds: float64 (points,), the distinct scores, falling; an example counts
            as positive when its score is at least the threshold.

    Raises:
        UsageError: no examples, different lengths or NaN.
    """
    true_positives, false_positives, thresholds = _counts_by_threshold(
        scores, positives
    )
    weighted = (1 + beta**2) * true_positives
    whole = beta**2 * true_positives[-1] + true_positives + false_positives
    return weighted / whole, thresholds


def confusions_at(
    scores: np.ndarray, positives: np.ndarray, *, thresholds: np.ndarray
) -> np.ndarray:
    """Count the four outcomes of a two-class score at given thresholds.

    Args:
        scores: float (examples,), higher for what looks positive.
        positives: bool (examples,), the truth.
        thresholds: float (thresholds,), in any order; an example counts as positive
            when its score is at least the threshold.

    Returns:
        int64 (4, thresholds): true positives, false positives, true negatives and
        false negatives.

    Raises:
        UsageError: no examples, different lengths or NaN.
    """
    true_positives, false_positives, distinct = _counts_by_threshold(scores, positives)
    places = np.searchsorted(-distinct, -np.asarray(thresholds, np.float64), "right")
    hits, alarms = (
        np.append(0, counted)[places] for counted in (true_positives, false_positives)
    )
    return np.stack(
        [hits, alarms, false_positives[-1] - alarms, true_positives[-1] - hits]
    )


def check_examples(**arrays: np.ndarray) -> None:
    """Check that arrays hold one entry for each of the same examples.

    Raises:
        UsageError: no examples or different lengths.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    names = " and ".join(f"`{name}`" for name in lengths)
    if len(set(lengths.values())) > 1:
        raise errors.UsageError(
            f"{names} must have the same length. Received {lengths}.",
            "Pass one entry per example in each.",
        )
    if 0 in lengths.values():
        raise errors.UsageError(
            f"{names} must hold at least one example. Received none.",
            "Evaluate on a split that is not empty.",
        )


def _counts_by_threshold(scores, positives):
    """Return the true and false positives at each distinct score, falling."""
    scores = np.asarray(scores, np.float64)
    positives = np.asarray(positives, bool)
    check_examples(scores=scores, positives=positives)
    if np.isnan(scores).any():
        raise errors.UsageError(
            f"`scores` must be numbers. Received {np.isnan(scores).sum()} NaN.",
            "Check that the model did not diverge.",
        )
    order = np.argsort(-scores, kind="stable")
    scores, positives = scores[order], positives[order]
    last_of_ties = np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
    true_positives = np.cumsum(positives)[last_of_ties]
    false_positives = 1 + last_of_ties - true_positives
    return true_positives, false_positives, scores[last_of_ties]


def _ratio(part, whole):
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)
