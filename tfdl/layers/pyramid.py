"""The feature pyramid: strong features at every resolution [Lin 2017]."""

from collections.abc import Mapping

import keras


def feature_pyramid(
    features: Mapping[str, keras.KerasTensor], channels: int = 256
) -> dict[str, keras.KerasTensor]:
    """Add a top-down pathway to the maps of a backbone.

    Every map is projected to the same channels, the coarser sum is doubled and added,
    and a 3 x 3 convolution smooths what the doubling left. No normalisation, no
    activation.

    The first weights are uniform with variance 1 / fan-in, as in Detectron, so that the
    sums keep the size of the features.

    Args:
        features: {"c3": ..., "c4": ..., "c5": ...} or another run of levels, finest
            first, float (batch, height, width, any channels); every map has twice the
            rows and columns of the next.
        channels: of all maps of the pyramid.

    Returns:
        {"p3", "p4", "p5"}, or those of the levels given, finest first, float (batch,
        height, width, channels) of the sizes of the features.

    Reference:
        Lin et al., "Feature Pyramid Networks for Object Detection", 2017.
    """
    coarser, pyramid = None, {}
    for level, feature in reversed(features.items()):
        number = level.removeprefix("c")
        x = _convolution(feature, channels, 1, name=f"fpn_lateral{number}")
        if coarser is not None:
            doubled = keras.layers.UpSampling2D(name=f"fpn_doubled{number}")(coarser)
            x = keras.layers.Add(name=f"fpn_sum{number}")([x, doubled])
        coarser = x
        pyramid[f"p{number}"] = _convolution(x, channels, 3, name=f"p{number}")
    return dict(reversed(pyramid.items()))


def coarser_levels(
    x: keras.KerasTensor, channels: int = 256
) -> dict[str, keras.KerasTensor]:
    """Add RetinaNet's two levels above the pyramid [Lin 2017, "Focal Loss", 3].

    Args:
        x: p5 or c5, float (batch, height, width, any channels).
        channels: of both maps.

    Returns:
        {"p6", "p7"}, float (batch, ceil(height / 2), ceil(width / 2), channels) and
        half of that.
    """
    finer = _convolution(x, channels, 3, strides=2, name="p6")
    x = keras.layers.Activation("relu", name="p6_relu")(finer)
    return {"p6": finer, "p7": _convolution(x, channels, 3, strides=2, name="p7")}


def pooled_level(x: keras.KerasTensor) -> keras.KerasTensor:
    """Add a level for proposals of the largest objects: every second cell of p5.

    Args:
        x: p5, float (batch, height, width, channels).

    Returns:
        p6, float (batch, ceil(height / 2), ceil(width / 2), channels).

    Reference:
        Lin et al., "Feature Pyramid Networks for Object Detection", 2017, 4.1.
    """
    return keras.layers.MaxPooling2D(1, 2, padding="same", name="p6")(x)


def _convolution(x, channels, kernel_size, *, strides=1, name):
    if strides > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        channels,
        kernel_size,
        strides,
        padding="same" if strides == 1 else "valid",
        kernel_initializer="lecun_uniform",
        name=name,
    )(x)
