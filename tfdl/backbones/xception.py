"""Xception: residual modules of separable convolutions, at 299 pixels [Chollet 2017].

Counting traps: the count (22,855,952 with 1000 classes) is of the trainable parameters,
norm scales and offsets included; moving averages add 54,528. The last module that
strides widens with its second convolution, the others with their first. No convolution
has a bias, and nothing, not even a norm, is between a separable convolution's halves.
"""

from collections.abc import Sequence

import keras

from tfdl.backbones import ends, imagenet
from tfdl.backbones.weights import CLASSIFIER
from tfdl.layers import blocks

MEAN = STD = (0.5, 0.5, 0.5)  # pictures in [-1, 1]
EPSILON = 1e-3  # of keras.applications
# Figure 5: the channels of each module's convolutions, by the module's number.
STEM = (32, 64)  # 1, of whole convolutions
RESIDUAL = {
    2: (128, 128),
    3: (256, 256),
    4: (728, 728),
    **dict.fromkeys(range(5, 13), (728, 728, 728)),
    13: (728, 1024),
}
TOP = (1536, 2048)  # 14
STRIDED = (2, 3, 4, 13)
# The last residual module of each stride.
LEVELS = {2: "c2", 3: "c3", 12: "c4"}
MIN_SIZE = 7  # pixels, for the stem's unpadded convolutions


def xception(
    image_shape: Sequence[int | None],
    num_classes: int | None = 1000,
    weights: str | None = None,
    width: float = 1.0,
    output_stride: int = 32,
    *,
    normalization: str = "batch",
    dropout_rate: float = 0.5,
    spatial_dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> keras.Model:
    """Build Xception with TensorFlow's padding: 14 modules, 12 of them residual.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 128, 256, 728, 2048
    channels, after the modules 1, 2, 3, 12, 14. c1 and c5 are rectified; c2, c3 and c4
    are sums, which are not. The first two convolutions do not pad: 147, 74, 37, 19, 10
    positions for 299 pixels and 109, 55, 28, 14, 7 for 224.

    Deviations from the paper: He initialisation; stochastic depth, dropout of channels,
    width and other norms are options.

    The arguments are those of every backbone, see `tfdl.backbones`; pictures have at
    least 7 pixels, `output_stride` is 32.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", 2017.
    """
    ends.check_output_stride(output_stride, (32,))
    ends.check_size(image_shape, MIN_SIZE, name="xception")
    drop_path_rates = iter(blocks.drop_path_rates(drop_path_rate, len(RESIDUAL)))
    norm = {"normalization": normalization, "epsilon": EPSILON}
    inputs, x = ends.image_input(image_shape, mean=MEAN, std=STD)
    features = {}

    def keep(x, name):
        features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
        return features[name]

    x = keep(_stem(x, width, **norm), "c1")
    for number, channels in RESIDUAL.items():
        x = _residual(
            x,
            [blocks.scaled(filters, width) for filters in channels],
            strides=2 if number in STRIDED else 1,
            is_rectified=number == 2,  # as the stem's output is
            drop_path_rate=next(drop_path_rates),
            name=f"block{number}",
            **norm,
        )
        if level := LEVELS.get(number):
            x = keep(x, level)
    for step, filters in enumerate(TOP, start=1):
        name = f"block14_{step}"
        x = _separable(x, blocks.scaled(filters, width), name=name, **norm)
        x = keras.layers.Activation("relu", name=f"{name}_relu")(x)
    x = keep(x, "c5")
    return ends.model(
        "xception",
        inputs,
        features,
        lambda: ends.classifier(ends.pooled(x), num_classes, dropout_rate=dropout_rate),
        num_classes=num_classes,
        weights=weights,
        published=published(),
    )


def published() -> imagenet.Published:
    """Return where keras.applications has the weights."""
    return imagenet.Published(
        keras.applications.Xception, _name_of, stem="block1_1_conv"
    )


def _name_of(name):
    """Map block5_2_norm to block5_sepconv2_bn; Keras counted the shortcuts' layers."""
    if name == CLASSIFIER:
        return "predictions"
    block, step, kind = name.split("_")
    number = int(block.removeprefix("block"))
    if step == "shortcut":
        counted = {"conv": "conv2d", "norm": "batch_normalization"}[kind]
        place = STRIDED.index(number)
        return f"{counted}_{place}" if place else counted
    convolution = "conv" if number == 1 else "sepconv"
    return f"{block}_{convolution}{step}" + ("_bn" if kind == "norm" else "")


def _stem(x, width, **norm):
    for step, filters in enumerate(STEM, start=1):
        x = blocks.conv_norm_activation(
            x,
            blocks.scaled(filters, width),
            3,
            strides=2 if step == 1 else 1,
            padding="valid",
            name=f"block1_{step}",
            **norm,
        )
    return x


def _residual(x, channels, *, strides, is_rectified, drop_path_rate, name, **norm):
    """Add rectified inputs' separable convolutions, pooled if `strides`, to `x`."""
    shortcut = x
    if strides > 1:
        shortcut = blocks.conv_norm_activation(
            x,
            channels[-1],
            1,
            strides=strides,
            padding="same",
            activation=None,
            name=f"{name}_shortcut",
            **norm,
        )
    for step, filters in enumerate(channels, start=1):
        if step > 1 or not is_rectified:
            x = keras.layers.Activation("relu", name=f"{name}_{step}_relu")(x)
        x = _separable(x, filters, name=f"{name}_{step}", **norm)
    if strides > 1:
        # Of values of any sign: "same" pads minus infinity, not zeros.
        x = blocks.max_pool(x, 3, strides, padding="same", name=f"{name}_pool")
    return blocks.residual_sum(x, shortcut, drop_path_rate=drop_path_rate, name=name)


def _separable(x, filters, *, name, **norm):
    """Convolve each channel, 3 x 3, then all, 1 x 1; then a norm [section 2]."""
    x = keras.layers.SeparableConv2D(
        filters,
        3,
        padding="same",
        use_bias=False,  # the normalisation has an offset
        # He's, but for the 2 in the first half, which no activation follows. What Keras
        # takes for the fan-in there counts all channels.
        depthwise_initializer=keras.initializers.VarianceScaling(1.0, "fan_out"),
        pointwise_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return blocks.norm_activation(x, activation=None, name=name, **norm)
