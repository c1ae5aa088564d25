"""How good are a detector's answers on a whole split?

Objects and detections are in pixels of the pictures as they were given, in the same
order. Difficult objects are left out by VOC's numbers alone: COCO's count them as all
others, and leave out crowds, see `matches`.
"""

from collections.abc import Sequence

import numpy as np

from tfdl.data.sources import source
from tfdl.tasks.detection import (
    average_precision,
    coco_metrics,
    curves,
    detections as detecting,
    matches as matching,
    pooled as pooling,
    voc_metrics,
)


def brief(
    ground_truth: Sequence[source.Objects],
    detections: Sequence[detecting.Detections],
    *,
    class_names: Sequence[str],
) -> dict[str, float]:
    """Measure COCO's AP and AP50 alone.

    They are computed here, and equal those of `evaluate` in a tenth of its time.

    Args:
        ground_truth: of each picture.
        detections: of each picture.
        class_names: one for each class; a class need not occur.

    Returns:
        "AP", the mean over ten thresholds of IoU from 0.5 to 0.95, and "AP50", that at
        0.5; both are 0 where there is no object.

    Raises:
        As `pooled.pool`.
    """
    pooled = pooling.pool(ground_truth, detections, class_names=class_names)
    return brief_of(matching.match(pooled))


def brief_of(matches: matching.Matches) -> dict[str, float]:
    """Measure what `brief` does of matched detections, by boxes or by masks."""
    averages = average_precision.of_classes(average_precision.ranking(matches))
    numbers = {"AP": averages, "AP50": averages[0]}
    if not matches.num_objects.any():
        return dict.fromkeys(numbers, 0.0)
    return {name: average_precision.mean(row) for name, row in numbers.items()}


def evaluate(
    ground_truth: Sequence[source.Objects],
    detections: Sequence[detecting.Detections],
    *,
    class_names: Sequence[str],
    seed: int = 0,
) -> dict[str, float | list]:
    """Measure everything that one number can say.

    Args:
        ground_truth: of each picture.
        detections: of each picture.
        class_names: one for each class; a class need not occur.
        seed: of the bootstrap.

    Returns:
        See `numbers`.

    Raises:
        As `pooled.pool`.
    """
    pooled = pooling.pool(ground_truth, detections, class_names=class_names)
    return numbers(matching.match(pooled), coco_metrics.evaluate(pooled), seed=seed)


def numbers(
    matches: matching.Matches, coco: coco_metrics.Numbers, *, seed: int
) -> dict[str, float | list]:
    """Gather everything that one number can say of matched detections.

    Args:
        matches: of the split.
        coco: of the same.
        seed: of the bootstrap.

    Returns:
        COCO's twelve, see `coco_metrics.Numbers`; "AP_interval" and "AP50_interval",
        [low, high] of 95 %; "voc07_AP50" and "voc10_AP50", see `voc_metrics`;
        "best_threshold", see `curves.best_threshold`; "num_examples", pictures; and
        "num_objects", without crowds. What has no object is left out.
    """
    ranked = average_precision.ranking(matches)
    return {
        **coco.overall,
        **average_precision.intervals(ranked, seed=seed),
        **voc_metrics.evaluate(matches.pooled),
        "best_threshold": curves.best_threshold(matches),
        "num_examples": matches.pooled.num_pictures,
        "num_objects": int(matches.num_objects.sum()),
    }


def per_class(
    matches: matching.Matches, coco: coco_metrics.Numbers
) -> list[dict[str, str | int | float | None]]:
    """Measure each class.

    Args:
        matches: of the split.
        coco: of the same.

    Returns:
        A row for each class: "class"; "objects", how many, without crowds; "AP",
        "AP50" and "AR" of COCO; and "best_f1" at an IoU of 0.5, with the
        "best_threshold" that gives it, "precision" and "recall" there. All but the
        first two are None of a class without objects, and "best_threshold" is where
        nothing is right at any.
    """
    return [
        _row(matches, coco, index, name)
        for index, name in enumerate(matches.pooled.class_names)
    ]


def _row(matches, coco, index, name) -> dict:
    known = int(matches.num_objects[index])
    measured = {key: float(coco.of_classes[key][index]) for key in ("AP", "AP50", "AR")}
    counted = curves.outcomes(matches, of_class=index)
    best = int(np.argmax(counted.f_scores))
    hits, alarms = int(counted.hits[best]), int(counted.alarms[best])
    measured |= {
        "best_f1": float(counted.f_scores[best]),
        "best_threshold": float(counted.thresholds[best]) if hits else None,
        "precision": hits / max(hits + alarms, 1),
        "recall": hits / max(known, 1),
    }
    if not known:
        measured = dict.fromkeys(measured)
    return {"class": name, "objects": known, **measured}
