"""How badly do soft regions cover true ones?

Each class is a plane of its own, whose pixels are summed before anything is divided, so
that a class of few pixels counts as much as one of many. The planes are the classes of
a softmax, or the only one of a sigmoid. All return float32, whatever they are given.
"""

import keras
from keras import ops

# Less than the weight of any pixel, and its square is not yet 0 in float32.
_NOTHING = 1e-15


def tversky(
    probabilities: keras.KerasTensor,
    targets: keras.KerasTensor,
    weights: keras.KerasTensor,
    *,
    false_positive_weight: float,
    false_negative_weight: float,
) -> keras.KerasTensor:
    """Measure 1 - TP / (TP + a FP + b FN) of sums over the pixels.

    Args:
        probabilities: float (batch, ..., classes) in [0, 1].
        targets: float (batch, ..., classes) in [0, 1].
        weights: float (batch, ...), of the pixels, not negative; 0 leaves one out.
        false_positive_weight: a, not negative.
        false_negative_weight: b, not negative.

    Returns:
        float32 (batch, classes) in [0, 1]; 0 where there is nothing to divide by. A
        class that has no target costs 1 and has no slope, whatever is predicted.

    Reference:
        Salehi et al., "Tversky Loss Function for Image Segmentation Using 3D Fully
        Convolutional Deep Networks", 2017, equation 3.
    """
    probabilities, targets, weights = _float32(probabilities, targets, weights)
    weighted = targets * weights[..., None]
    hits = _over_pixels(probabilities * weighted)
    alarms = _over_pixels(probabilities * weights[..., None]) - hits
    misses = _over_pixels(weighted) - hits
    errors = false_positive_weight * alarms + false_negative_weight * misses
    whole = hits + errors
    index = hits / ops.maximum(whole, _NOTHING)
    return ops.where(whole > _NOTHING, 1 - index, 0.0)


def dice(
    probabilities: keras.KerasTensor,
    targets: keras.KerasTensor,
    weights: keras.KerasTensor,
) -> keras.KerasTensor:
    """Measure 1 - 2 sum(p t) / (sum(p) + sum(t)).

    Deviation from the paper: it squares p and t in the denominator, which is the same
    where p is 0 or 1.

    The arguments and the result are those of `tversky`, which this is with a = b = 1/2.

    Reference:
        Milletari et al., "V-Net: Fully Convolutional Neural Networks for Volumetric
        Medical Image Segmentation", 2016, section 3.
    """
    return tversky(
        probabilities,
        targets,
        weights,
        false_positive_weight=0.5,
        false_negative_weight=0.5,
    )


def jaccard(
    probabilities: keras.KerasTensor,
    targets: keras.KerasTensor,
    weights: keras.KerasTensor,
) -> keras.KerasTensor:
    """Measure 1 - sum(p t) / (sum(p) + sum(t) - sum(p t)).

    The arguments and the result are those of `tversky`, which this is with a = b = 1.
    """
    return tversky(
        probabilities,
        targets,
        weights,
        false_positive_weight=1.0,
        false_negative_weight=1.0,
    )


def lovasz(
    probabilities: keras.KerasTensor,
    targets: keras.KerasTensor,
    weights: keras.KerasTensor,
) -> keras.KerasTensor:
    """Extend 1 - IoU from hard answers to soft ones, convex in the errors of pixels.

    Pixels are added in the order of their errors, the largest first; each counts its
    error times what it adds to 1 - IoU. That is the Lovász extension, by which the loss
    at hard answers is 1 - IoU itself. What a pixel adds is written out rather than
    taken as a difference, of which float32 would leave one digit at a million pixels;
    weights make it the extension of the weighted IoU.

    Args:
        probabilities: float (batch, ..., classes) in [0, 1].
        targets: float (batch, ..., classes) of 0 and 1.
        weights: float (batch, ...), of the pixels, not negative; 0 leaves one out.

    Returns:
        float32 (batch, classes) in [0, 1]. Without a target it is the largest error.

    Reference:
        Berman et al., "The Lovász-Softmax Loss", 2018, equations 8 and 9.
    """
    tensors = _float32(probabilities, targets, weights[..., None])
    probabilities, targets, weights = map(_planes, tensors)
    errors = ops.abs(targets - probabilities)
    order = ops.argsort(-errors, axis=-1)
    errors = ops.take_along_axis(errors, order, axis=-1)
    inside = ops.take_along_axis(targets * weights, order, axis=-1)
    outside = ops.take_along_axis((1 - targets) * weights, order, axis=-1)
    gains = ops.stop_gradient(_gains(inside, outside))
    return ops.sum(errors * gains, axis=-1)


def mean_of_present(
    losses: keras.KerasTensor,
    targets: keras.KerasTensor,
    weights: keras.KerasTensor,
    class_weights: keras.KerasTensor,
) -> keras.KerasTensor:
    """Average over the classes that a picture has.

    Overlap with a class that it has not is 0 however little of it is predicted, and
    tells nothing [Berman 2018]; what is wrongly taken for it is missed by
    those that are there.

    Args:
        losses: float32 (batch, classes).
        targets: float (batch, ..., classes) in [0, 1].
        weights: float (batch, ...), of the pixels, not negative.
        class_weights: float (classes,), not negative.

    Returns:
        float32 (batch,); 0 where a picture has no class.
    """
    targets, weights, shares = _float32(targets, weights, class_weights)
    is_present = _over_pixels(targets * weights[..., None]) > 0
    shares = ops.where(is_present, shares, 0.0)
    total = ops.maximum(ops.sum(shares, axis=-1), _NOTHING)
    return ops.sum(losses * shares, axis=-1) / total


def _gains(inside, outside):
    """Tell what each pixel in turn adds to 1 - (whole - missed) / (whole + alarms)."""
    whole = ops.maximum(ops.sum(inside, axis=-1, keepdims=True), _NOTHING)
    union = whole + ops.cumsum(outside, axis=-1)
    union_before = ops.maximum(union - outside, _NOTHING)
    found = ops.maximum(whole - ops.cumsum(inside, axis=-1), 0)
    return inside / union + outside * found / (union_before * union)


def _planes(tensor):
    """Bring classes before the pixels, which become one axis."""
    batch, classes = ops.shape(tensor)[0], tensor.shape[-1]
    flat = ops.reshape(tensor, (batch, -1, classes))
    return ops.transpose(flat, (0, 2, 1))  # (batch, classes, pixels)


def _over_pixels(tensor):
    return ops.sum(tensor, axis=tuple(range(1, len(tensor.shape) - 1)))


def _float32(*tensors):
    return [ops.cast(tensor, "float32") for tensor in tensors]
