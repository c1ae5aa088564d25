"""Which boxes does greedy suppression keep? Decided a block of boxes at a time.

Taking one box after the other costs a step of some ten small operations for each of
them, which for one picture is more than the arithmetic. A block is decided on in few
steps: what kept boxes of earlier blocks overlap falls away at once; within the block a
few rounds settle who is left.
"""

import keras
import numpy as np
from keras import ops

from tfdl.ops import boxes as box_ops, rows

BLOCK = 128  # boxes; more would compare many that nobody needs

_EARLIER = np.tri(BLOCK, k=-1, dtype=bool)  # (box, a surer one of its block)


def kept(
    boxes: keras.KerasTensor,
    labels: keras.KerasTensor,
    is_sure: keras.KerasTensor,
    *,
    iou_threshold: keras.KerasTensor,
    max_kept: int,
) -> keras.KerasTensor:
    """Tell which boxes no surer box of their label, itself kept, overlaps too much.

    Args:
        boxes: float32 (batch, boxes, 4), pixels, the surest first; the number is
            static.
        labels: int32 (batch, boxes).
        is_sure: bool (batch, boxes), true up to some place; the others are not kept.
        iou_threshold: float32 (batch or 1, 1); a larger overlap is too much.
        max_kept: the first so many that are kept are right; later ones may be missing.

    Returns:
        bool (batch, boxes).
    """
    count = boxes.shape[1]
    num_blocks = -(-count // BLOCK)
    blocks = [_in_blocks(each, num_blocks) for each in (boxes, labels, is_sure)]
    limit = iou_threshold[..., None]
    begins_sure = blocks[2][..., 0]  # (batch, blocks)

    def is_any_left(number, chosen):
        wants = ops.sum(ops.cast(chosen, "int32"), axis=(1, 2)) < max_kept
        is_own = ops.arange(num_blocks) == number
        begins = ops.any(ops.logical_and(begins_sure, is_own), axis=1)
        return ops.any(ops.logical_and(wants, begins))

    def decide(number, chosen):
        own_boxes, own_labels, own_is_sure = (
            ops.take(each, number, axis=1) for each in blocks
        )
        before = _first(chosen, *blocks[:2], max_kept)
        losers = ops.any(_beaten(own_boxes, own_labels, *before, limit=limit), axis=-1)
        is_free = ops.logical_and(own_is_sure, ops.logical_not(losers))
        own = (own_boxes, own_labels)
        beaten = _beaten(*own, *own, is_free, limit=limit)
        settled = _settled(is_free, ops.logical_and(beaten, _EARLIER))
        is_own = (ops.arange(num_blocks) == number)[:, None]
        return number + 1, ops.where(is_own, settled[:, None], chosen)

    start = (ops.zeros((), "int32"), ops.zeros_like(blocks[2]))
    _, chosen = ops.while_loop(
        is_any_left, decide, start, maximum_iterations=num_blocks
    )
    return ops.reshape(chosen, (-1, num_blocks * BLOCK))[:, :count]


def _in_blocks(values, num_blocks):
    """Pad (batch, boxes, ...) and cut it -> (batch, blocks, BLOCK, ...)."""
    missing = num_blocks * BLOCK - values.shape[1]
    rest = values.shape[2:]
    padded = ops.pad(values, [(0, 0), (0, missing), *[(0, 0)] * len(rest)])
    return ops.reshape(padded, (-1, num_blocks, BLOCK, *rest))


def _first(chosen, boxes, labels, count):
    """Gather the first boxes that are chosen -> boxes, labels, which are real."""
    size = chosen.shape[1] * chosen.shape[2]
    order = ops.where(ops.reshape(chosen, (-1, size)), size - ops.arange(size), 0)
    order, places = ops.top_k(order, min(count, size))
    boxes = ops.reshape(boxes, (-1, size, 4))
    labels = rows.take(ops.reshape(labels, (-1, size)), places)
    return rows.take(boxes, places), labels, order > 0


def _beaten(boxes, labels, others, their_labels, are_real, *, limit):
    """Test each box against others -> bool (batch, boxes, others)."""
    overlap = box_ops.iou(boxes, others) > limit
    are_rivals = labels[..., None] == their_labels[:, None]
    return ops.logical_and(overlap, ops.logical_and(are_rivals, are_real[:, None]))


def _settled(is_free, beaten):
    """Keep the free boxes that no kept one beats; only earlier ones beat a box.

    Who is beaten beats nobody. Each round settles one more box at least, and mostly
    all are settled after a few.
    """

    def is_unsettled(now, before):
        return ops.any(now != before)

    def settle(now, _):
        losers = ops.any(ops.logical_and(beaten, now[:, None]), axis=-1)
        return ops.logical_and(is_free, ops.logical_not(losers)), now

    start = (is_free, ops.logical_not(is_free))
    return ops.while_loop(is_unsettled, settle, start, maximum_iterations=BLOCK + 1)[0]
