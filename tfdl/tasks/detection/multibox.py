"""SSD's loss: every positive anchor, and the background's hardest [Liu 2016, 2.2]."""

import math
from collections.abc import Mapping

import keras
from keras import ops

from tfdl.ops import losses as losses_of
from tfdl.tasks.detection import anchor_targets

NEGATIVES_PER_POSITIVE = 3


def losses(
    targets: Mapping[str, keras.KerasTensor], outputs: Mapping[str, keras.KerasTensor]
) -> dict[str, keras.KerasTensor]:
    """Compare a network's answers with the targets.

    Cross-entropy over the classes and the background, of the positives and of three
    times as many negatives, those with the largest loss in the picture; smooth L1 of
    the positives' deltas. Both are divided by the number of positives.

    Deviations from the paper, which gives a picture without objects no loss: there the
    three hardest negatives are taken, and divided by 1. An object's weight multiplies
    the loss of its anchors, not the number of negatives.

    Args:
        targets: as `anchor_targets.assign` returns them.
        outputs: {"classes": float32 (batch, anchors, 1 + classes), logits, the
            background's first, "deltas": float32 (batch, anchors, 4)}.

    Returns:
        {"class_loss", "box_loss"}: float32 (batch,).
    """
    labels, weights = targets["labels"], targets["weights"]
    positives = anchor_targets.count_positives(labels)
    surprise = ops.sparse_categorical_crossentropy(
        ops.maximum(labels, anchor_targets.BACKGROUND) + 1,  # 0 is the background
        ops.cast(outputs["classes"], "float32"),
        from_logits=True,
    )
    mined = _sum_of_largest(
        ops.where(_is_background(labels), surprise, 0.0),
        NEGATIVES_PER_POSITIVE * positives,
    )
    errors = losses_of.smooth_l1(outputs["deltas"] - targets["deltas"])
    box = ops.sum(errors, axis=-1)
    return {
        "class_loss": (ops.sum(surprise * weights, axis=-1) + mined) / positives,
        "box_loss": ops.sum(box * weights, axis=-1) / positives,
    }


def start_losses(
    targets: Mapping[str, keras.KerasTensor], *, num_classes: int
) -> dict[str, float]:
    """Tell the class loss of a network that gives every class the same probability.

    ln(1 + classes) for each positive and each of the negatives that are mined: four
    times that where no object is weighed down.

    Args:
        targets: as for `losses`.
        num_classes: without the background.
    """
    labels = targets["labels"]
    positives = anchor_targets.count_positives(labels)
    negatives = ops.sum(ops.cast(_is_background(labels), "float32"), axis=-1)
    mined = ops.minimum(NEGATIVES_PER_POSITIVE * positives, negatives)
    terms = (ops.sum(targets["weights"], axis=-1) + mined) / positives
    return {"class_loss": float(ops.mean(terms)) * math.log(1 + num_classes)}


def _is_background(labels):
    return labels == anchor_targets.BACKGROUND


def _sum_of_largest(losses, counts):
    """Add the `counts` largest of each row up, float32 (batch,)."""
    num_anchors = losses.shape[-1]
    largest, _ = ops.top_k(losses, num_anchors, sorted=True)
    is_mined = ops.arange(num_anchors, dtype="float32") < counts[:, None]
    return ops.sum(ops.where(is_mined, largest, 0.0), axis=-1)
