"""EfficientNet: depth, width and resolution grow together, B0 to B7 [Tan 2019].

Counting traps: the counts (5,288,548 for B0, 7,794,184 for B1, 1000 classes) are of the
trainable parameters, norm scales and offsets included. With moving averages B0 has
5,330,564: keras.applications counts 7 more, mean, variance and count of the layer that
normalises its picture. Squeeze-and-excitation has biases, other convolutions have none.
The squeezed channels are a quarter of the block's input, not of the expanded maps.
"""

import itertools
import math
from collections.abc import Sequence

import keras
import numpy as np

from tfdl.backbones import ends, imagenet, mobilenet_v2
from tfdl.layers import blocks

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EPSILON = 1e-3  # of the authors' program
# Table 1: (kernel, blocks, channels, expansion) of the stages of each stride.
STAGES = (
    ((3, 1, 16, 1),),
    ((3, 2, 24, 6),),
    ((5, 2, 40, 6),),
    ((3, 3, 80, 6), (5, 3, 112, 6)),
    ((5, 4, 192, 6), (3, 1, 320, 6)),
)
STEM_CHANNELS, TOP_CHANNELS = 32, 1280
SQUEEZE_RATE = 0.25
# Factors on B0's width and depth, for each variant.
SCALES = (
    (1.0, 1.0),
    (1.0, 1.1),
    (1.1, 1.2),
    (1.2, 1.4),
    (1.4, 1.8),
    (1.6, 2.2),
    (1.8, 2.6),
    (2.0, 3.1),
)
_BUILDS = (
    keras.applications.EfficientNetB0,
    keras.applications.EfficientNetB1,
    keras.applications.EfficientNetB2,
    keras.applications.EfficientNetB3,
    keras.applications.EfficientNetB4,
    keras.applications.EfficientNetB5,
    keras.applications.EfficientNetB6,
    keras.applications.EfficientNetB7,
)


def efficientnet(
    variant: int,
    image_shape: Sequence[int | None],
    num_classes: int | None = 1000,
    weights: str | None = None,
    width: float = 1.0,
    output_stride: int = 32,
    *,
    normalization: str = "batch",
    dropout_rate: float = 0.2,
    spatial_dropout_rate: float = 0.0,
    drop_path_rate: float = 0.2,
) -> keras.Model:
    """Build an EfficientNet with TensorFlow's padding: mobile blocks that weigh maps.

    The published resolutions of B0 to B7 are 224, 240, 260, 300, 380, 456, 528, 600
    pixels, their dropout rates 0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5, which are the
    defaults in `tfdl.backbones`; that of this function is B0's.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32), for B0 with 16, 24, 40, 112, 1280
    channels: c1 to c4 the last block's output of each stride, which has no activation,
    c5 after the last convolution's activation.

    Deviations from the paper: the rate of dropped paths is `drop_path_rate` times a
    block's index by the number of blocks, so that the last block stays below it, as in
    the authors' program; width and other norms are options.

    `variant` is 0 to 7. The other arguments are those of every backbone, see
    `tfdl.backbones`; `width` is a factor on the variant's, and channels are rounded to
    multiples of 8; `output_stride` is 32.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
        Networks", 2019; Hu et al., "Squeeze-and-Excitation Networks", 2018.
    """
    ends.check_output_stride(output_stride, (32,))
    width, depth = width * SCALES[variant][0], SCALES[variant][1]
    inputs, x = ends.image_input(image_shape, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    features = _features(
        x,
        width,
        depth,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
        normalization=normalization,
        epsilon=EPSILON,
        padding="same",
        activation="silu",
    )
    return ends.model(
        f"efficientnet_b{variant}",
        inputs,
        features,
        lambda: ends.classifier(
            ends.pooled(features["c5"]), num_classes, dropout_rate=dropout_rate
        ),
        num_classes=num_classes,
        weights=weights,
        published=published(variant),
    )


def published(variant: int) -> imagenet.Published:
    """Return where keras.applications has the weights."""
    return imagenet.Published(
        _BUILDS[variant], _name_of, stem="stem_conv", input_scale=_input_scale
    )


def _input_scale(theirs):
    """Divide what we multiply the picture by through what their first layers do.

    They take 255 times the picture, rescale it, normalise it and, with weights=
    "imagenet" only, rescale it once more. The mean is the same.
    """
    factor = np.full(3, 255.0)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.Rescaling):
            factor = factor * np.array(layer.scale)
        elif isinstance(layer, keras.layers.Normalization):
            _, variance, _ = layer.get_weights()
            factor = factor / np.sqrt(variance)
    return 1 / (factor * IMAGENET_STD)


def _name_of(name):
    fixed = {"stem_norm": "stem_bn", "top_norm": "top_bn", "classifier": "predictions"}
    if not name.startswith("stage"):
        return fixed.get(name, name)
    stage, block, layer = name.split("_", 2)
    letter = "abcdefghijklmnopqrstuvwxyz"[int(block.removeprefix("block")) - 1]
    layer = layer.replace("norm", "bn").replace("depthwise", "dwconv")
    layer = layer.replace("squeeze", "se_reduce").replace("excite", "se_expand")
    return f"block{stage.removeprefix('stage')}{letter}_{layer}"


def _features(x, width, depth, *, spatial_dropout_rate, drop_path_rate, **options):
    rates = iter(_drop_path_rates(drop_path_rate, depth))
    x = blocks.conv_norm_activation(
        x,
        mobilenet_v2.rounded_channels(STEM_CHANNELS, width),
        3,
        strides=2,
        name="stem",
        **options,
    )
    features, numbers = {}, itertools.count(1)
    for index, stages in enumerate(STAGES):
        name = f"c{index + 1}"
        for place, stage in enumerate(stages):
            strides = 2 if index > 0 and place == 0 else 1
            prefix = f"stage{next(numbers)}"
            x = _stage(
                x,
                stage,
                width=width,
                depth=depth,
                strides=strides,
                drop_path_rates=rates,
                name=prefix,
                **options,
            )
        if name == "c5":
            filters = mobilenet_v2.rounded_channels(TOP_CHANNELS, width)
            x = blocks.conv_norm_activation(x, filters, 1, name="top", **options)
        x = features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
    return features


def _num_blocks(blocks_in_b0, depth):
    return math.ceil(depth * blocks_in_b0)


def _drop_path_rates(rate, depth):
    num_blocks = sum(
        _num_blocks(number, depth) for stages in STAGES for _, number, _, _ in stages
    )
    return [0.0, *blocks.drop_path_rates(rate, num_blocks)[:-1]]


def _stage(x, stage, *, width, depth, strides, drop_path_rates, name, **options):
    kernel_size, number, channels, expansion = stage
    for block in range(_num_blocks(number, depth)):
        x = _mobile_block(
            x,
            mobilenet_v2.rounded_channels(channels, width),
            kernel_size=kernel_size,
            expansion=expansion,
            strides=strides if block == 0 else 1,
            drop_path_rate=next(drop_path_rates),
            name=f"{name}_block{block + 1}",
            **options,
        )
    return x


def _mobile_block(
    x,
    filters,
    *,
    kernel_size,
    expansion,
    strides,
    drop_path_rate,
    activation,
    name,
    **options,
):
    """Add MobileNetV2's block with squeeze-and-excitation of the wide maps."""
    shortcut = x
    if expansion > 1:
        x = blocks.conv_norm_activation(
            x,
            expansion * x.shape[-1],
            1,
            activation=activation,
            name=f"{name}_expand",
            **options,
        )
    x = blocks.depthwise_norm_activation(
        x, kernel_size, strides=strides, activation=activation, name=name, **options
    )
    squeezed = max(1, int(SQUEEZE_RATE * shortcut.shape[-1]))
    x = _squeeze_excite(x, squeezed, activation=activation, name=name)
    x = blocks.conv_norm_activation(
        x, filters, 1, activation=None, name=f"{name}_project", **options
    )
    if strides > 1 or x.shape[-1] != shortcut.shape[-1]:
        return x
    return blocks.residual_sum(x, shortcut, drop_path_rate=drop_path_rate, name=name)


def _squeeze_excite(x, squeezed, *, activation, name):
    """Weigh each map by what all maps are on average [Hu 2018]."""
    # Dense layers are the same function as the authors' convolutions of one pixel, and
    # faster: a tenth of a training step of B0 on a CPU.
    channels = x.shape[-1]
    weight = keras.layers.GlobalAveragePooling2D(dtype="float32", name=f"{name}_pool")(
        x
    )
    weight = keras.layers.Dense(
        squeezed,
        activation=activation,
        kernel_initializer="he_normal",
        name=f"{name}_squeeze",
    )(weight)
    weight = keras.layers.Dense(channels, activation="sigmoid", name=f"{name}_excite")(
        weight
    )
    weight = keras.layers.Reshape((1, 1, channels), name=f"{name}_weight")(weight)
    return keras.layers.Multiply(name=f"{name}_weigh")([x, weight])
