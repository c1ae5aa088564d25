"""How wrong is each number, before anything is summed?

The elements of losses that several models share. All return float32 of the elements'
shape, whatever they are given; weighing, summing and normalising are the model's.
"""

import keras
from keras import ops

from tfdl import errors


def binary_cross_entropy(
    logits: keras.KerasTensor, targets: keras.KerasTensor
) -> keras.KerasTensor:
    """Measure -t ln p - (1 - t) ln (1 - p) for p = sigmoid(logit), however large.

    Args:
        logits: float (...).
        targets: float (...) in [0, 1].

    Returns:
        float32 (...), not negative.
    """
    logits, targets = ops.cast(logits, "float32"), ops.cast(targets, "float32")
    return ops.binary_crossentropy(targets, logits, from_logits=True)


def sigmoid_focal(
    logits: keras.KerasTensor,
    targets: keras.KerasTensor,
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> keras.KerasTensor:
    """Measure binary cross-entropy that fades where the answer is right already.

    Args:
        logits: float (...).
        targets: float (...) in [0, 1]; between the two, what fades is the distance
            p (1 - t) + (1 - p) t, which is the paper's 1 - p_t at both ends.
        alpha: weight of target 1; that of target 0 is 1 - alpha.
        gamma: how fast it fades, not negative; 0 is weighted cross-entropy.

    Returns:
        float32 (...), not negative.

    Reference:
        Lin 2017, Focal Loss for Dense Object Detection, equation 5.
    """
    logits, targets = ops.cast(logits, "float32"), ops.cast(targets, "float32")
    wrong = ops.sigmoid(logits) * (1 - targets) + ops.sigmoid(-logits) * targets
    # The gradient of 0 ** gamma is not finite for gamma < 1.
    fading = ops.power(ops.maximum(wrong, keras.config.epsilon()), gamma)
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return weight * fading * binary_cross_entropy(logits, targets)


def distribution_focal(
    logits: keras.KerasTensor, targets: keras.KerasTensor
) -> keras.KerasTensor:
    """Measure a distribution over whole numbers against a number between two of them.

    It is the cross-entropy with a target that gives both neighbours a share, the
    nearer the more.

    Args:
        logits: float (..., bins), of the numbers 0 to bins - 1.
        targets: float (...) in [0, bins - 1]; what is outside is moved to the end.

    Returns:
        float32 (...), not negative.

    Reference:
        Li 2020, Generalized Focal Loss, equation 6.
    """
    logits, targets = ops.cast(logits, "float32"), ops.cast(targets, "float32")
    bins = logits.shape[-1]
    targets = ops.clip(targets, 0, bins - 1)[..., None]
    numbers = ops.arange(bins, dtype="float32")
    shares = ops.maximum(1 - ops.abs(numbers - targets), 0)  # (..., bins)
    return -ops.sum(shares * ops.log_softmax(logits, axis=-1), axis=-1)


def smooth_l1(
    differences: keras.KerasTensor, *, beta: float = 1.0
) -> keras.KerasTensor:
    """Measure differences, squared while small: e^2 / (2 beta), then |e| - beta / 2.

    Args:
        differences: float (...), prediction less target.
        beta: where the parabola becomes a line, positive.

    Returns:
        float32 (...), not negative.

    Raises:
        UsageError: `beta` is not positive.

    Reference:
        Girshick 2015, Fast R-CNN, equation 3 (beta 1).
    """
    if beta <= 0:
        raise errors.UsageError(
            f"`beta` must be positive. Received beta={beta}.",
            "Use a small one such as 1e-3 for nearly plain absolute differences.",
        )
    size = ops.abs(ops.cast(differences, "float32"))
    curved = ops.minimum(size, beta)
    return curved * curved / (2 * beta) + size - curved
