"""How do the colours of a picture vary with its light and its camera?"""

import math

import numpy as np
import tensorflow as tf

from tfdl.data.augment import arguments, pixels
from tfdl.data.sources import source


def colour(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
) -> source.Sample:
    """Vary brightness, contrast, saturation and hue, each by a random strength.

    After Howard 2013 and torchvision's ColorJitter, whose order is random; here it is
    that of the parameters. On grey pictures saturation and hue change nothing.

    Args:
        sample: dict with "image", uint8 (height, width, 1 or 3).
        seed: int32 (2,).
        brightness: the factor is from 1 - brightness to 1 + brightness, [0, 1].
        contrast: the same, of the distance from the mean grey, [0, 1].
        saturation: the same, of the distance from each pixel's grey, [0, 1].
        hue: the largest turn to either side, as a share of the colour circle, [0, 0.5].

    Returns:
        A dict with the same keys, shapes and dtypes.

    Raises:
        UsageError: a parameter is out of range, or the number of channels is unknown.
    """
    strengths = {
        "brightness": brightness,
        "contrast": contrast,
        "saturation": saturation,
    }
    for name, strength in strengths.items():
        arguments.check_rate(name, strength)
    arguments.check_within("hue", hue, low=0, high=0.5)
    widths = tf.constant([*strengths.values(), hue], tf.float32)
    draws = tf.random.stateless_uniform([4], seed, -1, 1) * widths
    adjusted = adjust(
        sample["image"],
        brightness=1 + draws[0],
        contrast=1 + draws[1],
        saturation=1 + draws[2],
        hue=draws[3],
    )
    return sample | {"image": adjusted}


def adjust(
    image: tf.Tensor,
    *,
    brightness: tf.Tensor,
    contrast: tf.Tensor,
    saturation: tf.Tensor,
    hue: tf.Tensor,
) -> tf.Tensor:
    """Change the colours of a picture, in the order of the parameters.

    All four are linear in the colours and so applied as one matrix, rounded once. The
    hue turns in YIQ, which keeps the brightness of each pixel (in HSV yellow turns into
    a blue eight times darker).

    Args:
        image: uint8 (height, width, 1 or 3).
        brightness: float32 (), factor.
        contrast: float32 (), factor of the distance from the mean grey.
        saturation: float32 (), factor of the distance from each pixel's grey.
        hue: float32 (), turn as a share of the colour circle, from red towards green.

    Returns:
        uint8 (height, width, channels).
    """
    channels = pixels.num_channels(image)
    colours = tf.reshape(tf.cast(image, tf.float32), [-1, channels])
    mean = tf.reduce_mean(colours, axis=0)
    if channels == 1:
        matrix, mean_grey = tf.ones([1, 1]), mean[0]
    else:
        angle = 2 * math.pi * hue
        along, across = saturation * tf.cos(angle), saturation * tf.sin(angle)
        matrix = _TO_GREY + along * _KEEP_CHROMA + across * _TURN_CHROMA
        mean_grey = tf.tensordot(mean, pixels.LUMA, 1)
    changed = tf.matmul(colours, brightness * contrast * matrix)
    changed += brightness * (1 - contrast) * mean_grey + 0.5  # to round, below
    changed = tf.reshape(tf.saturate_cast(changed, tf.uint8), tf.shape(image))
    return tf.ensure_shape(changed, image.shape)


def random_grey(
    sample: source.Sample, *, seed: tf.Tensor, rate: float = 0.1
) -> source.Sample:
    """Take the colour out of some pictures; the number of channels stays.

    Args:
        sample: dict with "image", uint8 (height, width, 1 or 3).
        seed: int32 (2,).
        rate: how often it happens, [0, 1].

    Returns:
        A dict with the same keys, shapes and dtypes.

    Raises:
        UsageError: `rate` is no probability, or the number of channels is unknown.
    """
    arguments.check_rate("rate", rate)
    image = sample["image"]
    if pixels.num_channels(image) == 1:
        return sample
    grey = tf.cond(
        tf.random.stateless_uniform([], seed) < rate,
        lambda: pixels.saturation(image, 0.0),
        lambda: image,
    )
    return sample | {"image": grey}


# The colours of analogue television: brightness Y, and chroma as a plane of I and Q.
# Rows of RGB @ _TO_YIQ are rows of YIQ. The matrices below act on rows of RGB.
_TO_YIQ = np.array([pixels.LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
_TO_YIQ = _TO_YIQ.T


def _in_yiq(matrix):
    return np.float32(_TO_YIQ @ np.array(matrix) @ np.linalg.inv(_TO_YIQ))


_TO_GREY = _in_yiq([[1, 0, 0], [0, 0, 0], [0, 0, 0]])
_KEEP_CHROMA = _in_yiq([[0, 0, 0], [0, 1, 0], [0, 0, 1]])
_TURN_CHROMA = _in_yiq([[0, 0, 0], [0, 0, -1], [0, 1, 0]])
