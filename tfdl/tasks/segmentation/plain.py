"""The first ideas: a network that never shrinks the picture, a classifier that slides.

Both answer for every pixel at the picture's own resolution, which is what makes them
slow: the others exist because of that.
"""

from collections.abc import Sequence

import keras

from tfdl.backbones import ends
from tfdl.layers import blocks
from tfdl.tasks.segmentation import heads, margins

MEAN, STD = (0.5,) * 3, (0.25,) * 3  # of no data set; values are about one
PLAIN_CHANNELS = (64,) * 6  # of the 3 x 3 convolutions; a pixel sees 13 x 13
PATCH_SIZE = 33  # pixels that the classifier of patches sees
# Its convolutions: channels, rows and columns of the kernel, stride. The last is the
# dense layer over what the strides have left of a patch.
PATCH_LAYERS = (
    (16, 3, 1),
    (32, 3, 2),
    (32, 3, 1),
    (64, 3, 2),
    (64, 3, 1),
    (128, 4, 1),
)


def plain(
    image_shape: Sequence[int | None], num_classes: int, *, width: float = 1.0
) -> keras.Model:
    """Build a stack of 3 x 3 convolutions without any downsampling.

    Args:
        image_shape: (height, width, channels); height and width may be None.
        num_classes: number of logits.
        width: factor on the number of channels.

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> {"logits": float32
        (batch, height, width, num_classes)}.

    Raises:
        UsageError: an argument is out of its range.
    """
    ends.check_classifier(num_classes)
    image, x = ends.image_input(image_shape, mean=MEAN, std=STD)
    for number, channels in enumerate(PLAIN_CHANNELS, start=1):
        filters = blocks.scaled(channels, width)
        x = blocks.conv_norm_activation(x, filters, 3, name=f"conv{number}")
    outputs = {"logits": heads.scores(x, num_classes)}
    return keras.Model(image, outputs, name="plain")


def classifier(
    num_classes: int, *, channels: int = 3, width: float = 1.0
) -> keras.Model:
    """Build a classifier of patches: of which class is the pixel in the middle?

    Args:
        num_classes: number of logits.
        channels: of the picture.
        width: factor on the number of channels.

    Returns:
        patch, float32 (batch, 33, 33, channels) in [0, 1] -> logits, float32 (batch,
        num_classes). Its weights are those of `patch_classifier`.

    Raises:
        UsageError: an argument is out of its range.

    Reference:
        Ciresan et al., "Deep Neural Networks Segment Neuronal Membranes in Electron
        Microscopy Images", 2012, section 2; strides take the place of its poolings.
    """
    ends.check_classifier(num_classes)
    shape = (PATCH_SIZE, PATCH_SIZE, channels)
    patch, x = ends.image_input(shape, mean=MEAN, std=STD)
    x = heads.scores(_convolutions(x, width, max_stride=4), num_classes)
    x = keras.layers.Reshape((num_classes,), dtype="float32", name="of_the_middle")(x)
    return keras.Model(patch, x, name="classifier")


def patch_classifier(
    image_shape: Sequence[int | None], num_classes: int, *, width: float = 1.0
) -> keras.Model:
    """Build the network that asks `classifier` about the patch around every pixel.

    What neighbouring patches share is computed once: the strides become dilations, with
    which the answers stay the same [Sermanet 2013, 3.5; Chen 2017]. Beyond the edges
    the picture is mirrored [Ciresan 2012, 2].

    Args:
        image_shape: (height, width, channels); height and width may be None.
        num_classes: number of logits.
        width: factor on the number of channels.

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> {"logits": float32
        (batch, height, width, num_classes)}.

    Raises:
        UsageError: an argument is out of its range.
    """
    ends.check_classifier(num_classes)
    image, x = ends.image_input(image_shape, mean=MEAN, std=STD)
    mirrored = margins.MirroredMargins2D(
        PATCH_SIZE // 2, dtype="float32", name="margins"
    )
    x = _convolutions(mirrored(x), width, max_stride=1)
    outputs = {"logits": heads.scores(x, num_classes)}
    return keras.Model(image, outputs, name="patch_classifier")


def _convolutions(x, width, *, max_stride):
    """Add the layers of a patch, strides beyond `max_stride` as dilations."""
    stages = blocks.atrous_stages(
        [strides for _, _, strides in PATCH_LAYERS], max_stride
    )
    for number, (layer, stage) in enumerate(zip(PATCH_LAYERS, stages, strict=True)):
        channels, kernel_size, _ = layer
        strides, (dilation_rate, _) = stage
        x = blocks.conv_norm_activation(
            x,
            blocks.scaled(channels, width),
            kernel_size,
            strides=strides,
            dilation_rate=dilation_rate,
            padding="valid",
            name=f"conv{number + 1}",
        )
    return x
