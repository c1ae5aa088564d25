"""What a segmentation network ends with: a score of each class at every pixel."""

import math

import keras

from tfdl.backbones.weights import AUXILIARY, AUXILIARY_LAST, CLASSIFIER
from tfdl.layers import blocks, resizing, upsampling

# Of the first scores where features are about 1: the loss is 1 % over log(num_classes).
# Smaller ones, as a classifier's last layer has, kept a narrow U-Net from learning: all
# its features turned to the most frequent class, and were 0 at the pixels of others.
SPREAD = 0.15
CONVOLVED_DROPOUT = 0.1  # torchvision's
# Of scores; no pooling has found maxima of as many channels as there are classes.
KINDS = tuple(kind for kind in upsampling.KINDS if kind != "max_unpooling")


def scores(
    x: keras.KerasTensor,
    num_classes: int,
    *,
    kernel_size: int = 1,
    spread: float = SPREAD,
    name: str = CLASSIFIER,
) -> keras.KerasTensor:
    """Add the convolution that scores the classes, in float32 under every policy.

    Args:
        x: float (batch, height, width, channels).
        num_classes: number of scores.
        kernel_size: an odd number.
        spread: about the standard deviation of the first scores; smaller where nothing
            normalises `x`.
        name: of the layer.

    Returns:
        float32 (batch, height, width, num_classes).
    """
    deviation = spread / (kernel_size * math.sqrt(x.shape[-1]))
    return keras.layers.Conv2D(
        num_classes,
        kernel_size,
        padding="same",
        kernel_initializer=keras.initializers.RandomNormal(stddev=deviation),
        dtype="float32",
        name=name,
    )(x)


def enlarged(
    x: keras.KerasTensor,
    like: keras.KerasTensor,
    kind: str = "bilinear",
    *,
    factor: int,
    trainable: bool = True,
    name: str,
) -> keras.KerasTensor:
    """Enlarge scores to the size of a finer map, in float32 under every policy.

    Args:
        x: float32 (batch, height, width, classes).
        like: the finer map, or the picture, (batch, rows, columns, any channels).
        kind: one of `KINDS`. "bilinear" stretches the scores over all of `like`, as in
            torchvision; a transposed convolution starts as bilinear interpolation.
        factor: of the strides; of "bilinear" the sizes say it.
        trainable: whether a transposed convolution learns.
        name: of the layer.

    Returns:
        float32 (batch, rows, columns, classes).

    Raises:
        UsageError: there is no such kind.
    """
    upsampling.check_kind(kind, KINDS)
    options = {"dtype": "float32", "name": name}
    if kind == "bilinear":
        return resizing.resized(x, like, **options)
    options |= {"factor": factor, "like": like}
    x = resizing.covering(x, like, factor, name=name)
    if kind == "transposed_convolution":
        return upsampling.bilinear_convolution(x, trainable=trainable, **options)
    return upsampling.upsample(x, kind, filters=x.shape[-1], **options)


def convolved_scores(
    x: keras.KerasTensor, num_classes: int, *, prefix: str, name: str = CLASSIFIER
) -> keras.KerasTensor:
    """Add torchvision's head: a 3 x 3 convolution to a quarter of the channels, scores.

    Args:
        x: float (batch, height, width, channels).
        num_classes: number of scores.
        prefix: of the convolution's layers.
        name: of the layer that scores.

    Returns:
        float32 (batch, height, width, num_classes).
    """
    quarter = x.shape[-1] // 4
    x = blocks.conv_norm_activation(x, quarter, 3, name=prefix)
    x = dropped(x, CONVOLVED_DROPOUT, name=prefix)
    return scores(x, num_classes, name=name)


def auxiliary(
    x: keras.KerasTensor, image: keras.KerasTensor, num_classes: int
) -> keras.KerasTensor:
    """Add torchvision's second head, which only training needs [Zhao 2017, 3.4].

    Args:
        x: a map of the backbone before the last, float (batch, height, width,
            channels).
        image: float32 (batch, rows, columns, channels).
        num_classes: number of scores.

    Returns:
        float32 (batch, rows, columns, num_classes).
    """
    prefix = f"{AUXILIARY}1"
    name = f"{prefix}{AUXILIARY_LAST}"
    x = convolved_scores(x, num_classes, prefix=prefix, name=name)
    return resizing.resized(x, image, dtype="float32", name="auxiliary_enlarged")


def dropped(x: keras.KerasTensor, rate: float, *, name: str) -> keras.KerasTensor:
    """Add dropout `<name>_dropout`, none for a rate of 0."""
    return keras.layers.Dropout(rate, name=f"{name}_dropout")(x) if rate else x
