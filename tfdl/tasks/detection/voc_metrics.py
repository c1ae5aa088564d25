"""PASCAL VOC's average precision, of 2007 (11 points) and of 2010 (the area).

A detection belongs to the object of its class that it overlaps most, whether that has
been found or not; the first to reach an IoU of 0.5 is right, the others are wrong. One
that belongs to a difficult object (or to a crowd, which VOC does not know) is neither,
and such objects need not be found.

The development kit counts the last pixel of a box as inside, hence its "+ 1". Boxes
here are half open, which is the same: the kit's (1, 1, 2, 2) is (0, 0, 2, 2).

Reference:
    Everingham 2010, The PASCAL Visual Object Classes (VOC) Challenge, section 4.2, and
    the development kits of 2007 and 2010, VOCevaldet.m.
"""

import numpy as np

from tfdl.tasks.detection import matches as matching, pooled as pooling

_IOU = 0.5
_RECALLS = np.linspace(0, 1, 11)


def evaluate(pooled: pooling.Pooled) -> dict[str, float]:
    """Measure a split as VOC does, as the mean over the classes with objects.

    Returns:
        "voc07_AP50" and "voc10_AP50"; nothing where no object counts.
    """
    averages = of_classes(pooled)
    return {
        name: float(np.nanmean(values))
        for name, values in averages.items()
        if not np.isnan(values).all()
    }


def of_classes(pooled: pooling.Pooled) -> dict[str, np.ndarray]:
    """Average the precision of each class.

    Returns:
        "voc07_AP50" and "voc10_AP50", float64 (classes,); NaN of a class in which no
        object counts.
    """
    is_counted = ~(pooled.truth.is_crowd | pooled.truth.is_difficult)
    own = _own_objects(pooled)
    is_answer = np.append(is_counted, True)[own]  # of what belongs to nothing, too
    is_right = np.zeros(len(own), bool)
    _, firsts = np.unique(own, return_index=True)  # the surest of each object
    is_right[firsts] = own[firsts] != matching.NOTHING
    num_objects = pooled.count_objects(of=is_counted)
    limits = np.searchsorted(pooled.found.labels, np.arange(pooled.num_classes + 1))
    averages = np.full((2, pooled.num_classes), np.nan)
    for index in np.flatnonzero(num_objects):
        ranked = slice(*limits[index : index + 2])
        right = is_right[ranked][is_answer[ranked]]
        averages[:, index] = _averages(right, num_objects[index])
    return dict(zip(("voc07_AP50", "voc10_AP50"), averages, strict=True))


def _own_objects(pooled) -> np.ndarray:
    """Say what each detection belongs to, int64 (found,), `NOTHING` for no object."""
    found, objects, iou = pooling.overlaps(
        pooled, least=_IOU, same_class=True, crowds_as_objects=True
    )
    own = np.full(len(pooled.found.scores), matching.NOTHING)
    order = np.lexsort((-objects, iou, found))
    own[found[order]] = objects[order]  # what is written last stays: the best
    return own


def _averages(is_right, num_objects) -> tuple[float, float]:
    """Average the precision of ranked answers in both ways."""
    hits = np.cumsum(is_right)
    places = np.flatnonzero(is_right)
    precisions = hits[places] / (places + 1)
    best = np.append(np.maximum.accumulate(precisions[::-1])[::-1], 0.0)
    recalls = hits[places] / num_objects
    eleven = best[np.searchsorted(recalls, _RECALLS)].mean()
    area = best[:-1].sum() / num_objects  # each object is a step of recall
    return float(eleven), float(area)
