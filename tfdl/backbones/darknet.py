"""Darknet-53, whole and cross-stage partial: what YOLOv3 and YOLOv4 look through.

Counting traps: the counts (41,609,928 for Darknet-53 with 1000 classes, 40,584,928
without its last layer) are of the trainable parameters, norm scales and offsets
included, moving averages not. No convolution has a bias; the classifier, a 1 x 1
convolution in the paper, has.
"""

from collections.abc import Sequence

import keras

from tfdl.backbones import ends
from tfdl.layers import activations, blocks

# The published weights see the picture as it is, in [0, 1].
MEAN, STD = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
# [Redmon 2018, table 1]: channels and residual blocks of the five stages.
STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
LEAK = 0.1  # slope of the leaky ReLU; Keras's is 0.2 by name
EPSILON = 1e-5


def darknet53(
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
    """Build Darknet-53: five stages, each halving the picture, with leaky ReLU.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 128, 256, 512, 1024
    channels, after the stages. YOLOv3 takes c3, c4 and c5.

    Deviations from the paper: dropout, paths dropped, width and other norms are
    options.

    The arguments are those of every backbone, see `tfdl.backbones`; `output_stride` is
    32.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018.
    """
    return _darknet(
        "darknet53",
        _whole_stage,
        image_shape,
        num_classes,
        weights,
        width,
        output_stride,
        layer_options={"activation": _leaky_relu, "normalization": normalization},
        dropout_rate=dropout_rate,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
    )


def cspdarknet(
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
    """Build CSPDarknet-53 with Mish, YOLOv4's choice: half the maps pass a stage by.

    Each stage's first convolution is followed by two of 1 x 1 side by side: the
    residual blocks work on one of them, and both are joined after the last.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 128, 256, 512, 1024
    channels, after the stages.

    Deviations from the papers: dropout, paths dropped, width and other norms are
    options.

    The arguments are those of every backbone, see `tfdl.backbones`; `output_stride` is
    32.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Wang et al., "CSPNet: A New Backbone that can Enhance Learning Capability of
        CNN", 2020; Bochkovskiy et al., "YOLOv4: Optimal Speed and Accuracy of Object
        Detection", 2020; Misra, "Mish", 2020.
    """
    return _darknet(
        "cspdarknet",
        _partial_stage,
        image_shape,
        num_classes,
        weights,
        width,
        output_stride,
        layer_options={"activation": _mish, "normalization": normalization},
        dropout_rate=dropout_rate,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
    )


def _darknet(
    name,
    add_stage,
    image_shape,
    num_classes,
    weights,
    width,
    output_stride,
    *,
    layer_options,
    dropout_rate,
    spatial_dropout_rate,
    drop_path_rate,
):
    """Build the stages; `add_stage` continues after a stage's first convolution."""
    ends.check_output_stride(output_stride, (32,))
    num_blocks = sum(number for _, number in STAGES)
    drop_path_rates = iter(blocks.drop_path_rates(drop_path_rate, num_blocks))
    inputs, x = ends.image_input(image_shape, mean=MEAN, std=STD)
    x = _convolution(x, blocks.scaled(32, width), 3, name="stem", **layer_options)
    features = {}
    for index, (channels, number) in enumerate(STAGES):
        level = f"c{index + 1}"
        filters = blocks.scaled(channels, width, divisor=2)
        x = _convolution(
            x, filters, 3, strides=2, name=f"{level}_down", **layer_options
        )
        rates = [next(drop_path_rates) for _ in range(number)]
        x = add_stage(x, rates, name=level, **layer_options)
        x = features[level] = blocks.spatial_dropout(
            x, spatial_dropout_rate, name=level
        )
    return ends.model(
        name,
        inputs,
        features,
        lambda: ends.classifier(ends.pooled(x), num_classes, dropout_rate=dropout_rate),
        num_classes=num_classes,
        weights=weights,
    )


def _whole_stage(x, drop_path_rates, *, name, **options):
    return _residual_blocks(x, x.shape[-1] // 2, drop_path_rates, name=name, **options)


def _partial_stage(x, drop_path_rates, *, name, **options):
    """Let a part of the maps pass the residual blocks by [Wang 2020, figure 2b].

    The first stage's two branches keep all its channels; those of the others have half.
    """
    filters = x.shape[-1]
    branch = filters if name == "c1" else filters // 2
    bypass = _convolution(x, branch, 1, name=f"{name}_bypass", **options)
    x = _convolution(x, branch, 1, name=f"{name}_split", **options)
    x = _residual_blocks(x, filters // 2, drop_path_rates, name=name, **options)
    x = _convolution(x, branch, 1, name=f"{name}_blocks", **options)
    x = keras.layers.Concatenate(name=f"{name}_concat")([x, bypass])
    return _convolution(x, filters, 1, name=f"{name}_join", **options)


def _residual_blocks(x, filters, drop_path_rates, *, name, **options):
    for index, rate in enumerate(drop_path_rates):
        block = f"{name}_block{index + 1}"
        x = _residual(x, filters, drop_path_rate=rate, name=block, **options)
    return x


def _residual(x, filters, *, drop_path_rate, name, **options):
    """Add a 1 x 1 and a 3 x 3 convolution to what they came from."""
    shortcut = x
    x = _convolution(x, filters, 1, name=f"{name}_1", **options)
    x = _convolution(x, shortcut.shape[-1], 3, name=f"{name}_2", **options)
    return blocks.residual_sum(x, shortcut, drop_path_rate=drop_path_rate, name=name)


def _convolution(x, filters, kernel_size, *, activation, name, **options):
    x = blocks.conv_norm_activation(
        x,
        filters,
        kernel_size,
        epsilon=EPSILON,
        activation=None,
        name=name,
        **options,
    )
    return activation(x, name=name)


def _leaky_relu(x, *, name):
    return keras.layers.LeakyReLU(LEAK, name=f"{name}_leaky_relu")(x)


def _mish(x, *, name):
    return keras.layers.Activation(activations.mish, name=f"{name}_mish")(x)
