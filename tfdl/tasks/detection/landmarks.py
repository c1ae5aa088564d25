"""Landmarks: where are K named points of an object, such as the corners of an eye?

The network regresses all of them at once, each by its number. What cannot be seen is
marked so, and does not count.
"""

import math
from collections.abc import Sequence

import keras
from keras import ops

from tfdl import errors
from tfdl.ops import boxes as box_ops
from tfdl.tasks.detection import localizer


def network(
    image_shape: Sequence[int],
    num_points: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> keras.Model:
    """Build a backbone that answers with points.

    The untrained network puts all of them near the picture's centre; a point may lie
    outside the picture. It is trained by Keras as any other model, with `loss`.

    Args:
        image_shape: (height, width, channels), all known.
        num_points: K, at least 1.
        backbone: key of `tfdl.backbones.BACKBONES`, None for ResNet-18.
        weights: of the backbone: "imagenet", path of a file, or None for random ones.
        width: factor on the number of channels.

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> points (x, y),
        float32 (batch, num_points, 2), pixels.

    Raises:
        UsageError: a size is unknown, or there is no point.

    Reference:
        Sun 2013, Deep Convolutional Network Cascade for Facial Point Detection, its
        first level, with a backbone of today.
    """
    if num_points < 1:
        raise errors.UsageError(
            f"`num_points` must be at least 1. Received num_points={num_points}.",
            "Give the number of points of each object.",
        )
    inputs, features = localizer.last_map(
        image_shape, backbone=backbone, weights=weights, width=width
    )
    x = localizer.position_vector(features, width=width)
    x = keras.layers.Dense(
        2 * num_points,
        kernel_initializer=keras.initializers.RandomNormal(
            stddev=localizer.LAST_STDDEV
        ),
        dtype="float32",
        name="points",
    )(x)
    x = keras.layers.Reshape((num_points, 2), dtype="float32", name="pairs")(x)
    height, width_pixels = image_shape[:2]
    to_pixels = keras.layers.Rescaling(
        [width_pixels, height],
        offset=[width_pixels / 2, height / 2],
        dtype="float32",
        name="pixels",
    )
    return keras.Model(inputs, to_pixels(x), name="landmarks")


def loss(
    points: keras.KerasTensor,
    visible: keras.KerasTensor,
    predicted: keras.KerasTensor,
    *,
    bend: float = 10.0,
    curvature: float = 2.0,
) -> keras.KerasTensor:
    """Measure each picture's points by the wing loss, invisible ones not at all.

    Near 0 it is a logarithm, bend * ln(1 + |e| / curvature), so that small errors pull
    as well as large ones; from `bend` on it is |e| less a constant.

    Args:
        points: float32 (batch, points, 2), pixels; finite also where invisible.
        visible: float32 (batch, points), 1 or 0, or a weight.
        predicted: float32 (batch, points, 2), pixels.
        bend: the paper's w, pixels, positive.
        curvature: the paper's epsilon, pixels, positive.

    Returns:
        float32 (batch,), the mean over visible points of the sum of x and y; 0 where
        none is visible.

    Raises:
        UsageError: `bend` or `curvature` is not positive.

    Reference:
        Feng 2018, Wing Loss for Robust Facial Landmark Localisation, equation 5.
    """
    if min(bend, curvature) <= 0:
        raise errors.UsageError(
            "`bend` and `curvature` must be positive. "
            f"Received bend={bend}, curvature={curvature}.",
            "The paper takes 10 and 2.",
        )
    size = ops.abs(ops.cast(predicted, "float32") - ops.cast(points, "float32"))
    near = bend * ops.log1p(ops.minimum(size, bend) / curvature)
    # Continuous where the two meet; beyond it the logarithm is a constant.
    wing = ops.maximum(size - bend, 0) + near
    return _mean_of_visible(ops.sum(wing, axis=-1), visible)


def normalized_mean_error(
    points: keras.KerasTensor,
    visible: keras.KerasTensor,
    predicted: keras.KerasTensor,
    boxes: keras.KerasTensor,
) -> keras.KerasTensor:
    """Measure the mean distance of a picture's visible points, in sizes of the object.

    Args:
        points: float32 (batch, points, 2), pixels.
        visible: float32 (batch, points), 1 or 0.
        predicted: float32 (batch, points, 2), pixels.
        boxes: float32 (batch, 4), pixels, around each object; its size is the square
            root of its area.

    Returns:
        float32 (batch,), 0 or more; NaN where no point is visible, for there is no
        error to speak of.

    Reference:
        Bulat 2017, How far are we from solving the 2D & 3D Face Alignment problem?,
        section 2.2, for the size.
    """
    differences = ops.cast(predicted, "float32") - ops.cast(points, "float32")
    distances = ops.sqrt(ops.sum(ops.square(differences), axis=-1))
    errors_in_sizes = _mean_of_visible(distances, visible) / ops.sqrt(
        box_ops.area(boxes)
    )
    return ops.where(ops.any(visible > 0, axis=1), errors_in_sizes, math.nan)


def _mean_of_visible(values, visible):
    """Average (batch, points) with weights -> (batch,), 0 where all weights are 0."""
    visible = ops.cast(visible, "float32")
    values = ops.where(visible > 0, values, 0)
    return ops.divide_no_nan(ops.sum(values * visible, axis=1), ops.sum(visible, 1))
