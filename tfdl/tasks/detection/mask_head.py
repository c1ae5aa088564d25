"""Which pixels of a box belong to its object? The third answer of Mask R-CNN."""

from collections.abc import Callable

import keras
from keras import ops

from tfdl.layers import blocks
from tfdl.ops import boxes as boxes_of, losses as losses_of, masks as masks_of, rows
from tfdl.tasks.detection import detector

CHANNELS = 256
READ_SIZE = 14  # bins of a side that the head sees
SIZE = 2 * READ_SIZE  # cells of a mask's side
_NUM_CONVOLUTIONS = 4
_DEVIATION = 1e-3  # of the last layer; after layers by He, answers are nearly zero

Tensors = detector.Tensors


def layers(num_classes: int, *, width: float) -> Callable[..., keras.KerasTensor]:
    """Make the layers that all boxes share.

    Args:
        num_classes: of objects.
        width: factor on the number of channels.

    Returns:
        What is read in boxes, float (batch, boxes, READ_SIZE, READ_SIZE, channels) ->
        logits, float32 (batch, boxes, SIZE, SIZE, num_classes + 1), for each class its
        own. The background has a mask that nobody asks for, as in torchvision.

    Reference:
        He et al., "Mask R-CNN", 2017, figure 4, right.
    """
    channels = blocks.scaled(CHANNELS, width)
    usual = {"activation": "relu", "kernel_initializer": "he_normal"}
    hidden = [
        keras.layers.Conv2D(
            channels, 3, padding="same", name=f"mask_conv{number}", **usual
        )
        for number in range(1, _NUM_CONVOLUTIONS + 1)
    ]
    finer = keras.layers.Conv2DTranspose(
        channels, 2, strides=2, name="mask_finer", **usual
    )
    last = keras.layers.Conv2D(
        num_classes + 1,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=_DEVIATION),
        dtype="float32",
        name="mask_logits",
    )

    def answer(features: keras.KerasTensor) -> keras.KerasTensor:
        count, *read = features.shape[1:]
        x = ops.reshape(features, (-1, *read))  # every box is a picture of its own
        for layer in hidden:
            x = layer(x)
        return ops.reshape(last(finer(x)), (-1, count, SIZE, SIZE, num_classes + 1))

    return answer


@keras.saving.register_keras_serializable(package="tfdl")
class OwnMasks(keras.layers.Layer):
    """Chooses of every box the mask of its class, as probabilities."""

    def call(self, logits: keras.KerasTensor, labels: keras.KerasTensor):
        """Choose masks.

        Args:
            logits: as `layers` answers.
            labels: int32 (batch, boxes), -1 for padding.

        Returns:
            float32 (batch, boxes, SIZE, SIZE) in [0, 1], 0 of padding.
        """
        is_real = ops.cast(labels >= 0, "float32")[..., None, None]
        return ops.sigmoid(_of_class(logits, labels)) * is_real


def losses(
    drawn: Tensors, logits: keras.KerasTensor, objects: Tensors
) -> dict[str, keras.KerasTensor]:
    """Compare the masks of drawn boxes with those of the objects that they overlap.

    Binary cross-entropy of the right class's mask, the mean over the cells of all boxes
    with an object.

    Args:
        drawn: as `roi_sampling.SampledProposals` returns them.
        logits: as `layers` answers, of the first boxes, which may have an object.
        objects: {"boxes": float32 (batch, objects, 4), pixels, "outlines": (batch,
            objects, cells, cells) in [0, 1], the object within its box}.

    Returns:
        {"mask_loss": float32 (batch,)}.

    Reference:
        He et al., "Mask R-CNN", 2017, 3.
    """
    count, background = logits.shape[1], logits.shape[-1] - 1
    labels, weights = (drawn[name][:, :count] for name in ("labels", "weights"))
    owners = drawn["owners"][:, :count]
    seen = masks_of.resample(
        rows.take(ops.cast(objects["outlines"], "float32"), owners),
        rows.take(ops.cast(objects["boxes"], "float32"), owners),
        drawn["boxes"][:, :count],
        logits.shape[2:4],
    )
    truth = ops.cast(seen >= 0.5, "float32")
    wrong = losses_of.binary_cross_entropy(_of_class(logits, labels), truth)
    has_object = ops.cast(labels < background, "float32") * ops.cast(
        weights > 0, "float32"
    )
    counted = ops.maximum(ops.sum(has_object, axis=-1), 1.0)
    of_box = ops.mean(wrong, axis=(-2, -1)) * has_object * weights
    return {"mask_loss": ops.sum(of_box, axis=-1) / counted}


def start_loss(objects: Tensors) -> float:
    """Tell the loss of masks that are everywhere as likely as not.

    Args:
        objects: as for `losses`.
    """
    has_objects = ops.any(boxes_of.area(objects["boxes"]) > 0, axis=-1)
    return float(ops.log(2.0) * ops.mean(ops.cast(has_objects, "float32")))


def _of_class(logits, labels):
    """Choose the masks of these classes -> (batch, boxes, rows, columns)."""
    chosen = ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    return ops.einsum("bnijk,bnk->bnij", logits, chosen)
