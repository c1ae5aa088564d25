"""How well do two maps of numbered objects agree? Scores of whole pictures.

A map is int (height, width): k + 1 where object k is, 0 where none is; each pixel
belongs to one object at most.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from tfdl.tasks.detection import matches

_MATCHED = 0.5  # an IoU above it is of one pair alone

# Two maps, and the classes of the objects of each: true ones, then found ones.
Pair = tuple[np.ndarray, np.ndarray, Sequence[int], Sequence[int]]


def on_top(masks: np.ndarray) -> np.ndarray:
    """Paint masks, bool (objects, height, width), over each other, the smallest last.

    Returns:
        int64 (height, width), a map.
    """
    numbers = np.zeros(masks.shape[1:], np.int64)
    for index in np.argsort(-masks.sum(axis=(1, 2)), kind="stable"):
        numbers[masks[index]] = index + 1
    return numbers


def overlaps(
    truth: np.ndarray, found: np.ndarray, num_objects: int, num_found: int
) -> np.ndarray:
    """Compare all objects of two maps: IoU, float64 (objects, found).

    Args:
        truth: a map.
        found: a map of the same size.
        num_objects: that the first may show.
        num_found: that the second may show.
    """
    shape = (num_objects + 1, num_found + 1)
    pairs = truth.astype(np.int64).ravel() * shape[1] + found.ravel()
    shared = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
    sizes, others = shared.sum(axis=1), shared.sum(axis=0)
    union = sizes[1:, None] + others[None, 1:] - shared[1:, 1:]
    return shared[1:, 1:] / np.maximum(union, 1)


def measure(pairs: Iterable[Pair], *, num_classes: int) -> dict[str, float]:
    """Score a split.

    Args:
        pairs: of each picture.
        num_classes: how many there are.

    Returns:
        "mean_precision", of the 2018 Data Science Bowl: hits / (hits + misses + false
        alarms), whatever the classes, averaged over the thresholds of IoU 0.5 to 0.95
        and over the pictures; one in which nothing is and nothing was found counts 1;
        "panoptic_quality" and its factors "segmentation_quality" and
        "recognition_quality" (Kirillov et al., "Panoptic Segmentation", 2019,
        equation 2), of all classes that occur in truth or answers, averaged. Those are
        left out where no class occurs.
    """
    precisions, sums = [], np.zeros((4, num_classes))  # IoU, hits, alarms, misses
    for truth, found, labels, answers in pairs:
        labels, answers = np.asarray(labels, int), np.asarray(answers, int)
        iou = overlaps(truth, found, len(labels), len(answers))
        # Of a pair above one half there is no other: nothing is to be chosen.
        hits = (iou > matches.THRESHOLDS[:, None, None]).sum(axis=(1, 2))
        whole = len(labels) + len(answers) - hits
        precisions.append(np.mean(np.where(whole > 0, hits / np.maximum(whole, 1), 1)))
        is_pair = (iou > _MATCHED) & (labels[:, None] == answers)
        rows = np.nonzero(is_pair)[0]
        counted = np.bincount(labels[rows], minlength=num_classes)
        sums += (
            np.bincount(labels[rows], iou[is_pair], minlength=num_classes),
            counted,
            np.bincount(answers, minlength=num_classes) - counted,
            np.bincount(labels, minlength=num_classes) - counted,
        )
    return {"mean_precision": float(np.mean(precisions)), **_panoptic(sums)}


def _panoptic(sums: np.ndarray) -> dict[str, float]:
    iou, hits, alarms, misses = sums[:, sums[1:].sum(axis=0) > 0]
    if not len(hits):
        return {}
    segmentation = iou / np.maximum(hits, 1)
    recognition = hits / (hits + alarms / 2 + misses / 2)
    return {
        "panoptic_quality": float(np.mean(segmentation * recognition)),
        "segmentation_quality": float(np.mean(segmentation)),
        "recognition_quality": float(np.mean(recognition)),
    }
