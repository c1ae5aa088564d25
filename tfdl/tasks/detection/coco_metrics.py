"""COCO's twelve numbers, by faster-coco-eval, which agrees with pycocotools.

Difficult objects count as all others: COCO knows crowds only.
"""

import contextlib
import dataclasses
import gc
from collections.abc import Iterator, Sequence

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from tfdl.tasks.detection import mask_runs, pooled as pooling

_AREAS = ("all", "small", "medium", "large")
LIMITS = (1, 10, 100)  # detections of a class in a picture
_IOU = {"AP50": 0, "AP75": 5}  # places among 0.5, 0.55, ..., 0.95


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What COCO says of a split.

    Attributes:
        overall: "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR_1",
            "AR_10", "AR_100", or of another limit, "AR_small", "AR_medium" and
            "AR_large", without those that have no object.
        of_classes: "AP", "AP50" and "AR", float64 (classes,), NaN of a class without
            objects.
    """

    overall: dict[str, float]
    of_classes: dict[str, np.ndarray]


def evaluate(
    pooled: pooling.Pooled,
    *,
    masks: tuple[Sequence[dict], Sequence[dict]] | None = None,
    most: int = LIMITS[-1],
) -> Numbers:
    """Measure a split as COCO does.

    Args:
        pooled: the split.
        masks: COCO's runs of the objects and of the detections, in the order of
            `pooled.truth` and as the detections were given; boxes are compared without.
        most: detections of a class in a picture that count, in place of 100.
    """
    with _no_garbage_collection():
        objects = _annotations_of_objects(pooled)
        detections = _annotations_of_detections(pooled)
        if masks is not None:
            _add_masks(objects, masks[0])
            _add_masks(detections, [masks[1][n] for n in pooled.found.given])
            for detection, area in zip(
                detections, mask_runs.areas(masks[1])[pooled.found.given], strict=True
            ):
                detection["area"] = float(area)
        sizes = {
            row["image_id"]: row["segmentation"]["size"]
            for row in (*objects, *detections)
            if masks is not None
        }
        truth = COCO(_data_set(pooled, objects, sizes))
        found = COCO(_data_set(pooled, detections, sizes))
        kind = "bbox" if masks is None else "segm"
        evaluation = COCOeval_faster(truth, found, kind)
        evaluation.params.maxDets = [*LIMITS[:-1], most]
        evaluation.evaluate()
        evaluation.accumulate()
    # Of thresholds, (recalls,) classes, areas and limits; -1 where nothing is.
    precision, recall = (
        np.where(evaluation.eval[name] < 0, np.nan, evaluation.eval[name])
        for name in ("precision", "recall")
    )
    limits = evaluation.params.maxDets
    return Numbers(_overall(precision, recall, limits), _of_classes(precision, recall))


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Build a dict for each detection without looking for garbage among them.

    It took a third of the time for half a million detections.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _data_set(pooled, annotations, sizes) -> dict:
    """Make what the COCO API takes; a picture without masks may be of any size."""
    numbers = range(1, 1 + pooled.num_pictures)
    shapes = ((number, *sizes.get(number, (1, 1))) for number in numbers)
    return {
        "images": [
            {"id": n, "height": rows, "width": cols} for n, rows, cols in shapes
        ],
        "categories": [{"id": 1 + number} for number in range(pooled.num_classes)],
        "annotations": annotations,
    }


def _annotations_of_objects(pooled) -> list[dict]:
    truth = pooled.truth
    crowds = truth.is_crowd.astype(int).tolist()
    columns = (*_columns(truth), truth.areas.tolist(), crowds)
    names = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _annotations_of_detections(pooled) -> list[dict]:
    found = pooled.found
    areas = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1)
    columns = (*_columns(found), areas.tolist(), found.scores.tolist())
    return [  # of half a million, in a third of the time
        {
            "id": number,
            "image_id": picture,
            "category_id": label,
            "bbox": box,
            "area": area,
            "score": score,
        }
        for number, picture, label, box, area, score in zip(*columns, strict=True)
    ]


def _add_masks(annotations: list[dict], runs: Sequence[dict]) -> None:
    for annotation, mask in zip(annotations, runs, strict=True):
        annotation["segmentation"] = mask


def _columns(table) -> tuple:
    """Return what all annotations have; an annotation 0 would count as none."""
    corners = table.boxes[:, :2]
    boxes = np.concatenate([corners, table.boxes[:, 2:] - corners], axis=1)
    pictures, labels = (1 + table.pictures).tolist(), (1 + table.labels).tolist()
    return range(1, 1 + len(boxes)), pictures, labels, boxes.tolist()


def _overall(precision, recall, limits) -> dict[str, float]:
    numbers = {"AP": precision[..., 0, -1]}
    numbers |= {name: precision[place, ..., 0, -1] for name, place in _IOU.items()}
    for index, area in enumerate(_AREAS[1:], start=1):
        numbers[f"AP_{area}"] = precision[..., index, -1]
    for index, limit in enumerate(limits):
        numbers[f"AR_{limit}"] = recall[..., 0, index]
    for index, area in enumerate(_AREAS[1:], start=1):
        numbers[f"AR_{area}"] = recall[..., index, -1]
    return {
        name: float(np.nanmean(values))
        for name, values in numbers.items()
        if not np.isnan(values).all()
    }


def _of_classes(precision, recall) -> dict[str, np.ndarray]:
    # A class has a number at every threshold and recall, or at none.
    return {
        "AP": precision[..., 0, -1].mean(axis=(0, 1)),
        "AP50": precision[0, ..., 0, -1].mean(axis=0),
        "AR": recall[..., 0, -1].mean(axis=0),
    }
