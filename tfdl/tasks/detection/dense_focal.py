"""RetinaNet's loss: every anchor at once, the easy ones faded [Lin 2017, 3]."""

import math
from collections.abc import Mapping

import keras
from keras import ops

from tfdl.ops import losses as losses_of
from tfdl.tasks.detection import anchor_targets

PRIOR = 0.01  # probability of a class at an anchor before training, 3.3
ALPHA, GAMMA = 0.25, 2.0  # 3.2, the best of table 1b
BETA = 1 / 9  # where smooth L1 becomes linear, of Detectron


def losses(
    targets: Mapping[str, keras.KerasTensor], outputs: Mapping[str, keras.KerasTensor]
) -> dict[str, keras.KerasTensor]:
    """Compare a network's answers with the targets.

    The focal loss of every class at every anchor that is not ignored, and the smooth L1
    of the positives' deltas, summed over the four; both divided by the number of
    positives, at least 1.

    Deviation from the paper: smooth L1 is linear from 1/9 on instead of 1, as in the
    authors' code. An object's weight multiplies the loss of its anchors.

    Args:
        targets: as `anchor_targets.assign` returns them.
        outputs: {"classes": float32 (batch, anchors, classes), logits, "deltas":
            float32 (batch, anchors, 4)}.

    Returns:
        {"class_loss", "box_loss"}: float32 (batch,).
    """
    labels, weights = targets["labels"], targets["weights"]
    positives = anchor_targets.count_positives(labels)
    logits = ops.cast(outputs["classes"], "float32")
    classes = ops.arange(logits.shape[-1], dtype="int32")
    truth = ops.cast(labels[..., None] == classes, "float32")
    focal = losses_of.sigmoid_focal(logits, truth, alpha=ALPHA, gamma=GAMMA)
    errors = losses_of.smooth_l1(outputs["deltas"] - targets["deltas"], beta=BETA)
    of_anchors = {"class_loss": ops.sum(focal, -1), "box_loss": ops.sum(errors, -1)}
    shares = {"class_loss": _class_weights(targets), "box_loss": weights}
    return {
        name: ops.sum(values * shares[name], axis=-1) / positives
        for name, values in of_anchors.items()
    }


def start_losses(
    targets: Mapping[str, keras.KerasTensor], *, num_classes: int
) -> dict[str, float]:
    """Tell the class loss of a network that answers `PRIOR` to everything.

    Args:
        targets: as for `losses`.
        num_classes: number of classes.
    """
    present = -ALPHA * (1 - PRIOR) ** GAMMA * math.log(PRIOR)
    absent = -(1 - ALPHA) * PRIOR**GAMMA * math.log(1 - PRIOR)
    positives = anchor_targets.count_positives(targets["labels"])
    found = ops.sum(targets["weights"], axis=-1) * (present - absent)
    anywhere = ops.sum(_class_weights(targets), axis=-1) * num_classes * absent
    return {"class_loss": float(ops.mean((found + anywhere) / positives))}


def _class_weights(targets):
    """Weigh a positive as its object, the background by 1, the ignored by 0."""
    is_background = targets["labels"] == anchor_targets.BACKGROUND
    return ops.where(is_background, 1.0, targets["weights"])
