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
    linearly from nothing, solarize from 256 down and posterize from 8 bits down. The
    defaults are the paper's for ResNet-50 on ImageNet.

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
    operations = _operations(strength, borders)
    draws = tf.random.stateless_uniform([num_ops, 2], seed)
    choices = tf.cast(draws[:, 0] * len(operations), tf.int32)
    signs = tf.where(draws[:, 1] < 0.5, -1.0, 1.0)
    if tf.executing_eagerly():
        for choice, sign in zip(choices.numpy(), signs, strict=True):
            sample = operations[choice](sample, sign)
        return sample
    branches = _traced(operations, sample)
    for step in range(num_ops):
        sample = _switch(branches, choices[step], sample, signs[step])
    return sample


def _operations(strength, borders):
    """List the paper's operations at a strength in [0, 1].

    Returns:
        Functions (sample, sign) -> sample; the sign, float32 (), is -1 or 1.
    """

    def painted(operation, *settings):
        return lambda sample, sign: (
            sample | {"image": operation(sample["image"], *settings)}
        )

    def enhanced(operation):
        return lambda sample, sign: (
            sample
            | {"image": operation(sample["image"], 1 + strength * _ENHANCEMENT * sign)}
        )

    def warped(matrix_of, largest):
        return lambda sample, sign: _warped(
            sample, matrix_of(strength * largest * sign), borders
        )

    def translated(axis):
        return lambda sample, sign: _translated(
            sample, strength * _TRANSLATION * sign, axis, borders
        )

    return [
        lambda sample, sign: dict(sample),
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
    return warps.warp(sample, backward, tf.zeros(2), is_nearest=True, **borders)


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


def _traced(operations, sample):
    """Trace each operation for samples like this one, with any number of objects."""
    specs = {
        name: tf.TensorSpec(
            [None, *value.shape[1:]] if name in annotations.PER_OBJECT else value.shape,
            value.dtype,
        )
        for name, value in sample.items()
    }
    sign = tf.TensorSpec([], tf.float32)
    return [
        tf.function(operation, autograph=False).get_concrete_function(specs, sign)
        for operation in operations
    ]


def _switch(branches, choice, sample, sign):
    """Run one of the branches.

    Like tf.switch_case, which however is dissolved into the graph around it, where
    the nodes of all branches are visited: that costs as much as an operation does.
    """
    shapes = branches[0].output_shapes
    results = tf.raw_ops.StatelessCase(
        branch_index=choice,
        input=tf.nest.flatten((sample, sign)),
        Tout=[value.dtype for value in tf.nest.flatten(sample)],
        branches=branches,
        output_shapes=[shapes[name] for name in sorted(sample)],
    )
    return tf.nest.pack_sequence_as(sample, results)


# What each operation does at the largest magnitude.
_LARGEST_MAGNITUDE = 10
_ENHANCEMENT = 0.9  # colour, contrast, brightness, sharpness: factors 0.1 and 1.9
_BITS = 4  # posterize drops
_LEVELS = 256  # solarize inverts
_ANGLE = math.radians(30)
_SHEAR = 0.3
_TRANSLATION = 150 / 331  # of the side: the paper's 150 of 331 pixels
