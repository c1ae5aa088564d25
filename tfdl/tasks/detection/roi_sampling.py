"""Which proposals are the second stage trained on?

Drawn ones, a quarter of them with an object. What is drawn is a function of the picture
alone, so that it is the same on any number of replicas and after a run went on.
"""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from tfdl.ops import box_coding, boxes as boxes_of, rows

OBJECT_IOU = 0.5  # Fast R-CNN, 2.3
POSITIVE_SHARE = 0.25

# A picture's draws are this row, begun at a place that its pixels decide.
_DRAWS = np.random.default_rng(0).random(4093, dtype=np.float32)

Tensors = Mapping[str, keras.KerasTensor]


@keras.saving.register_keras_serializable(package="tfdl")
class SampledProposals(keras.layers.Layer):
    """Draws proposals and tells what should be answered for each.

    The objects themselves are proposals as well, so that there is something to learn
    from at the start.

    Args:
        count: proposals of a picture. The first quarter holds those with an object;
            where there are fewer, the rest of it weighs nothing.
        background: label of a proposal without an object.
        variances: of the deltas, see `box_coding.encode`.
        **kwargs: name, dtype, which should be float32, and so on.

    Reference:
        Girshick, "Fast R-CNN", 2015, 2.3. There, 128 of two pictures are drawn, and
        what positives leave free is filled with background.
    """

    def __init__(
        self,
        count: int,
        *,
        background: int,
        variances=box_coding.VARIANCES,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.count = count
        self.background = background
        self.variances = tuple(variances)

    def call(self, image, proposals: Tensors, objects: Tensors):
        """Draw proposals; no gradient comes back through them.

        Args:
            image: float32 (batch, height, width, channels) in [0, 1].
            proposals: {"boxes", "weights"}, as `region_proposals.Proposals` returns
                them.
            objects: {"boxes", "labels", "weights"}, as for
                `detector.Detector.targets`.

        Returns:
            {"boxes": float32 (batch, drawn, 4), pixels, "owners": int32 (batch, drawn),
            the object that each overlaps most, "labels": int32 (batch, drawn), its
            class or `background`, "deltas": float32 (batch, drawn, 4), from the box to
            it, "weights": float32 (batch, drawn), the object's, 1 of background, 0 of
            what only fills up}.
        """
        known = ops.cast(objects["boxes"], "float32")
        are_known = objects["weights"] > 0
        boxes = ops.concatenate([proposals["boxes"], known], axis=1)
        is_real = ops.concatenate([proposals["weights"] > 0, are_known], axis=1)
        overlap = ops.where(are_known[:, None], boxes_of.iou(boxes, known), 0.0)
        is_object = ops.max(overlap, axis=-1) >= OBJECT_IOU
        owners = ops.cast(ops.argmax(overlap, axis=-1), "int32")

        draws = _draws(image, ops.shape(boxes)[1])
        count = min(self.count, proposals["boxes"].shape[1])
        most_positive, others = room(count)
        positive, places = _drawn(
            draws, ops.logical_and(is_real, is_object), most_positive
        )
        negative, other_places = _drawn(
            draws, ops.logical_and(is_real, ops.logical_not(is_object)), others
        )
        places = ops.concatenate([places, other_places], axis=1)
        boxes, owners = rows.take(boxes, places), rows.take(owners, places)
        labels, weights = (
            rows.take(objects[name], owners) for name in ("labels", "weights")
        )
        own = rows.take(known, owners)
        deltas = box_coding.encode(own, boxes, variances=self.variances)
        has_object = ops.concatenate([positive, ops.zeros_like(negative)], axis=1)
        drawn = {
            "boxes": boxes,
            "owners": owners,
            "labels": ops.where(has_object, ops.cast(labels, "int32"), self.background),
            "deltas": ops.where(has_object[..., None], deltas, 0.0),
            "weights": ops.concatenate(
                [
                    ops.where(positive, weights[:, :most_positive], 0.0),
                    ops.cast(negative, "float32"),
                ],
                axis=1,
            ),
        }
        return {name: ops.stop_gradient(each) for name, each in drawn.items()}


def room(count: int) -> tuple[int, int]:
    """Divide drawn proposals into the places for objects and those for background."""
    most_positive = max(1, round(POSITIVE_SHARE * count))
    return most_positive, count - most_positive


def _draws(image, count):
    """Draw numbers in [0, 1), float32 (batch, count), by the pixels."""
    rows, columns = ops.shape(image)[1:3]
    pixels = ops.sum(ops.cast(image * 255, "int32"), axis=-1)
    places = ops.arange(rows)[:, None] * 31 + ops.arange(columns) + 1
    start = ops.sum(pixels * ops.cast(places, "int32"), axis=(1, 2))
    numbers = ops.mod(start, len(_DRAWS))[:, None] + ops.arange(count, dtype="int32")
    return ops.take(ops.convert_to_tensor(_DRAWS), ops.mod(numbers, len(_DRAWS)))


def _drawn(draws, are_meant, count):
    """Choose the highest draws among those meant -> (is one, place), (batch, count)."""
    values, places = ops.top_k(ops.where(are_meant, draws, -1.0), count)
    return values >= 0, places
