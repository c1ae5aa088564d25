"""What goes wrong in detection, and how much average precision does each cost?

Every wrong detection has one error, the first that fits, IoU being the best with any
object of the picture that the line speaks of:

- localisation: an object of its class, IoU from 0.1 to 0.5;
- classification: an object of another class, IoU of at least 0.5;
- duplicate: an object of its class that a surer detection found, IoU of at least 0.5;
- background: no object at all, IoU of at most 0.1;
- both: what remains, an object of another class, IoU from 0.1 to 0.5.

An object that was not found is missed, unless a detection of the first two errors
points to it. What an error costs is how much AP50 gains where an oracle mends it: it
puts class or box right (of all detections of an object then the surest is right and the
others are gone), removes the detection, or, of missed objects, the object.

Deviations from the paper: what is at either end of a range of IoU counts as within
it, as in the authors' code; several detections that are put right on one object, or on
one that was found already, are settled by their scores alone; crowds are left out.

Reference:
    Bolya 2020, TIDE: A General Toolbox for Identifying Object Detection Errors,
    section 2.2.
"""

import dataclasses

import numpy as np

from tfdl.tasks.detection import (
    average_precision,
    matches as matching,
    pooled as pooling,
)

TYPES = (
    "classification",
    "localisation",
    "both",
    "duplicate",
    "background",
    "missed",
)
_FOREGROUND, _BACKGROUND = 0.5, 0.1  # IoU


@dataclasses.dataclass(frozen=True)
class Errors:
    """Which error each wrong detection has.

    Attributes:
        kinds: name -> int64 (errors,), the detections that have it; of "missed" the
            objects.
        targets: of "classification" and "localisation" the objects that are meant,
            int64 (errors,).
    """

    kinds: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]


def find(matches: matching.Matches) -> Errors:
    """Name the error of every wrong detection and list the missed objects."""
    pooled = matches.pooled
    wrong = np.flatnonzero(~matches.is_right[0] & ~matches.is_ignored[0])
    own, others = _best_objects(pooled, wrong)
    (own_object, own_iou), (other_object, other_iou) = own, others
    is_other = other_iou >= _FOREGROUND
    kind = np.select(
        [
            (own_iou >= _BACKGROUND) & (own_iou <= _FOREGROUND),
            is_other,
            own_iou > _FOREGROUND,
            other_iou <= _BACKGROUND,
        ],
        [TYPES.index(n) for n in ("localisation", "classification", "duplicate")]
        + [TYPES.index("background")],
        TYPES.index("both"),
    )
    kinds = {name: wrong[kind == place] for place, name in enumerate(TYPES[:-1])}
    targets = {
        "classification": other_object[kind == TYPES.index("classification")],
        "localisation": own_object[kind == TYPES.index("localisation")],
    }
    is_missed = ~matches.is_found() & ~pooled.truth.is_crowd
    is_missed[np.concatenate(list(targets.values()))] = False
    return Errors(kinds | {"missed": np.flatnonzero(is_missed)}, targets)


def measure(matches: matching.Matches) -> dict[str, dict[str, float]]:
    """Count the errors, and measure what each costs.

    Returns:
        name of `TYPES` -> {"count", and "AP50_gain", what AP50 gains if all of these
        errors are mended and no others, in [-1, 1]; 0 where there is no object}.
    """
    found, ranked = find(matches), average_precision.ranking(matches)
    ranked = dataclasses.replace(ranked, thresholds=ranked.thresholds[:1])
    start = average_precision.mean(average_precision.of_classes(ranked))
    measured = {}
    for name in TYPES:
        mended = _mended(matches, ranked, found, name)
        gain = average_precision.mean(average_precision.of_classes(mended)) - start
        count = len(found.kinds[name])
        measured[name] = {"count": count, "AP50_gain": float(np.nan_to_num(gain))}
    return measured


def _best_objects(pooled, wrong):
    """Find what wrong detections overlap most, among their class and among others.

    Returns:
        (object, int64 (wrong,), IoU, float64 (wrong,)) of each, `NOTHING` and 0 where
        there is none.
    """
    pairs = pooling.overlaps(pooled, least=_BACKGROUND, same_class=False, among=wrong)
    kept = ~pooled.truth.is_crowd[pairs[1]]
    found, objects, iou = (column[kept] for column in pairs)
    is_own = pooled.found.labels[found] == pooled.truth.labels[objects]
    best = []
    for group in (is_own, ~is_own):
        places = np.searchsorted(wrong, found[group])
        order = np.lexsort((iou[group], places))
        chosen, overlap = np.full(len(wrong), matching.NOTHING), np.zeros(len(wrong))
        chosen[places[order]] = objects[group][order]  # what is written last stays
        overlap[places[order]] = iou[group][order]
        best.append((chosen, overlap))
    return best


def _mended(matches, ranked, found, name) -> average_precision.Ranking:
    """Rank the detections as they would be without the errors of one type."""
    if name == "missed":
        kept = ~matches.pooled.truth.is_crowd
        kept[found.kinds["missed"]] = False
        truth = matches.pooled.truth
        return dataclasses.replace(
            ranked,
            object_labels=truth.labels[kept],
            object_pictures=truth.pictures[kept],
        )
    if name not in found.targets:
        [at] = ranked.thresholds
        gone = np.union1d(at.ignored, found.kinds[name])
        labels = matches.pooled.found.labels
        return _ranked_anew(ranked, labels, ranked.pictures, at.right, gone)
    return _put_right(matches, ranked, found.kinds[name], found.targets[name])


def _put_right(matches, ranked, detections, targets) -> average_precision.Ranking:
    """Let detections be right of their objects, and keep the surest of each."""
    pooled = matches.pooled
    objects = matches.objects[0].copy()
    labels = pooled.found.labels.copy()
    objects[detections] = targets
    labels[detections] = pooled.truth.labels[targets]
    is_ignored = matches.is_ignored[0].copy()
    rivals = np.flatnonzero((objects != matching.NOTHING) & ~is_ignored)
    rivals = rivals[np.argsort(-pooled.found.scores[rivals], kind="stable")]
    _, firsts = np.unique(objects[rivals], return_index=True)
    is_right = np.zeros(len(objects), bool)
    is_right[rivals[firsts]] = True
    is_ignored[np.setdiff1d(rivals, rivals[firsts])] = True
    order = np.lexsort((-pooled.found.scores, labels))
    places = (np.flatnonzero(mask[order]) for mask in (is_right, is_ignored))
    return _ranked_anew(ranked, labels[order], pooled.found.pictures[order], *places)


def _ranked_anew(ranked, labels, pictures, right, ignored):
    return average_precision.rank(
        labels=labels,
        pictures=pictures,
        right=[right],
        ignored=[ignored],
        object_labels=ranked.object_labels,
        object_pictures=ranked.object_pictures,
        num_classes=ranked.num_classes,
        num_pictures=ranked.num_pictures,
    )
