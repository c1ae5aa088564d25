"""How wrong are the logits of a picture's pixels?

All losses take the same arguments. `labels`: uint8 or int32 (batch, height, width),
0 to classes - 1, or 255 for pixels that are ignored. `logits`: float (batch, height,
width, classes). `class_weights`: float (classes,), how much each class counts, not
negative: its pixels in cross-entropy and focal loss, its overlap in the others.
`pixel_weights`: float (batch, height, width), how much each pixel counts beside that,
not negative. All return float32 (batch,), the mean of each picture, so that the mean
over replicas is that over the batch; it is 0, and has no slope, where all is ignored.
"""

import functools
from collections.abc import Callable, Mapping

import keras
from keras import ops

from tfdl import errors
from tfdl.data.augment import annotations
from tfdl.ops import overlap_losses

Loss = Callable[..., keras.KerasTensor]

AUXILIARY_WEIGHT = 0.4  # Zhao 2017, Pyramid Scene Parsing Network, section 4
FOCAL_GAMMA = 2.0  # Lin 2017, Focal Loss for Dense Object Detection, table 1b
# Salehi 2017, table 1: misses cost more than alarms.
TVERSKY_ALARMS, TVERSKY_MISSES = 0.3, 0.7


def cross_entropy(
    labels: keras.KerasTensor,
    logits: keras.KerasTensor,
    *,
    class_weights: keras.KerasTensor | None = None,
    pixel_weights: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Average -ln p of the true class, times its weights, over the pixels that count.

    Args:
        labels: the classes.
        logits: of them; while all are alike and nothing is weighed, the loss is
            ln(classes).
        class_weights: those of the classes; None, all 1.
        pixel_weights: those of the pixels, such as `weight_maps` draws; None, all 1.

    Returns:
        float32 (batch,). It is divided by the number of pixels, not by their weights: a
        picture of a rare class alone counts more than one of a common class.
    """
    weights = _weights(labels, class_weights, pixel_weights)
    return _mean(_surprisal(labels, logits) * weights, labels)


def focal(
    labels: keras.KerasTensor,
    logits: keras.KerasTensor,
    *,
    class_weights: keras.KerasTensor | None = None,
    pixel_weights: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Average -(1 - p)^2 ln p of the true class, times its weights, over the pixels.

    Deviation from the paper: it is of exclusive classes, the p of a softmax, and has
    `class_weights` in the place of alpha.

    Arguments and result are those of `cross_entropy`.

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017, equation 4.
    """
    weights = _weights(labels, class_weights, pixel_weights)
    surprisal = _surprisal(labels, logits)
    # Rounding may leave -1e-8 of a certainty, and a power of that need not exist.
    doubt = ops.maximum(-ops.expm1(-surprisal), keras.config.epsilon())
    return _mean(ops.power(doubt, FOCAL_GAMMA) * surprisal * weights, labels)


def dice(
    labels: keras.KerasTensor,
    logits: keras.KerasTensor,
    *,
    class_weights: keras.KerasTensor | None = None,
    pixel_weights: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Average 1 - Dice over the classes of a picture, see `overlap_losses.dice`."""
    return _overlap(overlap_losses.dice, labels, logits, class_weights, pixel_weights)


def tversky(
    labels: keras.KerasTensor,
    logits: keras.KerasTensor,
    *,
    class_weights: keras.KerasTensor | None = None,
    pixel_weights: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Average 1 - Tversky's index over the classes, see `overlap_losses.tversky`."""
    of_classes = functools.partial(
        overlap_losses.tversky,
        false_positive_weight=TVERSKY_ALARMS,
        false_negative_weight=TVERSKY_MISSES,
    )
    return _overlap(of_classes, labels, logits, class_weights, pixel_weights)


def jaccard(
    labels: keras.KerasTensor,
    logits: keras.KerasTensor,
    *,
    class_weights: keras.KerasTensor | None = None,
    pixel_weights: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Average 1 - soft IoU over the classes, see `overlap_losses.jaccard`."""
    of_classes = overlap_losses.jaccard
    return _overlap(of_classes, labels, logits, class_weights, pixel_weights)


def lovasz(
    labels: keras.KerasTensor,
    logits: keras.KerasTensor,
    *,
    class_weights: keras.KerasTensor | None = None,
    pixel_weights: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Average the Lovász-softmax loss over the classes, see `overlap_losses.lovasz`."""
    return _overlap(overlap_losses.lovasz, labels, logits, class_weights, pixel_weights)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "focal": focal,
    "dice": dice,
    "tversky": tversky,
    "jaccard": jaccard,
    "lovasz": lovasz,
}


def named(name: str) -> Loss:
    """Find a loss, or add several.

    Args:
        name: keys of `LOSSES`, joined by "+", as in "cross_entropy+dice".

    Returns:
        The sum of these losses, a function like each.

    Raises:
        UsageError: one of them is unknown.
    """
    unknown = [part for part in name.split("+") if part not in LOSSES]
    if unknown:
        raise errors.UsageError(
            f"`loss` names no loss {unknown[0]!r}. Received loss={name}.",
            f"Choose of {', '.join(LOSSES)}; several are joined by +.",
        )
    parts = [LOSSES[part] for part in name.split("+")]

    def total(labels, logits, *, class_weights=None, pixel_weights=None):
        weights = {"class_weights": class_weights, "pixel_weights": pixel_weights}
        return sum(part(labels, logits, **weights) for part in parts)

    return total


def of_outputs(
    loss: Loss,
    labels: keras.KerasTensor,
    outputs: Mapping[str, keras.KerasTensor],
    *,
    class_weights: keras.KerasTensor | None = None,
    pixel_weights: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
    """Add `AUXILIARY_WEIGHT` times the loss of each auxiliary head to a model's own.

    Args:
        loss: a function as those of `LOSSES`.
        labels: the classes.
        outputs: {"logits": float32 (batch, height, width, classes)}, and any auxiliary
            logits of that shape under names that begin with "auxiliary".
        class_weights: as the losses take them.
        pixel_weights: as the losses take them.

    Returns:
        float32 (batch,).
    """
    weights = {"class_weights": class_weights, "pixel_weights": pixel_weights}
    total = loss(labels, outputs["logits"], **weights)
    for name in outputs:
        if name.startswith("auxiliary"):
            total += AUXILIARY_WEIGHT * loss(labels, outputs[name], **weights)
    return total


def _overlap(of_classes, labels, logits, class_weights, pixel_weights):
    """Average an overlap loss of every class over those that a picture has.

    Classes count alike here however large they are; `class_weights` shift that mean.
    """
    num_classes = logits.shape[-1]
    if class_weights is None:
        class_weights = ops.ones(num_classes)
    weights = _weights(labels, None, pixel_weights)
    probabilities = ops.softmax(ops.cast(logits, "float32"), axis=-1)
    targets = ops.one_hot(_classes(labels), num_classes, dtype="float32")
    losses = of_classes(probabilities, targets, weights)
    return overlap_losses.mean_of_present(losses, targets, weights, class_weights)


def _surprisal(labels, logits):
    """Compute -ln p of the true class, float32 (batch, height, width)."""
    logits = ops.cast(logits, "float32")
    return ops.sparse_categorical_crossentropy(
        _classes(labels), logits, from_logits=True
    )


def _classes(labels):
    """Give ignored pixels a class that exists; their weight is 0."""
    labels = ops.cast(labels, "int32")
    return ops.where(labels == annotations.SEMANTIC_PADDING, 0, labels)


def _weights(labels, class_weights, pixel_weights):
    """Multiply what a pixel counts, float32 (batch, height, width)."""
    is_counted = ops.cast(labels, "int32") != annotations.SEMANTIC_PADDING
    weights = ops.cast(is_counted, "float32")
    if class_weights is not None:
        shares = ops.cast(class_weights, "float32")
        weights *= ops.take(shares, _classes(labels), axis=0)
    if pixel_weights is not None:
        weights *= ops.cast(pixel_weights, "float32")
    return weights


def _mean(values, labels):
    """Average over the pixels that are not ignored -> (batch,)."""
    counts = ops.sum(_weights(labels, None, None), axis=(1, 2))
    return ops.sum(values, axis=(1, 2)) / ops.maximum(counts, 1)
