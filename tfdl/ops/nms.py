"""Which detections remain when several show the same object?

Both functions take what a detector says of every candidate box and class, and return a
fixed number of detections: {"boxes": float32 (batch, max_detections, 4), "scores":
float32 (batch, max_detections), descending, "labels": int32 (batch, max_detections),
"num_detections": int32 (batch,)}. Where there are fewer, boxes and scores are 0 and
labels -1.

A box can be detected under several classes, as COCO's evaluation has it. Equal scores
are ordered by candidate, then by class, so that the same input gives the same answer.
"""

import keras
from keras import ops

from tfdl import errors
from tfdl.ops import block_suppression, boxes as box_ops, rows

Detections = dict[str, keras.KerasTensor]


def suppress(
    boxes: keras.KerasTensor,
    scores: keras.KerasTensor,
    *,
    score_threshold: float | keras.KerasTensor,
    iou_threshold: float | keras.KerasTensor,
    max_detections: int,
    candidates: int = 1000,
    class_aware: bool = True,
) -> Detections:
    """Keep the surest detection and drop what overlaps it; repeat with the next.

    Args:
        boxes: float32 (batch, boxes, 4), pixels, or (batch, boxes, classes, 4) where
            each class has its own; the number of boxes is static.
        scores: float32 (batch, boxes, classes) in [0, 1].
        score_threshold: only scores above it are detections; a number or float32
            (batch,).
        iou_threshold: an overlap above it is the same object; a number or float32
            (batch,).
        max_detections: how many are returned for each picture.
        candidates: how many of the highest scores take part; the rest is dropped.
        class_aware: whether detections of different classes leave each other alone.

    Returns:
        The detections, as the module says.

    Raises:
        UsageError: `max_detections` or `candidates` is less than 1.
    """
    boxes, scores, labels = _pool(boxes, scores, candidates, max_detections)
    is_sure = scores > _per_row(score_threshold)
    # Only boxes of one class meet.
    places = labels if class_aware else ops.zeros_like(labels)
    kept = block_suppression.kept(
        boxes,
        places,
        is_sure,
        iou_threshold=_per_row(iou_threshold),
        max_kept=max_detections,
    )
    chosen = ops.where(kept, scores, _DROPPED)
    return _detections(boxes, chosen, labels, max_detections)


def soft(
    boxes: keras.KerasTensor,
    scores: keras.KerasTensor,
    *,
    score_threshold: float | keras.KerasTensor,
    method: str = "gaussian",
    sigma: float = 0.5,
    iou_threshold: float | keras.KerasTensor = 0.3,
    max_detections: int,
    candidates: int = 1000,
    class_aware: bool = True,
) -> Detections:
    """Keep the surest detection and lower the scores of what overlaps it; repeat.

    Args:
        boxes: float32 (batch, boxes, 4), pixels, or (batch, boxes, classes, 4) where
            each class has its own; the number of boxes is static.
        scores: float32 (batch, boxes, classes) in [0, 1].
        score_threshold: only scores that stay above it are detections; a number or
            float32 (batch,).
        method: "gaussian", every score times exp(-iou^2 / sigma), or "linear", those
            whose overlap is above `iou_threshold` times 1 - iou.
        sigma: of "gaussian", positive.
        iou_threshold: of "linear"; a number or float32 (batch,).
        max_detections: how many are returned for each picture.
        candidates: how many of the highest scores take part; the rest is dropped.
        class_aware: whether detections of different classes leave each other alone.

    Returns:
        The detections, as the module says, with the lowered scores.

    Raises:
        UsageError: `method` is unknown, `sigma` is not positive, or `max_detections`
            or `candidates` is less than 1.

    Reference:
        Bodla 2017, Soft-NMS, section 3.
    """
    limit = _per_row(iou_threshold)

    def linear(overlap, scores):
        return ops.where(overlap > limit, scores * (1 - overlap), scores)

    def gaussian(overlap, scores):
        return scores * ops.exp(-overlap * overlap / sigma)

    methods = {"linear": linear, "gaussian": gaussian}
    if method not in methods:
        raise errors.UsageError(
            f"`method` must be one of {sorted(methods)}. Received method={method!r}.",
            "Choose one of them.",
        )
    if sigma <= 0:
        raise errors.UsageError(
            f"`sigma` must be positive. Received sigma={sigma}.",
            "The paper takes 0.5.",
        )
    pool = _pool(boxes, scores, candidates, max_detections)
    return _select(pool, methods[method], score_threshold, max_detections, class_aware)


_DROPPED = -1.0  # below every score


def _pool(boxes, scores, candidates, max_detections):
    """Choose the highest scores, each with its box and class.

    Returns:
        boxes float32 (batch, pool, 4), scores float32 (batch, pool), not ascending,
        labels int32 (batch, pool). The pool has room for `max_detections`.
    """
    _check_positive("max_detections", max_detections)
    _check_positive("candidates", candidates)
    boxes, scores = ops.cast(boxes, "float32"), ops.cast(scores, "float32")
    classes = scores.shape[-1]
    missing = max(0, -(-max_detections // classes) - boxes.shape[1])
    if missing:
        rest = [(0, 0)] * (len(boxes.shape) - 2)
        boxes = ops.pad(boxes, [(0, 0), (0, missing), *rest])
        scores = ops.pad(
            scores, [(0, 0), (0, missing), (0, 0)], constant_values=_DROPPED
        )
    size = min(max(candidates, max_detections), boxes.shape[1] * classes)
    if size < boxes.shape[1]:
        # The best pairs belong to the boxes with the best maxima, and to sort fewer
        # is many times faster. In the order of their places, for equal scores.
        best = ops.top_k(ops.max(scores, axis=-1), size)[1]
        best = ops.sort(best, axis=1)
        boxes, scores = rows.take(boxes, best), rows.take(scores, best)
    pairs = boxes.shape[1] * classes
    scores, places = ops.top_k(ops.reshape(scores, [-1, pairs]), size)
    scores = ops.where(ops.arange(size) < candidates, scores, _DROPPED)
    if len(boxes.shape) == 4:
        chosen = rows.take(ops.reshape(boxes, [-1, pairs, 4]), places)
    else:
        chosen = rows.take(boxes, places // classes)
    return chosen, scores, places % classes


def _select(pool, decay, score_threshold, max_detections, class_aware):
    """Take the highest score, let it lower the others, and so on.

    A step serves the whole batch and costs no more than comparing one box with the
    pool; the loop ends as soon as no score is high enough.
    """
    boxes, scores, labels = pool
    places = ops.arange(scores.shape[1])
    threshold = _per_row(score_threshold)

    def is_any_left(scores, _):
        return ops.any(scores > threshold)

    def step(scores, chosen):
        # Keras's argmax looks at bits for negative zeros, which ONNX cannot.
        best = ops.top_k(scores, 1)[1]
        is_taken = ops.logical_and(places == best, scores > threshold)
        chosen = ops.where(is_taken, scores, chosen)
        overlap = box_ops.iou(rows.take(boxes, best), boxes)[:, 0]
        if class_aware:
            overlap = ops.where(labels == rows.take(labels, best), overlap, 0)
        return ops.where(is_taken, _DROPPED, decay(overlap, scores)), chosen

    chosen = ops.full_like(scores, _DROPPED)
    _, chosen = ops.while_loop(
        is_any_left, step, (scores, chosen), maximum_iterations=max_detections
    )
    return _detections(boxes, chosen, labels, max_detections)


def _detections(boxes, chosen, labels, max_detections):
    """Bring what was chosen to the front, and clear what is behind it."""
    scores, places = ops.top_k(chosen, max_detections)
    is_found = scores > _DROPPED
    return {
        "boxes": ops.where(is_found[..., None], rows.take(boxes, places), 0),
        "scores": ops.where(is_found, scores, 0),
        "labels": ops.where(is_found, rows.take(labels, places), -1),
        "num_detections": ops.sum(ops.cast(is_found, "int32"), axis=1),
    }


def _per_row(threshold):
    """Shape a number or one number per picture so that it meets (batch, pool)."""
    return ops.reshape(ops.cast(threshold, "float32"), [-1, 1])


def _check_positive(name, value):
    if value < 1:
        raise errors.UsageError(
            f"`{name}` must be at least 1. Received {name}={value}.",
            "Give a positive number.",
        )
