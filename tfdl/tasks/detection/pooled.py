"""All objects and all detections of a split, each as a few long arrays.

Everything that is measured goes through them: what is done to arrays of a whole split
at once takes no longer than what a loop over pictures does to the first of them.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from tfdl import errors
from tfdl.data.sources import source
from tfdl.tasks.detection import detections as detecting

_MAX_PAIRS = 1_000_000  # compared at once: some 100 MB


@dataclasses.dataclass(frozen=True)
class Truth:
    """The objects, picture after picture; (objects,) each but for the boxes.

    Attributes:
        pictures: int64, numbers of their pictures.
        boxes: float64 (objects, 4), pixels of the picture.
        labels: int64, their classes.
        areas: float64, square pixels, see `source.Objects`.
        is_crowd: bool.
        is_difficult: bool.
    """

    pictures: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    is_difficult: np.ndarray


@dataclasses.dataclass(frozen=True)
class Found:
    """The detections, class after class, the surest of each first; (found,) each.

    Of equal scores that of the earlier picture comes first, and in a picture the one
    that was given first.

    Attributes:
        pictures: int64, numbers of their pictures.
        boxes: float64 (found, 4), pixels of the picture.
        labels: int64, their classes, ascending.
        scores: float64 in [0, 1].
        given: int64, which they were in the order given, picture after picture.
    """

    pictures: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    given: np.ndarray


@dataclasses.dataclass(frozen=True)
class Pooled:
    """What is in the pictures of a split, and what was found there.

    Attributes:
        class_names: one for each class.
        num_pictures: all of them, with those where nothing is and nothing was found.
        truth: the objects.
        found: the detections.
    """

    class_names: Sequence[str]
    num_pictures: int
    truth: Truth
    found: Found

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.class_names)

    def count_objects(self, *, of: np.ndarray) -> np.ndarray:
        """Count some objects by class -> int64 (classes,).

        Args:
            of: bool (objects,), which of them.
        """
        return np.bincount(self.truth.labels[of], minlength=self.num_classes)


def pool(
    ground_truth: Sequence[source.Objects],
    detections: Sequence[detecting.Detections],
    *,
    class_names: Sequence[str],
) -> Pooled:
    """Lay all pictures in one row.

    Args:
        ground_truth: of each picture.
        detections: of each picture, in the same order.
        class_names: one for each class; a class need not occur.

    Raises:
        DataError: no pictures.
        DivergedError: a box or a score is not finite.
        UsageError: another number of pictures, or a label without a name.
    """
    _check_lengths(ground_truth, detections)
    truth = Truth(
        pictures=_numbers(ground_truth),
        boxes=_joined([known.boxes for known in ground_truth], (0, 4)),
        labels=_joined([known.labels for known in ground_truth]).astype(np.int64),
        areas=_joined([known.areas for known in ground_truth]),
        is_crowd=_joined([known.is_crowd for known in ground_truth]) > 0,
        is_difficult=_joined([known.is_difficult for known in ground_truth]) > 0,
    )
    found = Found(
        pictures=_numbers(detections),
        boxes=_joined([found.boxes for found in detections], (0, 4)),
        labels=_joined([found.labels for found in detections]).astype(np.int64),
        scores=_joined([found.scores for found in detections]),
        given=np.arange(sum(map(len, detections))),
    )
    _check_finite(found)
    _check_labels(truth.labels, found.labels, class_names)
    order = np.lexsort((-found.scores, found.labels))
    fields = dataclasses.fields(found)
    ranked = {field.name: getattr(found, field.name)[order] for field in fields}
    return Pooled(class_names, len(ground_truth), truth, Found(**ranked))


def overlaps(
    pooled: Pooled,
    *,
    least: float,
    same_class: bool,
    among: np.ndarray | None = None,
    crowds_as_objects: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare every detection with the objects of its picture.

    Args:
        pooled: the split.
        least: overlap of what is listed.
        same_class: whether only objects of the detection's class are compared.
        among: int (some,), the detections to compare, ascending; all without it.
        crowds_as_objects: True, the overlap with a crowd is the IoU as well; False, it
            is the share of the detection within it, as in COCO.

    Returns:
        Of each pair the detection and the object, int64 (pairs,), and the overlap,
        float64 (pairs,); by detection, then by object.
    """
    truth, found = pooled.truth, pooled.found
    if among is None:
        among = np.arange(len(found.scores))
    width = pooled.num_classes if same_class else 1
    keys, own = truth.pictures * width, found.pictures[among] * width
    if same_class:
        keys, own = keys + truth.labels, own + found.labels[among]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.searchsorted(keys, own, "left")
    counts = np.searchsorted(keys, own, "right") - starts
    parts = [(np.zeros(0, np.int64),) * 2 + (np.zeros(0),)]
    for block in _blocks(counts):
        rows, places = _expanded(starts[block], counts[block])
        numbers, objects = among[block][rows], order[places]
        is_crowd = truth.is_crowd[objects] & (not crowds_as_objects)
        iou = _iou(found.boxes[numbers], truth.boxes[objects], is_crowd)
        kept = iou >= least
        parts.append((numbers[kept], objects[kept], iou[kept]))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _iou(boxes, others, is_crowd) -> np.ndarray:
    """Compare one to one, with COCO's own arithmetic, float64 (pairs,)."""
    low = np.maximum(boxes[:, :2], others[:, :2])
    high = np.minimum(boxes[:, 2:], others[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    other = (others[:, 2:] - others[:, :2]).prod(axis=1)
    whole = np.where(is_crowd, area, area + other - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def _blocks(counts) -> Iterator[slice]:
    """Cut rows so that no block has many more pairs than are compared at once."""
    ends = np.cumsum(counts)
    num_blocks = int(ends[-1] // _MAX_PAIRS) + 1 if len(ends) else 0
    limits = np.arange(1, num_blocks) * _MAX_PAIRS
    cuts = [0, *np.searchsorted(ends, limits), len(counts)]
    for start, end in zip(cuts[:-1], cuts[1:], strict=True):
        yield slice(start, end)


def _expanded(starts, counts) -> tuple[np.ndarray, np.ndarray]:
    """List start, start + 1, ... of each row -> (row, place) of each, int64."""
    rows = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, starts[rows] + within


def _numbers(parts: Sequence) -> np.ndarray:
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def _joined(arrays: Sequence[np.ndarray], empty=(0,)) -> np.ndarray:
    # The empty one gives the shape where no picture has anything.
    return np.concatenate([np.zeros(empty), *arrays]).astype(np.float64)


def _check_lengths(ground_truth, detections):
    if len(ground_truth) != len(detections):
        raise errors.UsageError(
            "`ground_truth` and `detections` must be of the same pictures. Received "
            f"{len(ground_truth)} and {len(detections)} pictures.",
            "Evaluate on data whose format knows the objects.",
        )
    if not len(ground_truth):
        raise errors.DataError(
            "There are no pictures to evaluate.", "Choose a split that is not empty."
        )


def _check_finite(found: Found):
    is_finite = np.isfinite(found.boxes).all(axis=1) & np.isfinite(found.scores)
    if not is_finite.all():
        raise errors.DivergedError(
            f"{np.sum(~is_finite)} of {len(is_finite)} detections are not finite.",
            "Evaluate an earlier checkpoint, or train with a lower learning rate.",
        )


def _check_labels(truth, found, class_names):
    for name, labels in (("ground_truth", truth), ("detections", found)):
        if labels.size and not 0 <= labels.min() <= labels.max() < len(class_names):
            raise errors.UsageError(
                f"Labels of `{name}` must lie in [0, {len(class_names)}). Received "
                f"{labels.min()} to {labels.max()}.",
                "Evaluate on data with the classes of the training data.",
            )
