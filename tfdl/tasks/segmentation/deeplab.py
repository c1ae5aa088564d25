"""DeepLab: dilated convolutions of several rates side by side [Chen 2017, Chen 2018].

Counting traps: torchvision's 42,004,074 parameters of DeepLabv3-ResNet-50 with 21
classes contain the auxiliary head; without it they are 39,638,869 (ResNet-101 with it:
60,996,202). DeepLabv3+ on ResNet-50 has 40,352,181 with dense convolutions, without an
auxiliary head; the paper's are separable. All are trainable parameters.
"""

from collections.abc import Sequence

import keras

from tfdl import errors
from tfdl.backbones import ends
from tfdl.layers import blocks, resizing
from tfdl.tasks.segmentation import heads, trunk

# By output stride: twice as far where maps are twice as fine, 2017, 3.3.
RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
CHANNELS = 256
LOW_LEVEL_CHANNELS = 48  # 2018, table 1
LOW_LEVEL_STRIDE = 4
DROPOUT = 0.5  # after the pyramid, torchvision's


def deeplabv3(
    image_shape: Sequence[int | None],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    upsampling: str = "bilinear",
    output_stride: int = 8,
    auxiliary: bool = True,
) -> keras.Model:
    """Build DeepLabv3 as torchvision does, on ResNet-50 or another backbone.

    Atrous spatial pyramid pooling on the last map, a 3 x 3 convolution, scores, which
    are stretched over the picture.

    Deviations from the paper: the last stage has one dilation rate, no multi-grid; the
    3 x 3 convolution before the scores and the auxiliary head are torchvision's.

    Args:
        image_shape: (height, width, channels); height and width may be None.
        num_classes: number of logits.
        backbone: None for ResNet-50, or a key of `BACKBONES` that has dilation.
        weights: of the backbone: "imagenet", a file, or None.
        width: factor on the number of channels.
        upsampling: of the scores, one of `heads.KINDS`.
        output_stride: of the last map: 8, or 16 or 32, which are faster.
        auxiliary: whether there is a second head on the map before the last stage.

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> {"logits",
        "auxiliary": float32 (batch, height, width, num_classes)}, the latter if asked
        for.

    Raises:
        UsageError: an argument is out of its range.

    Reference:
        Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation",
        2017, sections 3.2 and 3.3.
    """
    body = _body(backbone, image_shape, num_classes, output_stride, weights, width)
    *_, finer, x = body.features.values()
    channels = blocks.scaled(CHANNELS, width)
    x = pyramid_pooling(x, channels, RATES[output_stride])
    x = blocks.conv_norm_activation(x, channels, 3, name="head")
    x = heads.scores(x, num_classes)
    outputs = {
        "logits": heads.enlarged(
            x, body.image, upsampling, factor=output_stride, name="logits"
        )
    }
    if auxiliary:
        outputs["auxiliary"] = heads.auxiliary(finer, body.image, num_classes)
    return keras.Model(body.image, outputs, name=_name("deeplabv3", backbone))


def deeplabv3plus(
    image_shape: Sequence[int | None],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    upsampling: str = "bilinear",
    output_stride: int = 16,
    separable: bool = False,
) -> keras.Model:
    """Build DeepLabv3+, whose decoder joins the pyramid with the map of stride 4.

    Deviations from the paper: convolutions are dense by default, and the backbone is
    ResNet-50 by default, whose last stage has one dilation rate.

    Args:
        image_shape: (height, width, channels); height and width may be None.
        num_classes: number of logits.
        backbone: None for ResNet-50, or a key of `BACKBONES` that has dilation.
        weights: of the backbone: "imagenet", a file, or None.
        width: factor on the number of channels.
        upsampling: of the scores, one of `heads.KINDS`.
        output_stride: of the last map: 16, or 8, or 32, which is faster.
        separable: whether the 3 x 3 convolutions of pyramid and decoder are depthwise
            ones, each followed by one of 1 x 1 [Chen 2018, 3.1].

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> {"logits": float32
        (batch, height, width, num_classes)}.

    Raises:
        UsageError: an argument is out of its range.

    Reference:
        Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic
        Image Segmentation", 2018, section 3.
    """
    body = _body(backbone, image_shape, num_classes, output_stride, weights, width)
    trunk.check_strides(body, [LOW_LEVEL_STRIDE], backbone=backbone or "resnet50")
    channels = blocks.scaled(CHANNELS, width)
    x = list(body.features.values())[-1]
    x = pyramid_pooling(x, channels, RATES[output_stride], separable=separable)
    finer = blocks.conv_norm_activation(
        body.by_stride[LOW_LEVEL_STRIDE],
        blocks.scaled(LOW_LEVEL_CHANNELS, width),
        1,
        name="low_level",
    )
    x = resizing.resized(x, finer, name="decoder_enlarged")
    x = keras.layers.Concatenate(name="decoder_join")([finer, x])
    for number in (1, 2):
        x = _convolution(x, channels, separable=separable, name=f"decoder{number}")
    x = heads.scores(x, num_classes)
    x = heads.enlarged(
        x, body.image, upsampling, factor=LOW_LEVEL_STRIDE, name="logits"
    )
    name = _name("deeplabv3plus", backbone)
    return keras.Model(body.image, {"logits": x}, name=name)


def pyramid_pooling(
    x: keras.KerasTensor,
    channels: int,
    rates: Sequence[int],
    *,
    separable: bool = False,
) -> keras.KerasTensor:
    """Add atrous spatial pyramid pooling [Chen 2017, 3.3].

    A 1 x 1 convolution, a dilated 3 x 3 convolution for each rate and the average over
    the picture see the map side by side; a 1 x 1 convolution joins them.

    Args:
        x: float (batch, height, width, any channels).
        channels: of each branch, and of the output.
        rates: of dilation, in pixels of the map.
        separable: as of `deeplabv3plus`.

    Returns:
        float (batch, height, width, channels), after dropout.
    """
    branches = [blocks.conv_norm_activation(x, channels, 1, name="aspp_point")]
    for rate in rates:
        branches.append(
            _convolution(
                x,
                channels,
                dilation_rate=rate,
                separable=separable,
                name=f"aspp_rate{rate}",
            )
        )
    pooled = keras.layers.GlobalAveragePooling2D(
        keepdims=True,
        dtype="float32",  # a mean of many bfloat16 numbers loses digits
        name="aspp_pool",
    )(x)
    pooled = blocks.conv_norm_activation(pooled, channels, 1, name="aspp_image")
    branches.append(resizing.resized(pooled, x, name="aspp_image_enlarged"))
    x = keras.layers.Concatenate(name="aspp_join")(branches)
    x = blocks.conv_norm_activation(x, channels, 1, name="aspp")
    return heads.dropped(x, DROPOUT, name="aspp")


def _convolution(x, channels, *, dilation_rate=1, separable, name):
    """Add a 3 x 3 convolution, each channel by itself first if `separable`."""
    if not separable:
        return blocks.conv_norm_activation(
            x, channels, 3, dilation_rate=dilation_rate, name=name
        )
    x = blocks.depthwise_norm_activation(
        x, 3, dilation_rate=dilation_rate, name=f"{name}_depth"
    )
    return blocks.conv_norm_activation(x, channels, 1, name=f"{name}_point")


def _body(backbone, image_shape, num_classes, output_stride, weights, width):
    ends.check_classifier(num_classes)
    if output_stride not in RATES:
        raise errors.UsageError(
            "`output_stride` must be 8, 16 or 32. Received "
            f"output_stride={output_stride}.",
            "Choose one of these.",
        )
    return trunk.build(
        backbone or "resnet50",
        image_shape,
        weights=weights,
        width=width,
        output_stride=output_stride,
    )


def _name(model, backbone):
    return f"{model}_{backbone or 'resnet50'}"
