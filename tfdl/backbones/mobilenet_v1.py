"""MobileNet: a convolution split into one per channel and one per pixel [Howard 2017].

Counting traps: the counts (4,231,976 with 1000 classes, 1,331,592 at width 0.5, 470,072
at 0.25) are of the trainable parameters, norm scales and offsets included; moving
averages add 21,888. The convolutions have no biases, but for the classifier.
"""

import itertools
from collections.abc import Sequence

import keras

from tfdl.backbones import ends, imagenet
from tfdl.layers import blocks

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)  # pictures in [-1, 1]
EPSILON = 1e-3  # of keras.applications
# Table 1: the channels of each stage's blocks; a stage's first block has the stride.
CHANNELS = ((64,), (128, 128), (256, 256), (512,) * 6, (1024, 1024))


def mobilenet_v1(
    image_shape: Sequence[int | None],
    num_classes: int | None = 1000,
    weights: str | None = None,
    width: float = 1.0,
    output_stride: int = 32,
    *,
    normalization: str = "batch",
    dropout_rate: float = 0.001,
    spatial_dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> keras.Model:
    """Build MobileNet with TensorFlow's padding: a stem and 13 separable convolutions.

    With "same" padding a kernel with a stride looks to the right of its pixel if the
    size is even, and the dilated kernel is centred: with sizes that 32 divides, the
    dilated network holds the pixels of the strided one at [s - 1 :: s], s = 32 /
    output_stride, instead of [::s].

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 128, 256, 512, 1024
    channels, after the last block of each stride.

    Deviations from the paper: ReLU6 and a dropout of 0.001 as in the published weights;
    the last block, whose stride table 1 gives as 2, has 1; dropout, other norms and
    dilation are options.

    The arguments are those of every backbone, see `tfdl.backbones`; `output_stride`, of
    c5, is 32, or 16 or 8 with dilation; `drop_path_rate` is 0.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile
        Vision Applications", 2017.
    """
    ends.refuse_drop_path(drop_path_rate, name="mobilenet_v1")
    ends.check_output_stride(output_stride, (8, 16, 32))
    inputs, x = ends.image_input(image_shape, mean=MEAN, std=STD)
    options = {
        "normalization": normalization,
        "epsilon": EPSILON,
        "activation": "relu6",
        "padding": "same",
    }
    x = blocks.conv_norm_activation(
        x, blocks.scaled(32, width), 3, strides=2, name="stem", **options
    )
    features, numbers = {}, itertools.count(1)
    stages = blocks.atrous_stages((1, 2, 2, 2, 2), output_stride // 2)  # stem: stride 2
    for index, (strides, (first_rate, rate)) in enumerate(stages):
        for block, filters in enumerate(CHANNELS[index]):
            x = _separable(
                x,
                blocks.scaled(filters, width),
                strides=strides if block == 0 else 1,
                dilation_rate=first_rate if block == 0 else rate,
                name=f"block{next(numbers)}",
                **options,
            )
        name = f"c{index + 1}"
        x = features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
    return ends.model(
        "mobilenet_v1",
        inputs,
        features,
        lambda: ends.classifier(ends.pooled(x), num_classes, dropout_rate=dropout_rate),
        num_classes=num_classes,
        weights=weights,
        published=published(),
    )


def published() -> imagenet.Published:
    """Return where keras.applications has the weights."""
    return imagenet.Published(keras.applications.MobileNet, _name_of, stem="stem_conv")


def _name_of(name):
    fixed = {
        "stem_conv": "conv1",
        "stem_norm": "conv1_bn",
        "classifier": "conv_preds",  # a 1 x 1 convolution
    }
    if name in fixed:
        return fixed[name]
    block, part, kind = name.split("_")
    number = block.removeprefix("block")
    half = "dw" if part == "1" else "pw"
    return f"conv_{half}_{number}" + ("_bn" if kind == "norm" else "")


def _separable(x, filters, *, strides, dilation_rate, name, **options):
    """Add a 3 x 3 convolution of each channel, then a 1 x 1 one [figure 3 right]."""
    x = blocks.depthwise_norm_activation(
        x,
        3,
        strides=strides,
        dilation_rate=dilation_rate,
        name=f"{name}_1",
        **options,
    )
    return blocks.conv_norm_activation(x, filters, 1, name=f"{name}_2", **options)
