"""How good are a classifier's probabilities on a whole split?

Everywhere, `targets` are int (examples,) where the classes exclude one another, and
multi-hot, int (examples, classes) of 0 and 1, where they do not. The numbers are those
of scikit-learn's functions with their defaults and `zero_division=0`.
"""

import functools
from collections.abc import Sequence

import numpy as np

from tfdl.ops import calibration, counts, intervals
from tfdl.tasks.classification import checks, curves

_THRESHOLD = 0.5  # a label of a multi-label picture is predicted above it
_TOP_K = 5
_SMALLEST_PROBABILITY = 1e-7  # as Keras clips: a sure mistake costs 16.1
_RATES = ("precision", "recall", "f1")
_MACRO = {f"{rate}_macro": rate for rate in _RATES}


def brief(
    probabilities: np.ndarray, targets: np.ndarray, *, multi_label: bool
) -> dict[str, float]:
    """Measure loss and accuracy alone.

    Args:
        probabilities: float (examples, classes) in [0, 1].
        targets: int (examples,), or multi-hot (examples, classes).
        multi_label: which of the two forms targets have.

    Returns:
        "loss", the mean negative log likelihood (per label, where there are several),
        and "accuracy", the share of pictures with everything right.

    Raises:
        DataError: no examples.
        DivergedError: a probability is not finite.
        UsageError: logits in place of probabilities, or targets of another form.
    """
    probabilities, targets = checks.answers(
        probabilities, targets, multi_label=multi_label
    )
    return {
        "loss": float(np.mean(_losses(probabilities, targets))),
        "accuracy": float(np.mean(_is_right(probabilities, targets))),
    }


def losses(
    probabilities: np.ndarray, targets: np.ndarray, *, multi_label: bool
) -> np.ndarray:
    """Measure each picture's loss, whose mean is that of `brief`.

    Arguments and errors are those of `brief`.

    Returns:
        float64 (examples,).
    """
    checked = checks.answers(probabilities, targets, multi_label=multi_label)
    return _losses(*checked)


def evaluate(
    probabilities: np.ndarray,
    targets: np.ndarray,
    *,
    class_names: Sequence[str],
    multi_label: bool,
    seed: int,
) -> dict[str, float | list]:
    """Measure everything that one number can say.

    Args:
        probabilities: float (examples, classes) in [0, 1].
        targets: int (examples,), or multi-hot (examples, classes).
        class_names: one for each class; a class need not occur.
        multi_label: which of the two forms targets have.
        seed: of the bootstrap.

    Returns:
        "loss" and "accuracy" as `brief`; "num_examples"; "precision_macro",
        "recall_macro" and "f1_macro"; "loss_interval", "accuracy_interval" and
        "f1_macro_interval", [low, high] of 95 %; "calibration_error"; and
        "roc_auc_macro", one class against the rest, over the classes that some pictures
        have and some have not, left out where there is none.
        Of exclusive classes "top5_accuracy", where there are more than 5; the macro
        means are over classes that occur or are predicted.
        Of labels "label_accuracy", the share of right ones, "precision_micro",
        "recall_micro", "f1_micro", and "mean_average_precision" over the classes that
        occur, left out where there is none; the macro means are over all classes.

    Raises:
        As `brief`, and UsageError for another number of class names.
    """
    rows = per_class(
        probabilities, targets, class_names=class_names, multi_label=multi_label
    )
    probabilities, targets = checks.answers(
        probabilities, targets, multi_label=multi_label
    )
    measured = brief(probabilities, targets, multi_label=multi_label)
    measured |= _intervals(probabilities, targets, seed=seed)
    measured["calibration_error"] = calibration.expected_calibration_error(
        *curves.confidences(probabilities, targets)
    )
    of_kind = _of_labels if multi_label else _of_classes
    measured |= of_kind(probabilities, targets, rows)
    measured |= _means(rows, roc_auc_macro="roc_auc")
    measured["num_examples"] = len(targets)
    return measured


def per_class(
    probabilities: np.ndarray,
    targets: np.ndarray,
    *,
    class_names: Sequence[str],
    multi_label: bool,
) -> list[dict[str, str | int | float | None]]:
    """Measure each class against the rest.

    Args:
        probabilities: float (examples, classes) in [0, 1].
        targets: int (examples,), or multi-hot (examples, classes).
        class_names: one for each class; a class need not occur.
        multi_label: which of the two forms targets have.

    Returns:
        A row for each class: "class"; "support", its number of pictures; "precision",
        "recall" and "f1", 0 where they are 0 / 0; "roc_auc", None where no picture or
        every picture has the class; "average_precision", and "best_f1" with the
        "best_threshold" that gives it, None where no picture has the class.

    Raises:
        As `evaluate`.
    """
    probabilities, targets = checks.answers(
        probabilities, targets, multi_label=multi_label
    )
    checks.names(class_names, probabilities)
    of_classes = checks.one_against_rest(probabilities, targets)
    all_rates = _rates(probabilities, targets).tolist()
    rows = []
    for name, (scores, positives), rates in zip(
        class_names, of_classes, all_rates, strict=True
    ):
        row = {"class": name, "support": int(positives.sum())}
        row |= dict(zip(_RATES, rates, strict=True))
        rows.append(row | _summaries(scores, positives))
    return rows


def confusion_matrix(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Count the pictures of each class by the class they were taken for.

    Args:
        probabilities: float (examples, classes) in [0, 1].
        targets: int (examples,); labels that do not exclude one another have no such
            matrix.

    Returns:
        int64 (classes, classes), truth in rows, prediction in columns.

    Raises:
        As `brief`.
    """
    probabilities, targets = checks.answers(probabilities, targets, multi_label=False)
    predictions, num_classes = probabilities.argmax(axis=1), probabilities.shape[1]
    return counts.confusion_matrix(targets, predictions, num_classes=num_classes)


def _losses(probabilities, targets):
    """Return float64 (examples,), the mean over labels where there are several."""
    if targets.ndim == 1:
        likelihood = np.take_along_axis(probabilities, targets[:, np.newaxis], axis=1)
    else:
        likelihood = np.where(targets, probabilities, 1 - probabilities)
    likelihood = np.maximum(likelihood.astype(np.float64), _SMALLEST_PROBABILITY)
    return -np.mean(np.log(likelihood), axis=1)


def _is_right(probabilities, targets):
    """Return bool (examples,), whether everything about a picture is right."""
    if targets.ndim == 1:
        return probabilities.argmax(axis=1) == targets
    return np.all((probabilities > _THRESHOLD) == targets, axis=1)


def _summaries(scores, positives):
    """Sum up the curves of a class; None where it has none."""
    summaries = dict.fromkeys(
        ("roc_auc", "average_precision", "best_f1", "best_threshold")
    )
    if positives.any():
        summaries["average_precision"] = counts.average_precision(scores, positives)
        f_scores, thresholds = (
            values[::-1] for values in counts.f_score_curve(scores, positives)
        )
        best = f_scores.argmax()
        summaries["best_f1"] = float(f_scores[best])
        summaries["best_threshold"] = float(thresholds[best])
        if not positives.all():
            fpr, tpr, _ = counts.roc_curve(scores, positives)
            summaries["roc_auc"] = counts.area_under_curve(fpr, tpr)
    return summaries


def _intervals(probabilities, targets, *, seed):
    """Bound loss, accuracy and macro F1 by resampling the pictures."""
    f1_values, f1_macro = _for_f1(probabilities, targets)
    resampled = {
        "loss_interval": (_losses(probabilities, targets), np.mean),
        "accuracy_interval": (_is_right(probabilities, targets), np.mean),
        "f1_macro_interval": (f1_values, f1_macro),
    }
    return {
        name: list(
            intervals.bootstrap_interval(
                values, rng=np.random.default_rng(seed), statistic=statistic
            )
        )
        for name, (values, statistic) in resampled.items()
    }


def _for_f1(probabilities, targets):
    """Return a row for each picture, and the macro F1 of resamples of such rows."""
    if targets.ndim == 1:
        pairs = np.stack([targets, probabilities.argmax(axis=1)], axis=1)
        return pairs, functools.partial(
            _f1_of_pairs, num_classes=probabilities.shape[1]
        )
    # 0 neither, 1 wrongly named, 2 missed, 3 rightly named.
    return 2 * targets + (probabilities > _THRESHOLD), _f1_of_outcomes


def _f1_of_pairs(pairs, axis, *, num_classes):
    """Compute macro F1 of (resamples, examples, 2), over the classes in each."""
    num_resamples = len(pairs)
    first_bins = num_classes * np.arange(num_resamples)[:, np.newaxis]
    truths, guesses = np.moveaxis(pairs.astype(np.int64), -1, 0) + first_bins

    def count(bins):
        counted = np.bincount(bins.ravel(), minlength=num_resamples * num_classes)
        return counted.reshape(num_resamples, num_classes)

    sizes = count(truths) + count(guesses)
    f1 = 2 * count(truths[truths == guesses]) / np.maximum(sizes, 1)
    return f1.sum(axis=axis) / np.sum(sizes > 0, axis=axis)


def _f1_of_outcomes(outcomes, axis):
    """Compute macro F1 of (resamples, examples, classes), over all classes."""
    right = np.sum(outcomes == 3, axis=axis)
    wrong = np.sum((outcomes == 1) | (outcomes == 2), axis=axis)
    return np.mean(2 * right / np.maximum(2 * right + wrong, 1), axis=-1)


def _of_classes(probabilities, targets, rows):
    predictions = probabilities.argmax(axis=1)
    seen = [rows[index] for index in np.union1d(targets, predictions)]
    measured = _means(seen, **_MACRO)
    if probabilities.shape[1] > _TOP_K:
        accuracy = counts.top_k_accuracy(probabilities, targets, k=_TOP_K)
        measured["top5_accuracy"] = accuracy
    return measured


def _of_labels(probabilities, targets, rows):
    predictions = probabilities > _THRESHOLD
    precision, recall, f1 = _positive_rates(targets.ravel(), predictions.ravel())
    return {
        "label_accuracy": float(np.mean(predictions == targets)),
        "precision_micro": float(precision),
        "recall_micro": float(recall),
        "f1_micro": float(f1),
        **_means(rows, **_MACRO, mean_average_precision="average_precision"),
    }


def _means(rows, **columns):
    """Average columns over the rows with a number there; leave out where none has."""
    means = {}
    for name, column in columns.items():
        numbers = [row[column] for row in rows if row[column] is not None]
        if numbers:
            means[name] = float(np.mean(numbers))
    return means


def _rates(probabilities, targets):
    """Return float64 (classes, 3) in the order of `_RATES`."""
    if targets.ndim == 1:
        matrix = confusion_matrix(probabilities, targets)
        return np.stack(counts.precision_recall_f1(matrix), axis=1)
    predictions = probabilities > _THRESHOLD
    columns = zip(targets.T, predictions.T, strict=True)
    return np.stack([_positive_rates(*column) for column in columns])


def _positive_rates(targets, predictions):
    matrix = counts.confusion_matrix(targets, predictions, num_classes=2)
    return np.stack(counts.precision_recall_f1(matrix), axis=1)[1]
