"""What is in a box, and where exactly? The second stage of the R-CNN family."""

from collections.abc import Callable, Mapping, Sequence

import keras
from keras import ops

from tfdl.layers import blocks
from tfdl.ops import box_coding, losses as losses_of, rois

UNITS = 1024  # of the two hidden layers
BETA = 1 / 9  # where smooth L1 becomes linear, as in Detectron
_DEVIATION = 1e-3  # of the last layers; after layers by He, answers are nearly zero

Tensors = Mapping[str, keras.KerasTensor]


@keras.saving.register_keras_serializable(package="tfdl")
class AlignedRois(keras.layers.Layer):
    """Reads boxes from a pyramid, each from the level of its size (`rois.align`).

    Args:
        strides: of the maps.
        size: bins of each side.
        **kwargs: name and so on.
    """

    def __init__(self, strides: Sequence[int], *, size: int, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.strides = tuple(strides)
        self.size = size

    def call(self, maps: Sequence[keras.KerasTensor], boxes: keras.KerasTensor):
        """Read boxes.

        Args:
            maps: float (batch, rows, columns, channels), finest first.
            boxes: float32 (batch, boxes, 4), pixels.

        Returns:
            Float (batch, boxes, size, size, channels).
        """
        levels = rois.pyramid_levels(boxes, num_levels=len(maps))
        return rois.align(maps, boxes, levels, strides=self.strides, size=self.size)


def layers(num_classes: int, *, width: float) -> Callable[..., dict]:
    """Make the layers that all boxes share.

    Args:
        num_classes: of objects.
        width: factor on the number of units.

    Returns:
        What is read in boxes, float (batch, boxes, rows, columns, channels) ->
        {"classes": float32 (batch, boxes, num_classes + 1), logits, the last of the
        background, "deltas": float32 (batch, boxes, num_classes + 1, 4), of
        `box_coding`, for each class its own}. The background has deltas that nobody
        asks for, as in torchvision.
    """
    hidden = [
        keras.layers.Dense(
            blocks.scaled(UNITS, width),
            activation="relu",
            kernel_initializer="he_normal",
            name=f"box_dense{number}",
        )
        for number in (1, 2)
    ]
    classes, deltas = (
        keras.layers.Dense(
            count,
            kernel_initializer=keras.initializers.RandomNormal(stddev=_DEVIATION),
            dtype="float32",
            name=f"box_{name}",
        )
        for name, count in (
            ("classes", num_classes + 1),
            ("deltas", 4 * (num_classes + 1)),
        )
    )

    def answer(features: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        count, *rest = features.shape[1:]
        values = rest[0] * rest[1] * rest[2]
        x = keras.layers.Reshape((count, values))(features)
        for layer in hidden:
            x = layer(x)
        shaped = keras.layers.Reshape((count, num_classes + 1, 4), dtype="float32")
        return {"classes": classes(x), "deltas": shaped(deltas(x))}

    return answer


def losses(targets: Tensors, outputs: Tensors) -> dict[str, keras.KerasTensor]:
    """Compare the answers for drawn proposals with what they should be.

    Cross-entropy over the classes and the background, and smooth L1 of the deltas of
    the right class; both divided by the number of proposals that count.

    Args:
        targets: as `roi_sampling.SampledProposals` returns them.
        outputs: as `layers` answers.

    Returns:
        {"class_loss", "box_loss"}: float32 (batch,).

    Reference:
        Girshick, "Fast R-CNN", 2015, 2.3.
    """
    labels, weights = targets["labels"], targets["weights"]
    num_labels = outputs["classes"].shape[-1]
    truth = ops.one_hot(labels, num_labels)  # (batch, boxes, classes + 1)
    likely = ops.log_softmax(ops.cast(outputs["classes"], "float32"), axis=-1)
    wrong = -ops.sum(truth * likely, axis=-1)
    own = ops.sum(truth[..., None] * outputs["deltas"], axis=-2)
    errors = ops.sum(losses_of.smooth_l1(own - targets["deltas"], beta=BETA), axis=-1)
    has_object = ops.cast(labels < num_labels - 1, "float32")
    counted = ops.maximum(ops.sum(ops.cast(weights > 0, "float32"), axis=-1), 1.0)
    return {
        "class_loss": ops.sum(wrong * weights, axis=-1) / counted,
        "box_loss": ops.sum(errors * has_object * weights, axis=-1) / counted,
    }


def decode(proposals: Tensors, outputs: Tensors) -> dict[str, keras.KerasTensor]:
    """Read the answers for proposals.

    Args:
        proposals: {"boxes", "weights"} of `region_proposals.Proposals`.
        outputs: as `layers` answers.

    Returns:
        {"boxes": float32 (batch, proposals, classes, 4), pixels, not cut to the
        picture, "scores": float32 (batch, proposals, classes) in [0, 1]}.
    """
    probabilities = ops.softmax(ops.cast(outputs["classes"], "float32"), axis=-1)
    boxes = box_coding.decode(outputs["deltas"], proposals["boxes"][..., None, :])
    return {
        "boxes": boxes[..., :-1, :],
        "scores": probabilities[..., :-1] * proposals["weights"][..., None],
    }
