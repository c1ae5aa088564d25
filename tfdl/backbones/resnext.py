"""ResNeXt: residual networks with grouped convolutions [Xie 2017].

Counting traps: those of `resnet`; and of "101 layers" there are two, 32 x 4d of the
paper (44,177,704) and 32 x 8d (88,791,336).
"""

import functools
from collections.abc import Sequence

import keras

from tfdl.backbones import ends, resnet
from tfdl.layers import residual


def resnext(
    depth: int,
    cardinality: int,
    group_width: int,
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
    """Build a residual network whose 3 x 3 convolutions work in groups of channels.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 256, 512, 1024, 2048
    channels: c1 after the stem's activation, the others after the stages.

    Deviations from the paper: dropout, stochastic depth, width, other norms and
    dilation are options. A narrower network has as many groups, of fewer channels.

    `depth` is 50, 101 or 152; `cardinality` is the number of groups and `group_width`
    the channels of one in the first stage, 64 or a multiple together: 32 and 4, or 32
    and 8. The other arguments are those of every backbone, see `tfdl.backbones`;
    `output_stride`, of c5, is 32, or 16 or 8 with dilation.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Xie et al., "Aggregated Residual Transformations for Deep Neural Networks",
        2017, table 1 and figure 3c.
    """
    add_block = functools.partial(
        residual.bottleneck,
        groups=cardinality,
        middle_factor=cardinality * group_width // resnet.CHANNELS[0],
    )
    inputs, x = ends.image_input(
        image_shape, mean=resnet.IMAGENET_MEAN, std=resnet.IMAGENET_STD
    )
    features = resnet.feature_maps(
        x,
        resnet.NUM_BLOCKS[depth],
        add_block,
        width=width,
        output_stride=output_stride,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
        normalization=normalization,
    )
    return ends.model(
        f"resnext{depth}_{cardinality}x{group_width}d",
        inputs,
        features,
        lambda: ends.classifier(
            ends.pooled(features["c5"]), num_classes, dropout_rate=dropout_rate
        ),
        num_classes=num_classes,
        weights=weights,
    )
