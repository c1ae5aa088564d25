"""Which boxes might hold an object, of whatever class? The region proposal network.

Its loss is the paper's in the mean: there, 256 anchors of a picture are drawn, at most
half of them positive; here every anchor counts as often as it would be drawn.
"""

import math
from collections.abc import Mapping, Sequence

import keras
from keras import ops

from tfdl.ops import (
    anchors as anchors_of,
    block_suppression,
    box_coding,
    boxes as boxes_of,
    losses as losses_of,
    rows,
)
from tfdl.tasks.detection import anchor_targets

POSITIVE_IOU, NEGATIVE_IOU = 0.7, 0.3  # 3.1.2
DRAWN, MOST_POSITIVE = 256, 128  # anchors of a picture, 3.1.3
VARIANCES = (1.0, 1.0, 1.0, 1.0)
BETA = 1 / 9  # where smooth L1 becomes linear, as in Detectron
OVERLAP = 0.7  # a box that overlaps more with a surer one is left out, 3.3
ANCHORS_PER_CELL = len(anchors_of.RETINANET_RATIOS)
_LEAST_SIDE = 1e-3  # pixels; narrower boxes are no proposals
# The paper's 0.01 is of all layers: after one by He the last must be smaller for
# answers that are nearly zero.
_HEAD_DEVIATION = 1e-3

Tensors = Mapping[str, keras.KerasTensor]


def head(maps: Sequence[keras.KerasTensor]) -> dict[str, keras.KerasTensor]:
    """Ask of every anchor whether it holds an object, and where exactly.

    Args:
        maps: float (batch, rows, columns, channels), finest first; all share the
            layers.

    Returns:
        {"objectness": float32 (batch, anchors), logits, "shifts": float32 (batch,
        anchors, 4), of `box_coding`}, in the order of `anchors.proposals`.
    """
    shared = keras.layers.Conv2D(
        maps[0].shape[-1],
        3,
        padding="same",
        activation="relu",
        kernel_initializer="he_normal",
        name="rpn_conv",
    )
    hidden = [shared(x) for x in maps]
    objectness = _answers(hidden, 1, name="objectness")
    flat = keras.layers.Reshape((-1,), dtype="float32", name="objectness_flat")
    return {
        "objectness": flat(objectness),
        "shifts": _answers(hidden, 4, name="shifts"),
    }


def targets(
    objects: Tensors, anchors: keras.KerasTensor
) -> dict[str, keras.KerasTensor]:
    """Tell what every anchor should answer.

    Args:
        objects: as for `detector.Detector.targets`.
        anchors: float32 (anchors, 4), pixels.

    Returns:
        As `anchor_targets.assign`, all objects of class 0.
    """
    return anchor_targets.assign(
        {**objects, "labels": ops.zeros_like(objects["labels"])},
        anchors,
        positive=POSITIVE_IOU,
        negative=NEGATIVE_IOU,
        variances=VARIANCES,
    )


def losses(targets: Tensors, outputs: Tensors) -> dict[str, keras.KerasTensor]:
    """Compare the answers of the anchors with what they should be.

    Args:
        targets: as `targets` returns them.
        outputs: as `head` returns them.

    Returns:
        {"objectness_loss", "shift_loss"}: float32 (batch,).
    """
    positive, negative = _shares(targets["labels"])
    counted = ops.maximum(ops.sum(positive + negative, axis=-1), 1.0)
    positive = positive * targets["weights"]
    truth = ops.cast(targets["labels"] >= 0, "float32")
    wrong = losses_of.binary_cross_entropy(outputs["objectness"], truth)
    errors = losses_of.smooth_l1(outputs["shifts"] - targets["deltas"], beta=BETA)
    return {
        "objectness_loss": ops.sum(wrong * (positive + negative), axis=-1) / counted,
        "shift_loss": ops.sum(ops.sum(errors, -1) * positive, axis=-1) / counted,
    }


def start_losses(targets: Tensors) -> dict[str, float]:
    """Tell the loss of a network that holds an object for as likely as none.

    Args:
        targets: as for `losses`.
    """
    even = {
        "objectness": ops.zeros_like(targets["weights"]),
        "shifts": ops.zeros_like(targets["deltas"]),
    }
    start = ops.mean(losses(targets, even)["objectness_loss"])
    return {"objectness_loss": float(start)}


@keras.saving.register_keras_serializable(package="tfdl")
class Proposals(keras.layers.Layer):
    """The surest anchors, moved as they ask for, without those that overlap.

    Args:
        image_size: (height, width) of the pictures.
        candidates: how many of each level take part.
        count: most proposals of a picture.
        **kwargs: name, dtype, which should be float32, and so on.
    """

    def __init__(
        self, image_size: Sequence[int], *, candidates: int, count: int, **kwargs
    ):
        super().__init__(**kwargs)
        self.image_size = tuple(image_size)
        self.candidates = candidates
        self.count = count
        self._levels = anchors_of.proposals(self.image_size)

    def call(self, outputs: Tensors) -> dict[str, keras.KerasTensor]:
        """Propose boxes; no gradient comes back through them.

        Args:
            outputs: as `head` returns them.

        Returns:
            {"boxes": float32 (batch, proposals, 4), pixels, within the picture, the
            surest first, "weights": float32 (batch, proposals), 0 where there are
            fewer}.
        """
        logits, boxes, levels = self._best_of_levels(
            *(ops.stop_gradient(outputs[name]) for name in ("objectness", "shifts"))
        )
        height, width = self.image_size
        boxes = boxes_of.clip(boxes, height=height, width=width)
        sides = boxes[..., 2:] - boxes[..., :2]
        scores = ops.where(
            ops.all(sides >= _LEAST_SIDE, axis=-1), ops.sigmoid(logits), -1.0
        )
        scores, order = ops.top_k(scores, scores.shape[1])
        boxes = rows.take(boxes, order)
        count = min(self.count, scores.shape[1])
        kept = block_suppression.kept(
            boxes,
            ops.take(levels, order),  # each level for itself
            scores >= 0,
            iou_threshold=ops.full((1, 1), OVERLAP),
            max_kept=count,
        )
        scores, places = ops.top_k(ops.where(kept, scores, -1.0), count)
        is_real = scores >= 0
        boxes = rows.take(boxes, places)
        return {
            "boxes": ops.where(is_real[..., None], boxes, 0.0),
            "weights": ops.cast(is_real, "float32"),
        }

    def _best_of_levels(self, objectness, shifts):
        """Choose candidates -> logits, boxes, (batch, all, ...), and levels, (all,)."""
        logits, boxes, levels, start = [], [], [], 0
        for number, anchors in enumerate(self._levels):
            own = slice(start, start + len(anchors))
            start = own.stop
            size = min(self.candidates, len(anchors))
            best, places = ops.top_k(objectness[:, own], size)
            moved = box_coding.decode(
                rows.take(shifts[:, own], places),
                ops.take(ops.convert_to_tensor(anchors), places, axis=0),
                variances=VARIANCES,
            )
            logits.append(best)
            boxes.append(moved)
            levels.append(ops.full((size,), number, dtype="int32"))
        return (
            ops.concatenate(logits, axis=1),
            ops.concatenate(boxes, axis=1),
            ops.concatenate(levels),
        )


def _shares(labels):
    """Tell how often each anchor would be drawn -> of positives, of the background."""
    is_positive = ops.cast(labels >= 0, "float32")
    is_negative = ops.cast(labels == anchor_targets.BACKGROUND, "float32")
    positives, negatives = (
        ops.sum(each, axis=-1, keepdims=True) for each in (is_positive, is_negative)
    )
    drawn = ops.minimum(positives, MOST_POSITIVE)
    others = ops.minimum(negatives, DRAWN - drawn)
    return (
        is_positive * drawn / ops.maximum(positives, 1.0),
        is_negative * others / ops.maximum(negatives, 1.0),
    )


def _answers(maps, num_values, *, name):
    """Predict `num_values` of every anchor, float32 (batch, anchors, num_values)."""
    last = keras.layers.Conv2D(
        ANCHORS_PER_CELL * num_values,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=_HEAD_DEVIATION),
        dtype="float32",
        name=f"rpn_{name}",
    )
    levels = []
    for number, x in enumerate(maps, start=2):
        count = math.prod(x.shape[1:3]) * ANCHORS_PER_CELL
        listed = keras.layers.Reshape(
            (count, num_values), dtype="float32", name=f"{name}{number}"
        )
        levels.append(listed(last(x)))
    return keras.layers.Concatenate(axis=1, dtype="float32", name=name)(levels)
