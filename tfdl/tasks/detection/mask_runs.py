"""Masks as COCO's runs, which measure them without their pixels."""

from collections.abc import Sequence

import numpy as np
from faster_coco_eval.core import mask as coco_masks

from tfdl.ops import masks as masks_of
from tfdl.tasks.detection import pooled as pooling

Runs = dict  # {"size": [height, width], "counts": text}
_MOST_VALUES = 1 << 25  # of masks at their picture's size at once


def encode(masks: np.ndarray) -> list[Runs]:
    """Encode masks, bool (masks, height, width)."""
    if not len(masks):
        return []
    columns_first = np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))
    return coco_masks.encode(columns_first)


def decode(runs: Sequence[Runs], size: tuple[int, int]) -> np.ndarray:
    """Decode what `encode` made, bool (masks, height, width)."""
    if not len(runs):
        return np.zeros((0, *size), bool)
    return coco_masks.decode(list(runs)).transpose(2, 0, 1) > 0


def pasted(masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> list[Runs]:
    """Lay masks into their picture.

    Args:
        masks: float32 (found, rows, columns) in [0, 1], each over its box.
        boxes: float32 (found, 4), pixels of the picture.
        size: its height and width.

    Returns:
        Of each, the pixels that are rather in it than not.
    """
    window = np.array([0, 0, size[1], size[0]], np.float32)
    together, found = max(1, _MOST_VALUES // (size[0] * size[1])), []
    for first in range(0, len(masks), together):
        some = slice(first, first + together)
        seen = masks_of.resample(masks[some], boxes[some], window, size)
        found += encode(np.asarray(seen) >= 0.5)
    return found


def areas(runs: Sequence[Runs]) -> np.ndarray:
    """Count the pixels of each mask, float64 (masks,)."""
    return np.asarray(coco_masks.area(list(runs)) if len(runs) else [], np.float64)


def overlaps(
    pooled: pooling.Pooled,
    found: Sequence[Sequence[Runs]],
    truth: Sequence[Sequence[Runs]],
    *,
    least: float,
    same_class: bool,
    among: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare detections with the objects of their picture, mask with mask.

    Args:
        pooled: the split.
        found: masks of the detections of each picture.
        truth: masks of the objects of each picture.
        least: as of `pooled.overlaps`, and so are the others.
        same_class: whether only objects of the detection's class are compared.
        among: int (some,), the detections to compare, ascending.

    Returns:
        As `pooled.overlaps`; with a crowd it is the share of the detection within it.
    """
    place = np.empty(len(pooled.found.given), np.int64)
    place[pooled.found.given] = np.arange(len(place))  # of each as it was given
    is_meant = np.zeros(len(place), bool)
    is_meant[among] = True
    parts = [(np.zeros(0, np.int64),) * 2 + (np.zeros(0),)]
    first_found = first_object = 0
    for own, known in zip(found, truth, strict=True):
        numbers = place[first_found : first_found + len(own)]
        objects = np.arange(first_object, first_object + len(known))
        first_found, first_object = first_found + len(own), objects.size + first_object
        if not len(own) or not len(known):
            continue
        is_crowd = pooled.truth.is_crowd[objects].astype(np.uint8).tolist()
        iou = np.asarray(coco_masks.iou(list(own), list(known), is_crowd))
        kept = (iou >= least) & is_meant[numbers][:, None]
        if same_class:
            labels = pooled.found.labels[numbers]
            kept &= labels[:, None] == pooled.truth.labels[objects]
        rows, columns = np.nonzero(kept)
        parts.append((numbers[rows], objects[columns], iou[rows, columns]))
    numbers, objects, iou = (np.concatenate(p) for p in zip(*parts, strict=True))
    order = np.lexsort((objects, numbers))
    return numbers[order], objects[order], iou[order]
