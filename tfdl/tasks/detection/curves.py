"""How do a detector's answers depend on the threshold, and what is taken for what?

All at an IoU of 0.5. A curve is (x, y, a number that sums it up); curves are by the
name of the class, without the classes that have no object.
"""

import dataclasses

import numpy as np

from tfdl.ops import counts
from tfdl.tasks.detection import (
    average_precision,
    matches as matching,
    pooled as pooling,
)

Curve = tuple[np.ndarray, np.ndarray, float]

_NUM_THRESHOLDS = 201  # as in TensorBoard
_USUAL_THRESHOLD = 0.25  # where nothing is right at any
_IOU = matching.THRESHOLDS[:1]


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """Right and wrong detections by threshold on the score.

    Attributes:
        thresholds: float64 (points,), falling; the distinct scores below infinity,
            from which on nothing is answered.
        hits: int64 (points,), detections at or above the threshold that are right.
        alarms: int64 (points,), those that are wrong.
        num_objects: that are to be found.
    """

    thresholds: np.ndarray
    hits: np.ndarray
    alarms: np.ndarray
    num_objects: int

    @property
    def f_scores(self) -> np.ndarray:
        """F1 at each threshold, float64 (points,)."""
        whole = self.hits + self.alarms + self.num_objects
        return 2 * self.hits / np.maximum(whole, 1)


def outcomes(matches: matching.Matches, *, of_class: int | None = None) -> Outcomes:
    """Count what is right and wrong at every threshold.

    Args:
        matches: of the split.
        of_class: number of the class; all together without it.
    """
    found = matches.pooled.found
    if of_class is None:
        ranked, num_objects = slice(None), matches.num_objects.sum()
    else:
        limits = np.searchsorted(found.labels, [of_class, of_class + 1])
        ranked, num_objects = slice(*limits), matches.num_objects[of_class]
    counted = ~matches.is_ignored[0, ranked]
    scores = found.scores[ranked][counted]
    is_right = matches.is_right[0, ranked][counted]
    order = np.argsort(-scores, kind="stable")
    scores, is_right = scores[order], is_right[order]
    # Equal scores make one point; before the first, nothing is answered.
    ends = np.append(np.flatnonzero(np.diff(scores)) + 1, len(scores))
    ends = np.unique(np.append(0, ends))
    hits = np.append(0, np.cumsum(is_right))[ends]
    thresholds = np.append(np.inf, scores)[ends]
    return Outcomes(thresholds, hits, ends - hits, int(num_objects))


def precision_recall(matches: matching.Matches) -> dict[str, Curve]:
    """Trace precision against recall of each class.

    Returns:
        name -> (recalls, ascending, precisions, COCO's AP50). Precision is the best at
        that recall or a higher one, as the average takes it.
    """
    averages = average_precision.of_classes(average_precision.ranking(matches))[0]
    curves = {}
    for index, name in _with_objects(matches):
        counted = outcomes(matches, of_class=index)
        answers = np.maximum(counted.hits + counted.alarms, 1)
        best = np.maximum.accumulate((counted.hits / answers)[::-1])[::-1]
        recalls, firsts = np.unique(counted.hits, return_index=True)
        recalls = recalls / counted.num_objects
        curves[name] = recalls, best[firsts], float(averages[index])
    return curves


def f_score(matches: matching.Matches) -> dict[str, Curve]:
    """Trace F1 against the threshold of each class.

    Returns:
        name -> (thresholds, ascending, F1 scores, the best of them). Between two
        thresholds F1 is that of the higher.
    """
    curves = {}
    for index, name in _with_objects(matches):
        counted = outcomes(matches, of_class=index)
        # A score of more than 1 is not drawn: nothing is answered above the surest.
        thresholds = np.minimum(counted.thresholds[::-1], 1.0)
        scores = counted.f_scores[::-1]
        curves[name] = thresholds, scores, float(scores.max())
    return curves


def mean(curves: dict[str, Curve]) -> Curve | None:
    """Average curves over classes.

    Args:
        curves: as `precision_recall` or `f_score` return them.

    Returns:
        (x, the mean curve there, the mean of the numbers that sum the curves up), or
        None where there is no curve.
    """
    if not curves:
        return None
    x, y = counts.mean_curve([curve[:2] for curve in curves.values()], stepwise=True)
    return x, y, float(np.mean([number for *_, number in curves.values()]))


def best_threshold(matches: matching.Matches) -> float:
    """Choose the threshold of the best F1 of all classes together.

    Returns:
        The highest of the best, and 0.25 where nothing is right at any.
    """
    counted = outcomes(matches)
    best = int(np.argmax(counted.f_scores))
    return float(counted.thresholds[best]) if counted.hits[best] else _USUAL_THRESHOLD


def confusions(matches: matching.Matches) -> dict[str, np.ndarray]:
    """Count right and wrong of each class at 201 thresholds from 0 to 1.

    Returns:
        name -> int64 (4, 201): true positives, false positives, true negatives, of
        which there are none, since nobody counts what is not there, and false
        negatives.
    """
    thresholds = np.linspace(0, 1, _NUM_THRESHOLDS)
    counted_by_name = {}
    for index, name in _with_objects(matches):
        counted = outcomes(matches, of_class=index)
        places = np.searchsorted(-counted.thresholds, -thresholds, "right") - 1
        hits, alarms = counted.hits[places], counted.alarms[places]
        missed = counted.num_objects - hits
        counted_by_name[name] = np.stack([hits, alarms, 0 * hits, missed])
    return counted_by_name


def confusion_matrix(
    matches: matching.Matches, *, score_threshold: float
) -> np.ndarray:
    """Count the objects of each class by what they were taken for.

    Detections find the objects of their class first. Those that are left choose among
    the objects of other classes that are left, the surest of a picture first.

    Args:
        matches: of the split.
        score_threshold: detections below are left out.

    Returns:
        int64 (classes + 1, classes + 1), truth in rows, what was found in columns. The
        last is the background: its row holds what was found where nothing is, its
        column what was missed.
    """
    pooled, background = matches.pooled, matches.pooled.num_classes
    is_sure = pooled.found.scores >= score_threshold
    is_used = is_sure & ~matches.is_ignored[0]
    # The surest have chosen first: leaving others out changes nothing for them.
    objects = np.where(is_used, matches.objects[0], matching.NOTHING)
    others = _among_others(matches, objects, is_used & (objects == matching.NOTHING))
    objects = np.where(objects == matching.NOTHING, others, objects)
    truths = np.append(pooled.truth.labels, background)[objects]
    is_missed = ~pooled.truth.is_crowd
    is_missed[objects[objects != matching.NOTHING]] = False
    missed = pooled.truth.labels[is_missed]
    rows = np.concatenate([truths[is_used], missed])
    columns = np.concatenate(
        [pooled.found.labels[is_used], np.full(len(missed), background)]
    )
    size = background + 1
    cells = np.bincount(rows * size + columns, minlength=size**2)
    return cells.reshape(size, size)


def picture_f_scores(
    matches: matching.Matches, *, score_threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Measure F1 of each picture.

    Args:
        matches: of the split.
        score_threshold: detections below are left out.

    Returns:
        float64 (pictures,), 1 where nothing is and nothing was found; and how many
        objects and detections each has, int64 (pictures,).
    """
    pooled = matches.pooled
    is_used = (pooled.found.scores >= score_threshold) & ~matches.is_ignored[0]
    of_pictures = {"minlength": pooled.num_pictures}
    hits = np.bincount(
        pooled.found.pictures[is_used & matches.is_right[0]], **of_pictures
    )
    answers = np.bincount(pooled.found.pictures[is_used], **of_pictures)
    known = np.bincount(pooled.truth.pictures[~pooled.truth.is_crowd], **of_pictures)
    whole = answers + known
    return np.where(whole > 0, 2 * hits / np.maximum(whole, 1), 1.0), whole


def _with_objects(matches):
    """List number and name of the classes with objects."""
    names = matches.pooled.class_names
    return [(index, names[index]) for index in np.flatnonzero(matches.num_objects)]


def _among_others(matches, objects, is_left) -> np.ndarray:
    """Let what is left choose objects of other classes -> int64 (found,)."""
    pooled, left = matches.pooled, np.flatnonzero(is_left)
    is_free = ~pooled.truth.is_crowd
    is_free[objects[objects != matching.NOTHING]] = False
    pairs = pooling.overlaps(pooled, least=_IOU[0], same_class=False, among=left)
    kept = is_free[pairs[1]]
    # Every class reaches for the same objects: in a picture one chooses at a time.
    order = np.lexsort((-pooled.found.scores[left], pooled.found.pictures[left]))
    pictures = pooled.found.pictures[left][order]
    ranks = np.zeros(len(is_left), np.int64)
    ranks[left[order]] = np.arange(len(left)) - np.searchsorted(pictures, pictures)
    pairs = tuple(column[kept] for column in pairs)
    return matching.choose(pooled, pairs, ranks=ranks, thresholds=_IOU)[0]
