"""The residual networks of CIFAR, with 6n + 2 layers [He 2016, 4.2].

Counting traps: the counts (269,722 for 20 layers and 10 classes) are of the trainable
parameters, norm scales and offsets included, moving averages not; and of shortcuts
without parameters (option A) - projections (option B) have more.
"""

from collections.abc import Sequence

import keras

from tfdl import errors
from tfdl.backbones import ends
from tfdl.layers import blocks

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
CHANNELS = (16, 32, 64)  # of the three stages


def cifar_resnet(
    depth: int,
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
    """Build a residual network for small pictures: three stages of n basic blocks.

    Feature maps: c1, c2, c3 (strides 1, 2, 4) with 16, 32, 64 channels, after the
    stages.

    Deviations from the paper: CIFAR-10's mean and deviation per channel instead of the
    mean picture; dropout, width, other norms and dilation are options.

    `depth` is 6n + 2: 20, 32, 44, 56, 110. The other arguments are those of every
    backbone, see `tfdl.backbones`; `output_stride`, of c3, may be 1, 2, or at least 4
    for the natural 4.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", "c2", "c3"}.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2016.
    """
    ends.check_output_stride(output_stride, (1, 2, 4, 8, 16, 32))
    num_blocks = _blocks_per_stage(depth)
    drop_path_rates = iter(blocks.drop_path_rates(drop_path_rate, 3 * num_blocks))
    inputs, x = ends.image_input(image_shape, mean=CIFAR_MEAN, std=CIFAR_STD)
    x = blocks.conv_norm_activation(
        x, blocks.scaled(16, width), 3, normalization=normalization, name="stem"
    )
    features = {}
    stages = blocks.atrous_stages((1, 2, 2), output_stride)
    for index, (strides, rates) in enumerate(stages):
        for block in range(num_blocks):
            x = _residual(
                x,
                blocks.scaled(CHANNELS[index], width),
                strides=strides if block == 0 else 1,
                dilation_rates=rates if block == 0 else (rates[1], rates[1]),
                normalization=normalization,
                drop_path_rate=next(drop_path_rates),
                name=f"c{index + 1}_block{block + 1}",
            )
        name = f"c{index + 1}"
        x = features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
    return ends.model(
        f"cifar_resnet{depth}",
        inputs,
        features,
        lambda: ends.classifier(ends.pooled(x), num_classes, dropout_rate=dropout_rate),
        num_classes=num_classes,
        weights=weights,
    )


def _blocks_per_stage(depth):
    # A stem, a dense layer and three stages of n blocks with two convolutions each.
    num_blocks, rest = divmod(depth - 2, 6)
    if num_blocks < 1 or rest:
        raise errors.UsageError(
            f"`depth` must be 6n + 2. Received depth={depth}.",
            "Choose 20, 32, 44, 56 or 110.",
        )
    return num_blocks


def _residual(x, filters, *, strides, name, **options):
    shortcut = _shortcut(x, filters, strides=strides, name=name)
    return blocks.basic_residual(
        x, shortcut, filters, strides=strides, name=name, **options
    )


def _shortcut(x, filters, *, strides, name):
    """Option A: every `strides`-th pixel, new channels filled with zeros."""
    if strides > 1:
        # A pooling over one pixel is subsampling.
        x = keras.layers.AveragePooling2D(1, strides, name=f"{name}_subsample")(x)
    missing = filters - x.shape[-1]
    if missing:
        x = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))
    return x
