"""SegNet: a decoder that mirrors VGG16, and remembers where its maxima were.

Counting traps: 29,449,932 parameters with 12 classes (117 MB, table 6 of the paper) are
the trainable ones; all 26 convolutions have a bias, all but the last a norm as well.
"""

from collections.abc import Sequence

import keras

from tfdl import errors
from tfdl.backbones import BACKBONES, ends, vgg
from tfdl.layers import blocks, unpooling, upsampling as upsampling_layers
from tfdl.tasks.segmentation import heads

ENCODERS = {  # and their convolutions in each of the five stages
    f"vgg{depth}{suffix}": numbers
    for suffix in ("_bn", "")
    for depth, numbers in vgg.NUM_CONVOLUTIONS.items()
}


def segnet(
    image_shape: Sequence[int | None],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    upsampling: str = "max_unpooling",
) -> keras.Model:
    """Build SegNet on VGG16's 13 convolutions with batch norm, or on another VGG.

    Each of the five poolings has an unpooling that puts values back where the maxima
    were, and as many convolutions after it as there were before the pooling.

    Deviations from the paper: He initialisation, and a small one of the last layer.
    Other depths and upsamplings are options, and so is an encoder without norms, which
    ImageNet's published weights of "vgg16" fit.

    Args:
        image_shape: (height, width, channels); height and width may be None.
        num_classes: number of logits.
        backbone: None for "vgg16_bn", or another of `ENCODERS`.
        weights: of the backbone: "imagenet" where there are some, a file, or None.
        width: factor on the number of channels.
        upsampling: one of `upsampling.KINDS`.

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> {"logits": float32
        (batch, height, width, num_classes)}.

    Raises:
        UsageError: an argument is out of its range.

    Reference:
        Badrinarayanan et al., "SegNet: A Deep Convolutional Encoder-Decoder
        Architecture for Image Segmentation", 2017, section 3.
    """
    ends.check_classifier(num_classes)
    backbone = backbone or "vgg16_bn"
    if backbone not in ENCODERS:
        raise errors.UsageError(
            f"`backbone` must be a VGG for segnet. Received backbone={backbone!r}.",
            f"Choose one of {', '.join(ENCODERS)}.",
        )
    encoder = BACKBONES[backbone](image_shape, None, weights, width)
    x = encoder.output["c5"]
    for stage, number in reversed(list(enumerate(ENCODERS[backbone], start=1))):
        pooled = encoder.get_layer(f"conv{stage}_{number}").output
        _, places = unpooling.IndexedMaxPooling2D(name=f"places{stage}")(pooled)
        x = upsampling_layers.upsample(
            x,
            upsampling,
            filters=x.shape[-1],
            like=pooled,
            places=places,
            name=f"unpool{stage}",
        )
        x = _convolutions(x, stage, number, width=width)
    logits = heads.scores(x, num_classes, kernel_size=3)
    return keras.Model(encoder.input, {"logits": logits}, name=f"segnet_{backbone}")


def _convolutions(x, stage, number, *, width):
    """Mirror a stage of the encoder; in the first one the scores are the last."""
    filters = [vgg.CHANNELS[stage - 1]] * (number - 1)
    if stage > 1:
        filters.append(vgg.CHANNELS[stage - 2])
    for position, channels in enumerate(filters, start=1):
        x = blocks.conv_norm_activation(
            x,
            blocks.scaled(channels, width),
            3,
            use_bias=True,
            name=f"decoder{stage}_{position}",
        )
    return x
