"""How do a classifier's answers depend on the threshold, and are they calibrated?

`targets` are as in `metrics`: int (examples,) where the classes exclude one another,
and multi-hot, int (examples, classes), where they do not. A curve is (x, y, a number
that sums it up); curves are by the name of the class.
"""

from collections.abc import Sequence

import numpy as np

from tfdl.ops import calibration as calibrating, counts
from tfdl.tasks.classification import checks

Curve = tuple[np.ndarray, np.ndarray, float]

_NUM_THRESHOLDS = 201  # as in TensorBoard


def roc(
    probabilities: np.ndarray, targets: np.ndarray, *, class_names: Sequence[str]
) -> dict[str, Curve]:
    """Trace the receiver operating characteristic of each class against the rest.

    Args:
        probabilities: float (examples, classes) in [0, 1].
        targets: int (examples,), or multi-hot (examples, classes).
        class_names: one for each class; a class need not occur.

    Returns:
        name -> (false positive rates, true positive rates, area below), without the
        classes that no picture or every picture has.

    Raises:
        As `checks.answers` and `checks.names`.
    """
    curves = {}
    for name, scores, positives in _classes(probabilities, targets, class_names):
        if positives.any() and not positives.all():
            fpr, tpr, _ = counts.roc_curve(scores, positives)
            curves[name] = fpr, tpr, counts.area_under_curve(fpr, tpr)
    return curves


def precision_recall(
    probabilities: np.ndarray, targets: np.ndarray, *, class_names: Sequence[str]
) -> dict[str, Curve]:
    """Trace precision against recall of each class against the rest.

    Arguments and errors are those of `roc`.

    Returns:
        name -> (recalls, ascending, precisions, average precision), without the classes
        that no picture has.
    """
    curves = {}
    for name, scores, positives in _classes(probabilities, targets, class_names):
        if positives.any():
            precisions, recalls, _ = counts.precision_recall_curve(scores, positives)
            area = counts.average_precision(scores, positives)
            curves[name] = recalls, precisions, area
    return curves


def f_score(
    probabilities: np.ndarray, targets: np.ndarray, *, class_names: Sequence[str]
) -> dict[str, Curve]:
    """Trace F1 against the threshold of each class against the rest.

    Arguments and errors are those of `roc`.

    Returns:
        name -> (thresholds, ascending, F1 scores, the best of them), without the
        classes that no picture has. Between two thresholds F1 is that of the higher.
    """
    curves = {}
    for name, scores, positives in _classes(probabilities, targets, class_names):
        if positives.any():
            f_scores, thresholds = counts.f_score_curve(scores, positives)
            curves[name] = thresholds[::-1], f_scores[::-1], float(f_scores.max())
    return curves


def mean(curves: dict[str, Curve], *, stepwise: bool) -> Curve | None:
    """Average curves over classes.

    Args:
        curves: as `roc`, `precision_recall` or `f_score` return them.
        stepwise: False for `roc`, True for the others.

    Returns:
        (x, the mean curve there, the mean of the numbers that sum the curves up), or
        None where there is no curve.
    """
    if not curves:
        return None
    pairs = [curve[:2] for curve in curves.values()]
    x, y = counts.mean_curve(pairs, stepwise=stepwise)
    return x, y, float(np.mean([number for *_, number in curves.values()]))


def confusions(
    probabilities: np.ndarray, targets: np.ndarray, *, class_names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Count the outcomes of each class against the rest at 201 thresholds from 0 to 1.

    Arguments and errors are those of `roc`.

    Returns:
        name -> int64 (4, 201), see `counts.confusions_at`.
    """
    thresholds = np.linspace(0, 1, _NUM_THRESHOLDS)
    return {
        name: counts.confusions_at(scores, positives, thresholds=thresholds)
        for name, scores, positives in _classes(probabilities, targets, class_names)
    }


def calibration(
    probabilities: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare confidence with accuracy, see `calibration.calibration_curve` of `ops`.

    Args:
        probabilities: float (examples, classes) in [0, 1].
        targets: int (examples,), the confidence is the probability of the best class;
            or multi-hot (examples, classes), every label's probability is one.

    Returns:
        Of 15 bins the mean confidence, the accuracy and the number of answers.
    """
    return calibrating.calibration_curve(*confidences(probabilities, targets))


def confidences(
    probabilities: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Say how sure each answer is, float (answers,), and whether it is right, bool."""
    probabilities, targets = checks.answers(
        probabilities, targets, multi_label=np.ndim(targets) > 1
    )
    if targets.ndim > 1:
        return probabilities.ravel(), targets.ravel() == 1
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == targets


def _classes(probabilities, targets, class_names):
    """Yield the name, scores and positives of each class."""
    probabilities, targets = checks.answers(
        probabilities, targets, multi_label=np.ndim(targets) > 1
    )
    checks.names(class_names, probabilities)
    of_classes = checks.one_against_rest(probabilities, targets)
    for name, (scores, positives) in zip(class_names, of_classes, strict=True):
        yield name, scores, positives
