"""Which detection found which object, by COCO's rule, at ten thresholds of IoU?

The surest detection of a picture and class chooses first: of the objects that are left
the one that it overlaps most. Where only crowds overlap it enough, it is neither right
nor wrong. An object counts unless it is a crowd, even a difficult one: difficult is a
word of VOC, see `voc_metrics`.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import numpy as np

from tfdl.tasks.detection import pooled as pooling

THRESHOLDS = np.linspace(0.5, 0.95, 10)
NOTHING = -1
SHOWN = 100  # detections of a class in a picture that COCO looks at

Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Matches:
    """The objects that were found, and by which detections.

    Attributes:
        pooled: the split; detections are numbered as in `pooled.found`.
        objects: int64 (10, found), the object that each detection found at each of
            `THRESHOLDS`, `NOTHING` for none; a crowd may be found more than once.
        is_shown: bool (found,), False beyond the surest of a class in a picture, which
            do not count at all.
    """

    pooled: pooling.Pooled
    objects: np.ndarray
    is_shown: np.ndarray

    @functools.cached_property
    def is_ignored(self) -> np.ndarray:
        """Which detections are neither right nor wrong, bool (10, found)."""
        in_crowd = self._of_objects(self.pooled.truth.is_crowd)
        return in_crowd | ~self.is_shown

    @functools.cached_property
    def is_right(self) -> np.ndarray:
        """Which detections found an object that counts, bool (10, found)."""
        return self._of_objects(~self.pooled.truth.is_crowd)

    @functools.cached_property
    def num_objects(self) -> np.ndarray:
        """How many objects of each class count, int64 (classes,)."""
        return self.pooled.count_objects(of=~self.pooled.truth.is_crowd)

    def is_found(self, *, threshold: int = 0) -> np.ndarray:
        """Say which objects were found, bool (objects,).

        Args:
            threshold: number of that of IoU.
        """
        found = np.zeros(len(self.pooled.truth.labels), bool)
        objects = self.objects[threshold]
        found[objects[objects != NOTHING]] = True
        return found

    def _of_objects(self, values) -> np.ndarray:
        # The last is what `NOTHING` takes.
        return np.append(values, False)[self.objects]


def match(
    pooled: pooling.Pooled,
    *,
    overlaps: Callable[..., Pairs] = pooling.overlaps,
    most: int = SHOWN,
) -> Matches:
    """Match the detections of a split with the objects of their class.

    Args:
        pooled: the split.
        overlaps: what is compared of them, with the arguments of `pooled.overlaps`:
            their boxes, or their masks.
        most: detections of a class in a picture that count, the surest.
    """
    ranks = _ranks(pooled)
    is_shown = ranks < most
    pairs = overlaps(
        pooled, least=THRESHOLDS[0], same_class=True, among=np.flatnonzero(is_shown)
    )
    objects = choose(pooled, pairs, ranks=ranks, thresholds=THRESHOLDS)
    return Matches(pooled, objects, is_shown)


def choose(
    pooled: pooling.Pooled,
    pairs: Pairs,
    *,
    ranks: np.ndarray,
    thresholds: np.ndarray,
) -> np.ndarray:
    """Let detections choose objects, one rank after another, in all pictures at once.

    Args:
        pooled: the split.
        pairs: what each may choose, see `pooled.overlaps`; no object is within reach
            of two detections of the same rank.
        ranks: int (found,), when each detection chooses.
        thresholds: float (thresholds,), least IoU of what is chosen.

    Returns:
        int64 (thresholds, found), the chosen objects, `NOTHING` for none.
    """
    found, objects, iou = pairs
    is_crowd = pooled.truth.is_crowd[objects]
    # Of those that a detection may choose, it takes the last: a crowd only where
    # there is nothing else, and of equals, as COCO does, the later.
    order = np.lexsort((objects, iou, ~is_crowd, found, ranks[found]))
    found, objects, iou = found[order], objects[order], iou[order]
    is_crowd, allowed = is_crowd[order], iou >= thresholds[:, None]
    chosen = np.full((len(thresholds), len(pooled.found.scores)), NOTHING)
    is_free = np.ones((len(thresholds), len(pooled.truth.labels)), bool)
    starts = np.unique(ranks[found], return_index=True)[1]
    for start, end in itertools.pairwise([*starts, len(found)]):
        here = slice(start, end)
        may = allowed[:, here] & (is_free[:, objects[here]] | is_crowd[here])
        places = np.where(may, np.arange(start, end), NOTHING)
        firsts = np.flatnonzero(np.diff(found[here], prepend=NOTHING))
        best = np.maximum.reduceat(places, firsts, axis=1)
        taken = np.where(best == NOTHING, NOTHING, objects[best])
        chosen[:, found[here][firsts]] = taken
        rows, columns = np.nonzero(taken != NOTHING)
        is_free[rows, taken[rows, columns]] = False
    return chosen


def _ranks(pooled) -> np.ndarray:
    """Number the detections of each picture and class, the surest 0 -> int64."""
    found = pooled.found
    keys = found.pictures * pooled.num_classes + found.labels
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    ranks = np.empty(len(keys), np.int64)
    ranks[order] = np.arange(len(keys)) - np.searchsorted(keys, keys)
    return ranks
