"""Which cell learns which object, and what does its error cost?

The assignment follows the predictions [Feng 2021, TOOD]: among the cells whose centre
an object holds, those learn it that are already sure of its class and close to its box.
A cell's target score says how good it is for its object, so that the score it learns
orders the detections by how well they are placed.

All objects meet all candidates in three planes only: the overlap, the score, and
whether the centre is inside. What follows is done for ten candidates of each object.
"""

import math
from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from tfdl.ops import boxes as box_ops, losses as elements
from tfdl.tasks.detection import distances

Tensors = Mapping[str, keras.KerasTensor]

MOST_CANDIDATES = 10  # of one object; the paper has 13
CLASS_GAIN = 0.5
BOX_GAIN = 7.5
DISTRIBUTION_GAIN = 1.5

_LEAST_OVERLAP = 1e-3  # of an object with its candidates, so that it is never forgotten
_LEAST_ALIGNMENT = 1e-30


def losses(
    targets: Tensors, outputs: Tensors, *, known: distances.Candidates
) -> dict[str, keras.KerasTensor]:
    """Measure how far predictions are from the objects that are assigned to them.

    Each part is a sum over the candidates, divided by the sum of their target scores or
    by 1, whichever is larger.

    Args:
        targets: {"boxes": float32 (batch, objects, 4), pixels, "labels": int32 (batch,
            objects), "weights": float32 (batch, objects) in [0, 1], 0 for padding}.
        outputs: {"boxes": float (batch, candidates, SIDES * BINS), "classes": float
            (batch, candidates, classes)}, logits.
        known: the candidates.

    Returns:
        {"class_loss": cross-entropy with the target scores, "box_loss": 1 - CIoU,
        "distribution_loss": of the four distances' distributions}, float32 (batch,)
        each; the last two weigh a candidate by its target score.
    """
    logits = ops.cast(outputs["classes"], "float32")
    boxes = distances.decode(outputs["boxes"], known)
    assigned = assign(ops.sigmoid(logits), boxes, targets, known=known)
    scores = assigned["scores"]  # (batch, candidates)

    classes = ops.one_hot(assigned["labels"], logits.shape[-1], dtype="float32")
    wrong = elements.binary_cross_entropy(logits, classes * scores[..., None])
    apart = 1 - box_ops.ciou(boxes, assigned["boxes"])
    uncertain = elements.distribution_focal(
        distances.by_side(outputs["boxes"]),
        distances.encode(assigned["boxes"], known),
    )  # (batch, candidates, sides)

    whole = ops.maximum(ops.sum(scores, axis=1), 1)
    return {
        "class_loss": CLASS_GAIN * ops.sum(wrong, axis=(1, 2)) / whole,
        "box_loss": BOX_GAIN * ops.sum(apart * scores, axis=1) / whole,
        "distribution_loss": DISTRIBUTION_GAIN
        * ops.sum(ops.mean(uncertain, axis=-1) * scores, axis=1)
        / whole,
    }


def start_losses(
    targets: Tensors, *, known: distances.Candidates, num_classes: int, prior: float
) -> dict[str, float]:
    """Compute what is lost while every score is the prior and every bin as likely.

    All boxes are then squares around their cell, so that the target scores are known.

    Args:
        targets: as for `losses`.
        known: the candidates.
        num_classes: number of classes.
        prior: the score of every class.

    Returns:
        The mean of "class_loss" and of "distribution_loss" over the pictures.
    """
    batch, count = len(targets["boxes"]), len(known)
    shape = (batch, count, distances.SIDES * distances.BINS)
    assigned = assign(
        ops.full((batch, count, num_classes), prior),
        distances.decode(ops.zeros(shape), known),
        targets,
        known=known,
    )
    scores = ops.convert_to_numpy(ops.sum(assigned["scores"], axis=1))
    whole = np.maximum(scores, 1)
    nothing = -math.log(1 - prior) * count * num_classes
    something = math.log((1 - prior) / prior) * scores
    unknown = math.log(distances.BINS) * scores
    return {
        "class_loss": float(np.mean(CLASS_GAIN * (nothing + something) / whole)),
        "distribution_loss": float(np.mean(DISTRIBUTION_GAIN * unknown / whole)),
    }


def assign(
    scores: keras.KerasTensor,
    boxes: keras.KerasTensor,
    objects: Tensors,
    *,
    known: distances.Candidates,
) -> dict[str, keras.KerasTensor]:
    """Say of each candidate which object it has to find, and how surely.

    An object takes the candidates with the largest alignment, score^0.5 * IoU^6, among
    those whose centre it holds. A candidate that several objects take belongs to the
    one with the largest IoU. Its target score is its alignment, scaled so that the
    object's largest becomes the object's largest IoU, times the object's weight.

    Args:
        scores: float32 (batch, candidates, classes) in [0, 1], as predicted.
        boxes: float32 (batch, candidates, 4), pixels, as predicted.
        objects: "boxes", "labels" and "weights" as for `losses`.
        known: the candidates.

    Returns:
        {"boxes": float32 (batch, candidates, 4), pixels, "labels": int32 (batch,
        candidates), "scores": float32 (batch, candidates) in [0, 1]}. A score of 0
        means no object; boxes and labels are then of no meaning. No gradient passes.

    Deviations from the paper: at most 10 candidates (13); an object narrower or lower
    than the finest cell is taken to be as wide or as high when centres are sought, so
    that it holds one; its overlap counts as 0.001 at least.

    Reference:
        Feng et al., "TOOD: Task-aligned One-stage Object Detection", 2021, 3.2.
    """
    scores, boxes = ops.stop_gradient(scores), ops.stop_gradient(boxes)
    alignment = ops.where(
        _inside(objects, known), _alignment(scores, boxes, objects), -1.0
    )
    alignment, chosen = ops.top_k(alignment, min(MOST_CANDIDATES, len(known)))
    overlap = _overlap(chosen, boxes, objects)
    is_candidate = alignment >= 0  # (batch, objects, chosen), as what follows

    owner, is_own = _owners(chosen, is_candidate, overlap, len(known))
    alignment = ops.where(is_own, ops.maximum(alignment, _LEAST_ALIGNMENT), 0)
    overlap = ops.where(is_own, ops.maximum(overlap, _LEAST_OVERLAP), 0)
    relative = ops.divide_no_nan(alignment, ops.max(alignment, axis=-1, keepdims=True))
    score = relative * ops.max(overlap, axis=-1, keepdims=True)
    score = score * objects["weights"][..., None]

    target = _largest(score, chosen, len(known))
    return {
        "boxes": _of_picture(objects["boxes"], owner),
        "labels": _of_picture(objects["labels"], owner),
        "scores": ops.stop_gradient(ops.maximum(target, 0)),
    }


def _inside(objects, known):
    """Test which centres lie in which objects -> bool (batch, objects, candidates)."""
    low, high = objects["boxes"][..., :2], objects["boxes"][..., 2:]
    middle, half = (low + high) / 2, (high - low) / 2
    half = ops.maximum(half, known.strides.min() / 2)
    # Padding holds nothing.
    half = ops.where(objects["weights"][..., None] > 0, half, 0)
    low, high = middle - half, middle + half
    inside = True
    for axis in (0, 1):
        centres = known.centres[:, axis]
        inside = ops.logical_and(inside, centres >= low[..., axis, None])
        inside = ops.logical_and(inside, centres < high[..., axis, None])
    return inside


def _alignment(scores, boxes, objects):
    """Measure how well candidates fit objects, float32 (batch, objects, candidates)."""
    b, n, c = ops.shape(scores)
    # Whole rows are taken: element by element it takes many times as long.
    rows = ops.reshape(ops.transpose(ops.sqrt(scores), (0, 2, 1)), (-1, n))
    labels = ops.maximum(objects["labels"], 0)
    sure = ops.take(rows, ops.arange(b)[:, None] * c + labels, axis=0)
    overlap = box_ops.iou(objects["boxes"], boxes)
    cube = overlap * overlap * overlap
    return sure * (cube * cube)


def _overlap(chosen, boxes, objects):
    """Measure IoU of objects with the candidates they chose."""
    b, num_objects, _ = ops.shape(chosen)
    own = _of_picture(boxes, ops.reshape(chosen, (b, -1)))
    own = ops.reshape(own, (b, num_objects, -1, 4))
    return box_ops.iou(objects["boxes"][..., None, :], own)[..., 0, :]


def _owners(chosen, is_candidate, overlap, num_candidates):
    """Give each candidate to the object with the largest IoU.

    Returns:
        The object of each candidate, int32 (batch, candidates), 0 where there is none;
        and whether a choice came true, bool (batch, objects, chosen).
    """
    overlap = ops.where(is_candidate, overlap, -1.0)
    largest = _largest(overlap, chosen, num_candidates)
    wins = ops.logical_and(is_candidate, overlap >= _at(largest, chosen))
    numbers = ops.arange(ops.shape(chosen)[1])[:, None]
    owner = _largest(ops.where(wins, numbers, -1), chosen, num_candidates)
    is_own = ops.logical_and(wins, _at(owner, chosen) == numbers)
    return ops.maximum(owner, 0), is_own


def _largest(values, chosen, num_candidates):
    """Find each candidate's largest value of those that objects have for it."""
    b = ops.shape(chosen)[0]
    places = chosen + (ops.arange(b) * num_candidates)[:, None, None]
    found = ops.segment_max(
        ops.reshape(values, (-1,)), ops.reshape(places, (-1,)), b * num_candidates
    )
    return ops.reshape(found, (-1, num_candidates))


def _at(values, chosen):
    """Look up (batch, candidates) for every choice -> (batch, objects, chosen)."""
    b = ops.shape(chosen)[0]
    found = _of_picture(values, ops.reshape(chosen, (b, -1)))
    return ops.reshape(found, ops.shape(chosen))


def _of_picture(values, indices):
    """Take rows (batch, taken) of values (batch, rows, ...) picture by picture."""
    b, rows = ops.shape(values)[:2]
    flat = ops.reshape(values, (-1, *values.shape[2:]))
    return ops.take(flat, indices + (ops.arange(b) * rows)[:, None], axis=0)
