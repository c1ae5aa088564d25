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
class Threshold:
    """Right and ignored detections at one threshold of IoU, all int64.

    Attributes:
        right: (right,), places of the right ones, ascending.
        counts: (classes,), how many of each class they are.
        ignored: (ignored,), places of those that are neither right nor wrong.
        ignored_before: (right,), how many of these come before each right one.
        class_ignored: (classes,), how many of these come before a class.
    """

    right: np.ndarray
    counts: np.ndarray
    ignored: np.ndarray
    ignored_before: np.ndarray
    class_ignored: np.ndarray


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Right and wrong detections, class after class, the surest of each first.

    Attributes:
        pictures: int64 (found,), those of the detections.
        starts: int64 (classes,), where each class begins among them.
        thresholds: what is right and what is ignored, by threshold of IoU.
        object_labels: int64 (objects,), classes of the objects that count.
        object_pictures: int64 (objects,), theirs.
        num_classes: how many there are.
        num_pictures: likewise.
    """

    pictures: np.ndarray
    starts: np.ndarray
    thresholds: Sequence[Threshold]
    object_labels: np.ndarray
    object_pictures: np.ndarray
    num_classes: int
    num_pictures: int


def ranking(matches: matching.Matches) -> Ranking:
    """Rank the detections of a split at all thresholds of IoU."""
    pooled = matches.pooled
    counts = ~pooled.truth.is_crowd
    return rank(
        labels=pooled.found.labels,
        pictures=pooled.found.pictures,
        right=[np.flatnonzero(row) for row in matches.is_right],
        ignored=[np.flatnonzero(row) for row in matches.is_ignored],
        object_labels=pooled.truth.labels[counts],
        object_pictures=pooled.truth.pictures[counts],
        num_classes=pooled.num_classes,
        num_pictures=pooled.num_pictures,
    )


def rank(
    *,
    labels: np.ndarray,
    right: Sequence[np.ndarray],
    ignored: Sequence[np.ndarray],
    num_classes: int,
    **others,
) -> Ranking:
    """Rank detections.

    Args:
        labels: int64 (found,), classes of the detections, ascending.
        right: of each threshold of IoU the places of the right ones, int64, ascending.
        ignored: likewise of those that are neither right nor wrong.
        num_classes: how many classes there are.
        **others: the other attributes of `Ranking`.
    """
    starts = np.searchsorted(labels, np.arange(num_classes))
    thresholds = [
        Threshold(
            right=places,
            counts=np.bincount(labels[places], minlength=num_classes),
            ignored=skipped,
            ignored_before=np.searchsorted(skipped, places),
            class_ignored=np.searchsorted(skipped, starts),
        )
        for places, skipped in zip(right, ignored, strict=True)
    ]
    return Ranking(
        starts=starts, thresholds=thresholds, num_classes=num_classes, **others
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
        _averages(at, counted, before, before[ranked.starts], num_objects)
        for at in ranked.thresholds
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
    size = max(1, len(ranked.pictures))
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


def _averages(at: Threshold, counted, before, class_before, num_objects):
    """Average the precision at one threshold -> float64 (classes,).

    Args:
        at: the threshold.
        counted: float64 (found,), how many times each detection counts.
        before: float64 (found + 1,), the sum of those before it.
        class_before: float64 (classes,), the sum of those before each class.
        num_objects: float64 (classes,), how many objects count.
    """
    hits = np.cumsum(counted[at.right])
    hits -= np.repeat(np.concatenate([[0.0], hits])[_starts(at.counts)], at.counts)
    answers = before[at.right + 1] - np.repeat(class_before, at.counts)
    if len(at.ignored):
        skipped = np.concatenate([[0.0], np.cumsum(counted[at.ignored])])
        answers -= skipped[at.ignored_before]
        answers += np.repeat(skipped[at.class_ignored], at.counts)
    # From the last class to the first the offset grows, so that none reaches another.
    offsets = np.repeat(2.0 * np.arange(len(at.counts), 0, -1), at.counts)
    precisions = offsets + hits / np.maximum(answers, 1.0)
    best = np.maximum.accumulate(precisions[::-1])[::-1] - offsets
    recalls = hits / np.repeat(np.maximum(num_objects, 1.0), at.counts)
    reached = np.searchsorted(_RECALLS, recalls, side="right")
    firsts = _starts(at.counts)[at.counts > 0]
    steps = np.diff(reached, prepend=0)
    steps[firsts] = reached[firsts]
    sums = np.concatenate([[0.0], np.cumsum(best * steps)])
    return np.diff(sums[np.append(_starts(at.counts), len(best))]) / len(_RECALLS)


def _starts(counts) -> np.ndarray:
    """Find where each class begins among the right detections."""
    return np.cumsum(counts) - counts
