"""What is the average precision of matched detections, and how sure is it?

Precision is averaged at 101 recalls as COCO does it, where the precision at a recall is
the best at that recall or a higher one.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfdl.tasks.detection import matches as matching

_RECALLS = np.linspace(0, 1, 101)
_RESAMPLES = (100, 1000)  # at least and at most
_MAX_RESAMPLED = 20_000_000  # detections in all resamples together
_TAIL = 0.025  # of the resamples on either side of an interval


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Right and wrong detections, class after class, the surest of each first.

    Attributes:
        labels: int64 (found,), classes of the detections, ascending.
        pictures: int64 (found,), theirs.
        right: of each threshold of IoU the places of the right ones, ascending.
        ignored: likewise of those that are neither right nor wrong.
        object_labels: int64 (objects,), classes of the objects that count.
        object_pictures: int64 (objects,), theirs.
        num_classes: how many there are.
        num_pictures: likewise.
    """

    labels: np.ndarray
    pictures: np.ndarray
    right: Sequence[np.ndarray]
    ignored: Sequence[np.ndarray]
    object_labels: np.ndarray
    object_pictures: np.ndarray
    num_classes: int
    num_pictures: int


def ranking(matches: matching.Matches) -> Ranking:
    """Rank the detections of a split at all thresholds of IoU."""
    pooled = matches.pooled
    counts = ~pooled.truth.is_crowd
    return Ranking(
        labels=pooled.found.labels,
        pictures=pooled.found.pictures,
        right=[np.flatnonzero(row) for row in matches.is_right],
        ignored=[np.flatnonzero(row) for row in matches.is_ignored],
        object_labels=pooled.truth.labels[counts],
        object_pictures=pooled.truth.pictures[counts],
        num_classes=pooled.num_classes,
        num_pictures=pooled.num_pictures,
    )


def of_classes(ranked: Ranking, weights: np.ndarray | None = None) -> np.ndarray:
    """Average the precision of each class at each threshold.

    Args:
        ranked: the detections.
        weights: (pictures,), how many times each picture counts; once without it.

    Returns:
        float64 (thresholds, classes); NaN of a class without objects.
    """
    if weights is None:
        weights = np.ones(ranked.num_pictures)
    counted = weights[ranked.pictures]
    before = np.concatenate([[0.0], np.cumsum(counted)])
    num_objects = np.bincount(
        ranked.object_labels,
        weights[ranked.object_pictures],
        minlength=ranked.num_classes,
    )
    averages = [
        _averages(ranked, places, ignored, counted, before, num_objects)
        for places, ignored in zip(ranked.right, ranked.ignored, strict=True)
    ]
    return np.where(num_objects > 0, averages, np.nan)


def mean(averages: np.ndarray) -> float:
    """Average what `of_classes` returns, over the classes with objects, if any."""
    known = averages[~np.isnan(averages)]
    return float(known.mean()) if known.size else np.nan


def intervals(ranked: Ranking, *, seed: int) -> dict[str, list[float]]:
    """Bound AP and AP50 by the percentile bootstrap over pictures.

    They bound what other splits of as many pictures would measure. Nothing is matched
    again: a picture that is drawn twice counts twice. That makes rankings look better
    than they are, since what is right stands twice at its place, so the interval is
    moved down by what the mean of the resamples is above the measured number (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 10, on bias).

    Args:
        ranked: the detections.
        seed: of the resamples.

    Returns:
        "AP_interval" and "AP50_interval", [low, high] of 95 %, from 1000 resamples, of
        large splits down to 100; nothing where there is no object.
    """
    if not len(ranked.object_labels):
        return {}
    rng = np.random.default_rng(seed)
    size = max(1, len(ranked.labels))
    num_resamples = int(np.clip(_MAX_RESAMPLED // size, *_RESAMPLES))
    drawn = np.full((num_resamples, 2), np.nan)
    for row in drawn:
        numbers = rng.integers(0, ranked.num_pictures, ranked.num_pictures)
        weights = np.bincount(numbers, minlength=ranked.num_pictures)
        averages = of_classes(ranked, weights.astype(np.float64))
        row[:] = mean(averages), mean(averages[0])
    measured = of_classes(ranked)
    bias = np.nanmean(drawn, axis=0) - (mean(measured), mean(measured[0]))
    bounds = np.nanquantile(drawn, [_TAIL, 1 - _TAIL], axis=0) - bias
    bounds = np.clip(bounds, 0, 1).T.tolist()
    return dict(zip(("AP_interval", "AP50_interval"), bounds, strict=True))


def _averages(ranked, right, ignored, counted, before, num_objects) -> np.ndarray:
    """Average the precision at one threshold -> float64 (classes,)."""
    right = right[counted[right] > 0]
    labels = ranked.labels[right]
    starts = np.searchsorted(labels, np.arange(ranked.num_classes))
    class_starts = np.searchsorted(ranked.labels, np.arange(ranked.num_classes))
    hits = _since(np.cumsum(counted[right]), starts, labels)
    skipped = np.concatenate([[0.0], np.cumsum(counted[ignored])])
    answers = before[right + 1] - before[class_starts][labels]
    if len(ignored):
        answers -= skipped[np.searchsorted(ignored, right)]
        answers += skipped[np.searchsorted(ignored, class_starts)][labels]
    # From the last class to the first the offset grows, so that none reaches another.
    offsets = 2.0 * (ranked.num_classes - labels)
    precisions = offsets + hits / answers
    best = np.maximum.accumulate(precisions[::-1])[::-1] - offsets
    reached = np.searchsorted(_RECALLS, hits / num_objects[labels], side="right")
    previous = np.concatenate([[0], reached[:-1]])
    previous[starts[starts < len(labels)]] = 0
    sums = np.bincount(
        labels, best * (reached - previous), minlength=ranked.num_classes
    )
    return sums / len(_RECALLS)


def _since(sums, starts, labels) -> np.ndarray:
    """Turn sums over everything into sums since the start of the class."""
    bases = np.concatenate([[0.0], sums])[starts]
    return sums - bases[labels]
