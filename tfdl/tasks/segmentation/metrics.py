"""How good are label maps on a whole split?

Pixels of the whole split are counted together, as for Pascal VOC and Cityscapes, so
that a class is measured once, not in every picture. A class that no pixel of the truth
has is left out of every mean: what is wrongly taken for it is missed by the others.
"""

from collections.abc import Sequence

import numpy as np

from tfdl import errors
from tfdl.data.augment import annotations
from tfdl.ops import counts, intervals

_RIGHT, _ACTUAL, _PREDICTED = 0, 1, 2  # rows of `_sums`


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, *, num_classes: int
) -> np.ndarray:
    """Count the pixels of a picture by class and by what they were taken for.

    Args:
        labels: integer (height, width), classes, 255 for ignored.
        predictions: integer (height, width), classes; any number where it is ignored.
        num_classes: of the model.

    Returns:
        int64 (num_classes, num_classes), truth in rows, prediction in columns; all 0
        where nothing counts.

    Raises:
        UsageError: the maps differ in size, or a class is out of range.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    if labels.shape != predictions.shape:
        raise errors.UsageError(
            "`labels` and `predictions` must be of one size. Received "
            f"{labels.shape} and {predictions.shape}.",
            "Bring predictions back to the size of their pictures.",
        )
    counted = labels != annotations.SEMANTIC_PADDING
    if not counted.any():
        return np.zeros((num_classes, num_classes), np.int64)
    return counts.confusion_matrix(
        labels[counted], predictions[counted], num_classes=num_classes
    )


def brief(matrices: np.ndarray) -> dict[str, float]:
    """Measure mean IoU and pixel accuracy alone, for the end of an epoch.

    Args:
        matrices: int (pictures, classes, classes), `confusion_matrix` of each.

    Returns:
        "mean_iou" and "pixel_accuracy", see `evaluate`; both are 0 where nothing
        counts.

    Raises:
        UsageError: no pictures.
    """
    counts.check_examples(matrices=matrices)
    sums = _sums(matrices).sum(axis=0)
    if not sums.any():
        return {"mean_iou": 0.0, "pixel_accuracy": 0.0}
    return {name: float(_STATISTICS[name](sums)) for name in _BOUNDED}


def evaluate(
    matrices: np.ndarray, *, class_names: Sequence[str], seed: int = 0
) -> dict[str, float | list]:
    """Measure everything that one number can say.

    Args:
        matrices: int (pictures, classes, classes), `confusion_matrix` of each.
        class_names: one for each class; a class need not occur.
        seed: of the bootstrap.

    Returns:
        "mean_iou", the mean over the classes that occur of right / (actual + predicted
        - right); "mean_dice", of 2 right / (actual + predicted); "mean_accuracy", of
        right / actual; "pixel_accuracy", the share of right pixels;
        "frequency_weighted_iou", the IoU of classes weighted by their actual pixels
        [Long 2015, section 5]; "mean_iou_interval" and "pixel_accuracy_interval", [low,
        high] of 95 % if other pictures were drawn; "num_examples", pictures; and
        "num_pixels", without ignored ones. Without any such pixel, the last two alone.

    Raises:
        UsageError: no pictures, or another number of class names.
    """
    _check(matrices, class_names)
    of_pictures = _sums(matrices)
    sums = of_pictures.sum(axis=0)
    num_pixels = int(sums[_ACTUAL].sum())
    measured = {"num_examples": len(of_pictures), "num_pixels": num_pixels}
    if not num_pixels:
        return measured
    rates = {name: float(rate(sums)) for name, rate in _STATISTICS.items()}
    # A picture that is all ignored says nothing, and a resample of such has no mean.
    counted = of_pictures[of_pictures[:, _ACTUAL].any(axis=-1)]
    bounds = {
        f"{name}_interval": list(
            intervals.bootstrap_interval(
                counted,
                rng=np.random.default_rng(seed),
                statistic=_of_sums(_STATISTICS[name]),
            )
        )
        for name in _BOUNDED
    }
    return rates | bounds | measured


def per_class(
    matrices: np.ndarray, *, class_names: Sequence[str]
) -> list[dict[str, str | int | float | None]]:
    """Measure each class.

    Args:
        matrices: int (pictures, classes, classes), `confusion_matrix` of each.
        class_names: one for each class.

    Returns:
        A row for each class: "class"; "pixels", how many it has; "share", of all
        pixels; "iou", "dice", "accuracy", right / actual, and "precision", right /
        predicted. The last four are None of a class without pixels, and so is
        "precision" of one that is never predicted.

    Raises:
        UsageError: no pictures, or another number of class names.
    """
    _check(matrices, class_names)
    sums = _sums(matrices).sum(axis=0)
    columns = {
        "share": sums[_ACTUAL] / max(sums[_ACTUAL].sum(), 1),
        "iou": _iou(sums),
        "dice": _dice(sums),
        "accuracy": _accuracy(sums),
        "precision": _divided(sums[_RIGHT], sums[_PREDICTED]),
    }
    rows = []
    for index, name in enumerate(class_names):
        pixels = int(sums[_ACTUAL, index])
        row = {name: float(column[index]) for name, column in columns.items()}
        if not pixels:
            row = dict.fromkeys(row) | {"share": 0.0}
        elif not sums[_PREDICTED, index]:
            row["precision"] = None
        rows.append({"class": name, "pixels": pixels, **row})
    return rows


def picture_ious(matrices: np.ndarray) -> np.ndarray:
    """Measure the mean IoU of each picture alone, to find the worst and the best.

    Args:
        matrices: int (pictures, classes, classes), `confusion_matrix` of each.

    Returns:
        float64 (pictures,) in [0, 1], over the classes that the picture has; not a
        number where all is ignored.
    """
    sums = _sums(matrices)
    return np.where(sums[:, _ACTUAL].any(axis=-1), _mean_iou(sums), np.nan)


def _check(matrices, class_names):
    counts.check_examples(matrices=matrices)
    if len(class_names) != np.shape(matrices)[-1]:
        raise errors.UsageError(
            f"`class_names` must name {np.shape(matrices)[-1]} classes. Received "
            f"{len(class_names)} names.",
            "Pass one name for each class of the model.",
        )


def _sums(matrices):
    """Count the pixels of each class that are right, that it has and that it is given.

    A matrix of each picture would be resampled, too, but takes classes / 3 as long.

    Returns:
        float64 (pictures, 3, classes).
    """
    matrices = np.asarray(matrices, np.float64)
    right = np.diagonal(matrices, axis1=-2, axis2=-1)
    return np.stack([right, matrices.sum(axis=-1), matrices.sum(axis=-2)], axis=-2)


def _of_sums(rate):
    """Make a statistic of resampled pictures, (resamples, pictures, 3, classes)."""
    return lambda values, axis: rate(values.sum(axis=axis))


def _divided(numerator, denominator):
    return numerator / np.maximum(denominator, 1)  # pixels are counted in whole numbers


def _iou(sums):
    right, actual, predicted = np.moveaxis(sums, -2, 0)
    return _divided(right, actual + predicted - right)


def _dice(sums):
    right, actual, predicted = np.moveaxis(sums, -2, 0)
    return _divided(2 * right, actual + predicted)


def _accuracy(sums):
    return _divided(sums[..., _RIGHT, :], sums[..., _ACTUAL, :])


def _mean(rates, sums):
    """Average over the classes that occur; what does not occur has rate 0."""
    return rates.sum(axis=-1) / np.maximum(
        np.count_nonzero(sums[..., _ACTUAL, :], axis=-1), 1
    )


def _mean_iou(sums):
    return _mean(_iou(sums), sums)


def _weighted_iou(sums):
    actual = sums[..., _ACTUAL, :]
    return _divided((actual * _iou(sums)).sum(axis=-1), actual.sum(axis=-1))


def _pixel_accuracy(sums):
    right, actual, _ = np.moveaxis(sums.sum(axis=-1), -1, 0)
    return _divided(right, actual)


# Each takes sums, float64 (..., 3, classes), to rates, (...).
_STATISTICS = {
    "mean_iou": _mean_iou,
    "mean_dice": lambda sums: _mean(_dice(sums), sums),
    "mean_accuracy": lambda sums: _mean(_accuracy(sums), sums),
    "pixel_accuracy": _pixel_accuracy,
    "frequency_weighted_iou": _weighted_iou,
}
_BOUNDED = ("mean_iou", "pixel_accuracy")
