"""Wide residual networks, of CIFAR and of ImageNet [Zagoruyko 2016].

Counting traps: the counts (36,479,194 for WRN-28-10 with 10 classes) are of the
trainable parameters, moving averages not; no convolution has a bias. The width factor
widens all of CIFAR's stages, but in ImageNet's bottlenecks the 3 x 3 alone.
"""

import functools
from collections.abc import Sequence

import keras

from tfdl import errors
from tfdl.backbones import cifar_resnet, ends, resnet
from tfdl.layers import blocks, residual


def cifar_wide_resnet(
    depth: int,
    factor: int,
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
    """Build WRN-`depth`-`factor`: three stages of n pre-activated blocks.

    Feature maps: c1, c2, c3 (strides 1, 2, 4) with 16, 32, 64 times `factor` channels:
    the sum of each stage, normalised and rectified (by the norm of the next one's first
    block).

    Deviations from the paper: CIFAR-10's mean and deviation per channel, which the
    paper has for some sets, for all; stochastic depth, width, other norms and dilation
    are options. Channels are dropped before the norm that makes a feature map.

    `depth` is 6n + 4: 16, 28, 40. The other arguments are those of every backbone, see
    `tfdl.backbones`; but `dropout_rate` is that between a block's two convolutions, for
    which the paper has 0 or 0.3, and nothing is dropped before the dense layer;
    `output_stride`, of c3, may be 1, 2, or at least 4 for the natural 4.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", "c2", "c3"}.

    Reference:
        Zagoruyko and Komodakis, "Wide Residual Networks", 2016, table 1.
    """
    ends.check_output_stride(output_stride, (1, 2, 4, 8, 16, 32))
    ends.check_rate("dropout_rate", dropout_rate)
    inputs, x = ends.image_input(
        image_shape, mean=cifar_resnet.CIFAR_MEAN, std=cifar_resnet.CIFAR_STD
    )
    x = blocks.convolution(
        x, blocks.scaled(16, width), 3, use_bias=False, name="stem_conv"
    )
    features = _cifar_features(
        x,
        [blocks.scaled(channels * factor, width) for channels in cifar_resnet.CHANNELS],
        _blocks_per_stage(depth),
        output_stride=output_stride,
        norm=functools.partial(blocks.norm_activation, normalization=normalization),
        dropout_rate=dropout_rate,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
    )
    return ends.model(
        f"wrn_{depth}_{factor}",
        inputs,
        features,
        lambda: ends.classifier(ends.pooled(features["c3"]), num_classes),
        num_classes=num_classes,
        weights=weights,
    )


def wide_resnet(
    depth: int,
    factor: int,
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
    """Build a residual network of ImageNet with wider 3 x 3 convolutions.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 256, 512, 1024, 2048
    channels: c1 after the stem's activation, the others after the stages.

    Deviations from the paper: as for `resnet.resnet`.

    `depth` is 50, 101 or 152, `factor` 2. The other arguments are those of every
    backbone, see `tfdl.backbones`; `output_stride`, of c5, is 32, or 16 or 8 with
    dilation.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Zagoruyko and Komodakis, "Wide Residual Networks", 2016, table 8.
    """
    inputs, x = ends.image_input(
        image_shape, mean=resnet.IMAGENET_MEAN, std=resnet.IMAGENET_STD
    )
    features = resnet.feature_maps(
        x,
        resnet.NUM_BLOCKS[depth],
        functools.partial(residual.bottleneck, middle_factor=factor),
        width=width,
        output_stride=output_stride,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
        normalization=normalization,
    )
    return ends.model(
        f"wide_resnet{depth}_{factor}",
        inputs,
        features,
        lambda: ends.classifier(
            ends.pooled(features["c5"]), num_classes, dropout_rate=dropout_rate
        ),
        num_classes=num_classes,
        weights=weights,
    )


def _blocks_per_stage(depth):
    # A stem, three projections and three stages of n blocks with two convolutions each.
    num_blocks, rest = divmod(depth - 4, 6)
    if num_blocks < 1 or rest:
        raise errors.UsageError(
            f"`depth` must be 6n + 4. Received depth={depth}.",
            "Choose 16, 22, 28 or 40.",
        )
    return num_blocks


def _cifar_features(
    x,
    channels,
    num_blocks,
    *,
    output_stride,
    norm,
    dropout_rate,
    spatial_dropout_rate,
    drop_path_rate,
):
    drop_path_rates = iter(blocks.drop_path_rates(drop_path_rate, 3 * num_blocks))
    features = {}
    stages = blocks.atrous_stages((1, 2, 2), output_stride)
    for index, (strides, rates) in enumerate(stages):
        for block in range(num_blocks):
            name = f"c{index + 1}_block{block + 1}"
            activated = norm(x, name=f"{name}_1")
            if block == 0 and index > 0:
                features[f"c{index}"] = activated
            x = _residual(
                x,
                activated,
                channels[index],
                strides=strides if block == 0 else 1,
                dilation_rates=rates if block == 0 else rates[1:] * 2,
                norm=norm,
                dropout_rate=dropout_rate,
                drop_path_rate=next(drop_path_rates),
                name=name,
            )
        x = blocks.spatial_dropout(x, spatial_dropout_rate, name=f"c{index + 1}")
    features["c3"] = norm(x, name="last")
    return features


def _residual(
    x,
    activated,
    filters,
    *,
    strides,
    dilation_rates,
    norm,
    dropout_rate,
    drop_path_rate,
    name,
):
    """Add a branch that starts from `activated` to `x`, or to its projection."""
    options = {"use_bias": False, "strides": strides}
    shortcut = x
    if strides > 1 or x.shape[-1] != filters:
        shortcut = blocks.convolution(
            activated, filters, 1, name=f"{name}_shortcut_conv", **options
        )
    x = blocks.convolution(
        activated,
        filters,
        3,
        dilation_rate=dilation_rates[0],
        name=f"{name}_1_conv",
        **options,
    )
    x = norm(x, name=f"{name}_2")
    if dropout_rate:
        x = keras.layers.Dropout(dropout_rate, name=f"{name}_dropout")(x)
    x = blocks.convolution(
        x,
        filters,
        3,
        dilation_rate=dilation_rates[1],
        use_bias=False,
        name=f"{name}_2_conv",
    )
    return blocks.residual_sum(x, shortcut, drop_path_rate=drop_path_rate, name=name)
