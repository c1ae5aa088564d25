"""MobileNetV2: residual blocks that are narrow outside and wide inside [Sandler 2018].

Counting traps: the count (3,504,872 with 1000 classes) is of the trainable parameters,
norm scales and offsets included; moving averages add 34,112. Channels are rounded to
multiples of 8, and the last convolution keeps its 1280 below the full width. The first
block has no expansion.
"""

import itertools
from collections.abc import Sequence

import keras

from tfdl.backbones import ends, imagenet
from tfdl.layers import blocks

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)  # pictures in [-1, 1]
EPSILON = 1e-3  # of keras.applications
# Table 2: (expansion, channels) of each stage's blocks; a stage's first block has the
# stride.
STAGES = (
    ((1, 16),),
    ((6, 24),) * 2,
    ((6, 32),) * 3,
    ((6, 64),) * 4 + ((6, 96),) * 3,
    ((6, 160),) * 3 + ((6, 320),),
)
TOP_CHANNELS = 1280
DIVISOR = 8  # of the channels


def mobilenet_v2(
    image_shape: Sequence[int | None],
    num_classes: int | None = 1000,
    weights: str | None = None,
    width: float = 1.0,
    output_stride: int = 32,
    *,
    normalization: str = "batch",
    dropout_rate: float = 0.0,
    spatial_dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> keras.Model:
    """Build MobileNetV2 with TensorFlow's padding: a stem, 17 blocks, a convolution.

    Where the dilated network holds the pixels of the strided one, `mobilenet_v1` tells.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 16, 24, 32, 96, 1280 channels:
    c1 to c4 the last block's output of each stride, which has no activation, c5 after
    the last convolution's activation.

    Deviations from the paper: dropout, paths dropped, other norms and dilation are
    options.

    The arguments are those of every backbone, see `tfdl.backbones`; `output_stride`, of
    c5, is 32, or 16 or 8 with dilation.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018.
    """
    ends.check_output_stride(output_stride, (8, 16, 32))
    inputs, x = ends.image_input(image_shape, mean=MEAN, std=STD)
    features = _features(
        x,
        width,
        output_stride=output_stride,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
        normalization=normalization,
        epsilon=EPSILON,
        padding="same",
    )
    return ends.model(
        "mobilenet_v2",
        inputs,
        features,
        lambda: ends.classifier(
            ends.pooled(features["c5"]), num_classes, dropout_rate=dropout_rate
        ),
        num_classes=num_classes,
        weights=weights,
        published=published(),
    )


def rounded_channels(channels: int, width: float) -> int:
    """Scale a number of channels to a multiple of 8, as the authors' programs do.

    Args:
        channels: at width 1.
        width: factor, positive.

    Returns:
        The multiple of 8 next to `width` times `channels`, or the one above where that
        would lose more than a tenth; at least 8.

    Raises:
        errors.UsageError: if `width` is not positive.
    """
    rounded = blocks.scaled(channels, width, divisor=DIVISOR)
    exact = channels * width
    # A half goes up; Python rounds it to the even number.
    if rounded < 0.9 * exact or exact - rounded == DIVISOR / 2:
        rounded += DIVISOR
    return rounded


def published() -> imagenet.Published:
    """Return where keras.applications has the weights."""
    return imagenet.Published(
        keras.applications.MobileNetV2, _name_of, stem="stem_conv"
    )


def _name_of(name):
    fixed = {
        "stem_conv": "Conv1",
        "stem_norm": "bn_Conv1",
        "top_conv": "Conv_1",
        "top_norm": "Conv_1_bn",
        "classifier": "predictions",
    }
    if name in fixed:
        return fixed[name]
    block, _, layer = name.partition("_")
    number = block.removeprefix("block")
    prefix = f"block_{number}" if number != "0" else "expanded_conv"
    layer = {
        "expand_conv": "expand",
        "expand_norm": "expand_BN",
        "norm": "depthwise_BN",
        "project_conv": "project",
        "project_norm": "project_BN",
    }.get(layer, layer)
    return f"{prefix}_{layer}"


def _features(
    x, width, *, output_stride, spatial_dropout_rate, drop_path_rate, **options
):
    drop_path_rates = iter(
        blocks.drop_path_rates(drop_path_rate, sum(map(len, STAGES)))
    )
    x = blocks.conv_norm_activation(
        x,
        rounded_channels(32, width),
        3,
        strides=2,
        activation="relu6",
        name="stem",
        **options,
    )
    features, numbers = {}, itertools.count()
    stages = blocks.atrous_stages((1, 2, 2, 2, 2), output_stride // 2)  # stem: stride 2
    for index, (strides, (first_rate, rate)) in enumerate(stages):
        for block, (expansion, channels) in enumerate(STAGES[index]):
            x = _inverted_residual(
                x,
                rounded_channels(channels, width),
                expansion=expansion,
                strides=strides if block == 0 else 1,
                dilation_rate=first_rate if block == 0 else rate,
                # A stage that lost its stride to dilation computes the same.
                may_be_residual=block > 0 or index == 0,
                drop_path_rate=next(drop_path_rates),
                name=f"block{next(numbers)}",
                **options,
            )
        name = f"c{index + 1}"
        if name == "c5":
            filters = rounded_channels(TOP_CHANNELS, max(1.0, width))
            x = blocks.conv_norm_activation(
                x, filters, 1, activation="relu6", name="top", **options
            )
        x = features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
    return features


def _inverted_residual(
    x,
    filters,
    *,
    expansion,
    strides,
    dilation_rate,
    may_be_residual,
    drop_path_rate,
    name,
    **options,
):
    """Expand, convolve each channel, project without activation [section 3.3]."""
    shortcut = x
    if expansion > 1:
        x = blocks.conv_norm_activation(
            x,
            expansion * x.shape[-1],
            1,
            activation="relu6",
            name=f"{name}_expand",
            **options,
        )
    x = blocks.depthwise_norm_activation(
        x,
        3,
        strides=strides,
        dilation_rate=dilation_rate,
        activation="relu6",
        name=name,
        **options,
    )
    x = blocks.conv_norm_activation(
        x, filters, 1, activation=None, name=f"{name}_project", **options
    )
    if not may_be_residual or x.shape[-1] != shortcut.shape[-1]:
        return x
    return blocks.residual_sum(x, shortcut, drop_path_rate=drop_path_rate, name=name)
