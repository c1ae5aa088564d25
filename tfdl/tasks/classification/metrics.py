"""How good are a classifier's probabilities on a whole split?

Everywhere, `targets` are int (examples,) where the classes exclude one another, and
multi-hot, int (examples, classes) of 0 and 1, where they do not. The numbers are those
of scikit-learn's functions with their defaults and `zero_division=0`.
"""

from collections.abc import Sequence

import numpy as np

from tfdl import errors
from tfdl.ops import counts

_THRESHOLD = 0.5  # a label of a multi-label picture is predicted above it
_TOP_K = 5
_SMALLEST_PROBABILITY = 1e-7  # as Keras clips: a sure mistake costs 16.1
_ROUNDING = 1e-2  # a softmax in low precision may exceed 1
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
    probabilities, targets = _check(probabilities, targets, multi_label=multi_label)
    return {
        "loss": _loss(probabilities, targets),
        "accuracy": float(np.mean(_is_right(probabilities, targets))),
    }


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
        "loss" and "accuracy" as `brief`; "accuracy_interval", [low, high] of 95 %;
        "num_examples"; "precision_macro", "recall_macro" and "f1_macro"; and
        "roc_auc_macro", one class against the rest, over the classes that some pictures
        have and some have not, left out where there is none.
        Of exclusive classes "calibration_error" and, where there are more than 5,
        "top5_accuracy"; the macro means are over classes that occur or are predicted.
        Of labels "label_accuracy", the share of right ones, "precision_micro",
        "recall_micro", "f1_micro", and "mean_average_precision" over the classes that
        occur, left out where there is none; the macro means are over all classes.

    Raises:
        As `brief`, and UsageError for another number of class names.
    """
    rows = per_class(
        probabilities, targets, class_names=class_names, multi_label=multi_label
    )
    probabilities, targets = _check(probabilities, targets, multi_label=multi_label)
    interval = counts.bootstrap_interval(
        _is_right(probabilities, targets), rng=np.random.default_rng(seed)
    )
    measured = brief(probabilities, targets, multi_label=multi_label)
    measured["accuracy_interval"] = list(interval)
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
        every picture has the class; "average_precision", None where no picture has it.

    Raises:
        As `evaluate`.
    """
    probabilities, targets = _check(probabilities, targets, multi_label=multi_label)
    _check_names(class_names, probabilities)
    rows = []
    for index, rates in enumerate(_rates(probabilities, targets)):
        scores, positives = probabilities[:, index], _has_class(targets, index)
        row = {"class": class_names[index], "support": int(positives.sum())}
        row |= dict(zip(_RATES, rates.tolist(), strict=True))
        row["roc_auc"] = row["average_precision"] = None
        if _is_mixed(positives):
            row["roc_auc"] = _roc_curve(scores, positives)[2]
        if positives.any():
            row["average_precision"] = counts.average_precision(scores, positives)
        rows.append(row)
    return rows


def roc_curves(
    probabilities: np.ndarray, targets: np.ndarray, *, class_names: Sequence[str]
) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:
    """Trace the receiver operating characteristic of each class against the rest.

    Args:
        probabilities: float (examples, classes) in [0, 1].
        targets: int (examples,), or multi-hot (examples, classes).
        class_names: one for each class; a class need not occur.

    Returns:
        name -> (false positive rates, true positive rates, area below), without the
        classes that no picture or every picture has.

    Raises:
        As `evaluate`.
    """
    multi_label = np.ndim(targets) > 1
    probabilities, targets = _check(probabilities, targets, multi_label=multi_label)
    _check_names(class_names, probabilities)
    curves = {}
    for index, name in enumerate(class_names):
        positives = _has_class(targets, index)
        if _is_mixed(positives):
            curves[name] = _roc_curve(probabilities[:, index], positives)
    return curves


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
    probabilities, targets = _check(probabilities, targets, multi_label=False)
    predictions, num_classes = probabilities.argmax(axis=1), probabilities.shape[1]
    return counts.confusion_matrix(targets, predictions, num_classes=num_classes)


def _loss(probabilities, targets):
    if targets.ndim == 1:
        likelihood = np.take_along_axis(probabilities, targets[:, np.newaxis], axis=1)
    else:
        likelihood = np.where(targets, probabilities, 1 - probabilities)
    likelihood = np.maximum(likelihood.astype(np.float64), _SMALLEST_PROBABILITY)
    return float(-np.mean(np.log(likelihood)))


def _is_right(probabilities, targets):
    """Return bool (examples,), whether everything about a picture is right."""
    if targets.ndim == 1:
        return probabilities.argmax(axis=1) == targets
    return np.all((probabilities > _THRESHOLD) == targets, axis=1)


def _of_classes(probabilities, targets, rows):
    predictions = probabilities.argmax(axis=1)
    seen = [rows[index] for index in np.union1d(targets, predictions)]
    measured = {
        "calibration_error": counts.expected_calibration_error(
            probabilities.max(axis=1), predictions == targets
        ),
        **_means(seen, **_MACRO),
    }
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


def _has_class(targets, index):
    return targets == index if targets.ndim == 1 else targets[:, index] == 1


def _is_mixed(positives):
    return positives.any() and not positives.all()


def _roc_curve(scores, positives):
    fpr, tpr, _ = counts.roc_curve(scores, positives)
    return fpr, tpr, counts.area_under_curve(fpr, tpr)


def _check(probabilities, targets, *, multi_label):
    probabilities = np.asarray(probabilities)
    targets = np.asarray(targets, np.int64)
    _check_shapes(probabilities, targets, multi_label=multi_label)
    num_broken = np.sum(~np.isfinite(probabilities).all(axis=1))
    if num_broken:
        raise errors.DivergedError(
            f"The probabilities of {num_broken} of {len(targets)} pictures are not "
            "finite.",
            "Evaluate an earlier checkpoint, or train with a lower learning rate.",
        )
    if probabilities.min() < 0 or probabilities.max() > 1 + _ROUNDING:
        raise errors.UsageError(
            "`probabilities` must lie in [0, 1]. Received "
            f"{probabilities.min():.4g} to {probabilities.max():.4g}.",
            "Turn logits into probabilities by `postprocess`.",
        )
    highest = 1 if multi_label else probabilities.shape[1] - 1
    if targets.min() < 0 or targets.max() > highest:
        raise errors.UsageError(
            f"`targets` must lie in [0, {highest}]. Received {targets.min()} to "
            f"{targets.max()}.",
            "Leave out padding, and check that data and model have the same classes.",
        )
    return probabilities, targets


def _check_shapes(probabilities, targets, *, multi_label):
    expected = probabilities.shape[: 2 if multi_label else 1]
    if probabilities.ndim != 2 or targets.shape != expected:
        form = "(examples, classes)" if multi_label else "(examples,)"
        raise errors.UsageError(
            f"`probabilities` must be (examples, classes) and `targets` {form}. "
            f"Received {probabilities.shape} and {targets.shape}.",
            "Check `multi_label`.",
        )
    if len(targets) == 0:
        raise errors.DataError(
            "There are no examples to evaluate.", "Choose a split that is not empty."
        )


def _check_names(class_names, probabilities):
    num_classes = probabilities.shape[1]
    if len(class_names) != num_classes:
        raise errors.UsageError(
            f"`class_names` must name {num_classes} classes. Received "
            f"{len(class_names)} names.",
            "Evaluate on data with the classes of the training data.",
        )
