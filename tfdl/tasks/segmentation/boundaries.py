"""How well do the outlines of predicted classes follow the true ones?

Overlap hardly notices a thin or ragged outline of a large region; this score looks at
nothing else. Every class is an outline of its own: the pixels of it that have a
neighbour, of four, of another class. Where a class is cut by the picture's border or by
ignored pixels there is no outline.
"""

import numpy as np

from tfdl.data.augment import annotations
from tfdl.ops import intervals

TOLERANCE = 0.0075  # of the picture's diagonal, Csurka 2013

_IGNORED = annotations.SEMANTIC_PADDING


def f_scores(
    labels: np.ndarray,
    predictions: np.ndarray,
    *,
    num_classes: int,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Measure how much of each class's outline is near its counterpart in a picture.

    Precision is the share of the predicted outline that is within tolerance of the true
    one, recall the reverse, and the score is their harmonic mean.

    Args:
        labels: integer (height, width), classes, 255 for ignored.
        predictions: integer (height, width), classes; any number where it is ignored.
        num_classes: of the model.
        tolerance: share of the picture's diagonal.

    Returns:
        float64 (num_classes,) in [0, 1]; not a number of a class that has no outline in
        either map.

    Reference:
        Csurka et al., "What is a good evaluation measure for semantic segmentation?",
        2013.
    """
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    predictions = np.where(labels == _IGNORED, _IGNORED, predictions)
    true, found = (
        _outlines(some, num_classes=num_classes) for some in (labels, predictions)
    )
    reach = tolerance * np.hypot(*labels.shape)
    near_true = _count_near(found, true, reach=reach)
    near_found = _count_near(true, found, reach=reach)
    num_found, num_true = (some.sum(axis=(1, 2)) for some in (found, true))
    precision = near_true / np.maximum(num_found, 1)
    recall = near_found / np.maximum(num_true, 1)
    total = precision + recall
    scores = 2 * precision * recall / np.where(total > 0, total, 1)
    return np.where(num_found + num_true > 0, scores, np.nan)


def evaluate(scores: np.ndarray, *, seed: int = 0) -> dict[str, float | list]:
    """Average over the classes of a picture, and then over pictures.

    Args:
        scores: float (pictures, classes), `f_scores` of each.
        seed: of the bootstrap.

    Returns:
        "boundary_f1" and "boundary_f1_interval", [low, high] of 95 %, over the pictures
        with an outline; nothing where none has one.
    """
    scores = np.asarray(scores, np.float64)
    scores = scores[~np.isnan(scores).all(axis=-1)]
    if not len(scores):
        return {}
    of_pictures = np.nanmean(scores, axis=-1)
    interval = intervals.bootstrap_interval(
        of_pictures, rng=np.random.default_rng(seed)
    )
    return {
        "boundary_f1": float(of_pictures.mean()),
        "boundary_f1_interval": list(interval),
    }


def _outlines(labels, *, num_classes):
    """Mark the outline of each class, bool (classes, height, width)."""
    differs = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        ahead, behind = _shifted_pair(labels, axis)
        parts = (ahead != behind) & (ahead != _IGNORED) & (behind != _IGNORED)
        before, after = _shifted_pair(differs, axis)
        before |= parts
        after |= parts
    return differs & (labels == np.arange(num_classes)[:, None, None])


def _shifted_pair(plane, axis):
    """Return views of all but the last and of all but the first pixels of an axis."""
    moved = np.moveaxis(plane, axis, 0)
    return moved[:-1], moved[1:]


def _count_near(points, others, *, reach):
    """Count the points within reach of another of their class, int (classes,).

    Of each distance, the nearest first, only points are looked at that found nothing
    nearer: most are settled within a pixel.
    """
    margin = int(reach)
    padded = np.pad(others, [(0, 0), (margin, margin), (margin, margin)])
    of_class, rows, columns = np.nonzero(points)
    near = np.zeros(len(points), int)
    for down, right in _offsets(reach):
        is_met = padded[of_class, rows + margin + down, columns + margin + right]
        near += np.bincount(of_class[is_met], minlength=len(points))
        of_class, rows, columns = (some[~is_met] for some in (of_class, rows, columns))
    return near


def _offsets(reach):
    """List the steps within reach in rows and columns, the shortest first."""
    side = np.arange(-int(reach), int(reach) + 1)
    steps = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    lengths = np.hypot(*steps.T)
    order = np.argsort(lengths, kind="stable")
    return steps[order[: np.sum(lengths <= reach)]].tolist()
