"""What does RandAugment do to a sample?"""

import math

import tensorflow as tf

from tfdl.data.augment import annotations, arguments, pixels, warps
from tfdl.data.sources import source


def rand_augment(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    num_ops: int = 2,
    magnitude: float = 9,
    fill: int = 128,
    min_visibility: float = 0.1,
) -> source.Sample:
    """Apply a few of fourteen operations, drawn at random [Cubuk 2020].

    The operations and their largest strengths are the paper's, which are AutoAugment's
    [Cubuk 2019, table 6]. As in AutoAugment, directions are random and the geometric
    operations take the nearest pixel. Where the paper is silent: strengths grow
    linearly from nothing, solarize from 256 down and posterize from 8 bits down.

    Args:
        sample: dict with "image", uint8 (height, width, 1 or 3), and any annotations.
        seed: int32 (2,).
        num_ops: how many operations in turn, N in the paper.
        magnitude: their strength, M in the paper, [0, 10].
        fill: value of the pixels that come in; there, masks are 0 and semantic is 255.
        min_visibility: share of its area that a box must keep, or its object is
            dropped.

    Returns:
        A dict with the same keys, shapes of pictures and dtypes; objects may be
        missing.

    Raises:
        UsageError: a parameter is out of range, or the number of channels is unknown.
    """
    arguments.check_within("magnitude", magnitude, low=0, high=_LARGEST_MAGNITUDE)
    arguments.check_within("num_ops", num_ops, low=0, high=math.inf)
    pixels.num_channels(sample["image"])
    strength = magnitude / _LARGEST_MAGNITUDE
    borders = {"fill": fill, "min_visibility": min_visibility}
    draws = tf.random.stateless_uniform([num_ops, 2], seed)
    signs = tf.where(draws[:, 1] < 0.5, -1.0, 1.0)
    for step in range(num_ops):
        operations = _operations(sample, strength, signs[step], borders)
        choice = tf.cast(draws[step, 0] * len(operations), tf.int32)
        sample = tf.switch_case(choice, operations)
    return sample


def _operations(sample, strength, sign, borders):
    """List the paper's operations on a sample, at a strength in [0, 1]."""
    image = sample["image"]

    def painted(operation, *arguments):
        return lambda: sample | {"image": operation(image, *arguments)}

    def enhanced(operation):
        factor = strength * _ENHANCEMENT
        return lambda: sample | {"image": operation(image, 1 + factor * sign)}

    def warped(matrix_of, largest):
        amount = strength * largest
        return lambda: _warped(sample, matrix_of(amount * sign), borders)

    def translated(axis):
        amount = strength * _TRANSLATION
        return lambda: _translated(sample, amount * sign, axis, borders)

    return [
        lambda: dict(sample),
        painted(pixels.autocontrast),
        painted(pixels.equalize),
        painted(pixels.posterize, 8 - round(strength * _BITS)),
        painted(pixels.solarize, 256 - round(strength * _LEVELS)),
        enhanced(pixels.saturation),
        enhanced(pixels.contrast),
        enhanced(pixels.brightness),
        enhanced(pixels.sharpness),
        warped(warps.turn_back, _ANGLE),
        warped(_shear_across, _SHEAR),
        warped(_shear_down, _SHEAR),
        translated(axis=0),
        translated(axis=1),
    ]


def _warped(sample, backward, borders):
    return warps.warp(sample, backward, tf.zeros(2), interpolation="NEAREST", **borders)


def _translated(sample, rate, axis, borders):
    """Move by whole pixels, so that boxes go exactly as far as their picture."""
    size = annotations.size_of(sample["image"])
    step = tf.cast(tf.round(rate * tf.cast(size[axis], tf.float32)), tf.int32)
    origin = step * tf.one_hot(axis, 2, dtype=tf.int32)
    return annotations.window(sample, origin, size, **borders)


def _shear_across(slant):
    return tf.reshape(tf.stack([1.0, slant, 0.0, 1.0]), [2, 2])


def _shear_down(slant):
    return tf.reshape(tf.stack([1.0, 0.0, slant, 1.0]), [2, 2])


# What each operation does at the largest magnitude.
_LARGEST_MAGNITUDE = 10
_ENHANCEMENT = 0.9  # colour, contrast, brightness, sharpness: factors 0.1 and 1.9
_BITS = 4  # posterize drops
_LEVELS = 256  # solarize inverts
_ANGLE = math.radians(30)
_SHEAR = 0.3
_TRANSLATION = 150 / 331  # of the side: the paper's 150 of 331 pixels
