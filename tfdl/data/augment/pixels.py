"""What does a fixed change of contrast, colour or sharpness make of a picture?

The operations of RandAugment on uint8 (height, width, 1 or 3), equal to those of
Pillow's `ImageOps` and `ImageEnhance`, which round down. All but one are arithmetic on
the whole picture: looking each pixel up in a table of 256 entries is several times
slower.
"""

import numpy as np
import tensorflow as tf

from tfdl import errors

LUMA = (0.299, 0.587, 0.114)  # the grey of red, green and blue, ITU-R 601
_LEVELS = 256
_BRIGHTEST = 255


def num_channels(image: tf.Tensor) -> int:
    """Read how many channels a picture has.

    Raises:
        UsageError: the graph does not know it, or it is neither 1 nor 3.
    """
    channels = image.shape[-1]
    if channels not in (1, 3):
        raise errors.UsageError(
            "A picture must be grey or RGB, (height, width, 1 or 3), and known to be. "
            f"Received shape={image.shape}.",
            "decode with channels=3, or set the shape",
        )
    return channels


def grey(colours: tf.Tensor) -> tf.Tensor:
    """Take the colour out of pixels.

    Args:
        colours: float32 (pixels, 1 or 3), [0, 255].

    Returns:
        float32 (pixels, channels), all channels equal, whole numbers in [0, 255].
    """
    if num_channels(colours) == 1:
        return colours
    # One product for all three channels: spreading one over three is slower.
    to_grey = np.tile(np.float32(LUMA)[:, None], (1, 3))
    return tf.floor(tf.matmul(colours, to_grey) + 0.5)


def autocontrast(image: tf.Tensor) -> tf.Tensor:
    """Stretch each channel so that its darkest pixel is 0 and its brightest 255.

    Args:
        image: uint8 (height, width, channels).

    Returns:
        uint8 (height, width, channels); a channel of one value stays.
    """
    # float64, because a quotient that should be whole is rounded down below.
    low = tf.cast(tf.reduce_min(image, axis=[0, 1]), tf.float64)
    high = tf.cast(tf.reduce_max(image, axis=[0, 1]), tf.float64)
    has_contrast = high > low
    slope = tf.where(has_contrast, _BRIGHTEST / (high - low), 1)
    offset = tf.where(has_contrast, -low * slope, 0)
    rows = tf.cast(_rows(image), tf.float64)
    stretched = rows * _for_rows(slope, image) + _for_rows(offset, image)
    return tf.reshape(tf.cast(stretched, tf.uint8), tf.shape(image))


def equalize(image: tf.Tensor) -> tf.Tensor:
    """Spread each channel so that all brightnesses are about equally frequent.

    Args:
        image: uint8 (height, width, 1 or 3).

    Returns:
        uint8 (height, width, channels).
    """
    channels = num_channels(image)
    # One histogram and one table for all channels, one behind the other.
    first_level = tf.range(channels) * _LEVELS
    places = tf.cast(_rows(image), tf.int32) + _for_rows(first_level, image)
    counts = tf.raw_ops.DenseBincount(
        input=tf.reshape(places, [-1]),
        size=_LEVELS * channels,
        weights=tf.zeros([0], tf.int32),
    )
    counts = tf.reshape(counts, [channels, _LEVELS])
    up_to = tf.cumsum(counts, axis=1)
    # Pixels darker than the brightest, shared out among 255 steps.
    darker = tf.reduce_max(tf.where(up_to < up_to[:, -1:], up_to, 0), axis=1)
    step = darker[:, None] // _BRIGHTEST
    table = (step // 2 + up_to - counts) // tf.maximum(step, 1)
    table = tf.where(step > 0, tf.minimum(table, _BRIGHTEST), tf.range(_LEVELS))
    table = tf.reshape(tf.cast(table, tf.uint8), [-1])
    return tf.reshape(tf.gather(table, places), tf.shape(image))


def posterize(image: tf.Tensor, bits: int) -> tf.Tensor:
    """Keep only the upper bits of each channel.

    Args:
        image: uint8 (height, width, channels).
        bits: how many, 0 to 8.

    Returns:
        uint8 (height, width, channels).
    """
    kept = _LEVELS - 2 ** (8 - bits)
    return tf.bitwise.bitwise_and(image, tf.constant(kept, tf.uint8))


def solarize(image: tf.Tensor, threshold: int) -> tf.Tensor:
    """Invert whatever is as bright as the threshold or brighter.

    Args:
        image: uint8 (height, width, channels).
        threshold: 0 inverts everything, 256 nothing.

    Returns:
        uint8 (height, width, channels).
    """
    bright = tf.cast(tf.cast(image, tf.int16) >= threshold, tf.uint8)
    # Inverting is exclusive or with 255; tf.where is several times slower on uint8.
    return tf.bitwise.bitwise_xor(image, bright * tf.constant(_BRIGHTEST, tf.uint8))


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blend a picture with black.

    Args:
        image: uint8 (height, width, channels).
        factor: float32 (), 0 is black, 1 the picture, more is brighter.

    Returns:
        uint8 (height, width, channels).
    """
    return _blend(0.0, tf.cast(image, tf.float32), factor)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blend a picture with its mean grey.

    Args:
        image: uint8 (height, width, 1 or 3).
        factor: float32 (), 0 is grey, 1 the picture, more is of more contrast.

    Returns:
        uint8 (height, width, channels).
    """
    colours = _colours(image)
    mean = tf.floor(tf.reduce_mean(grey(colours)) + 0.5)
    return tf.reshape(_blend(mean, colours, factor), tf.shape(image))


def saturation(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blend a picture with its grey version; "Color" in the paper and in Pillow.

    Args:
        image: uint8 (height, width, 1 or 3).
        factor: float32 (), 0 is grey, 1 the picture, more is more colourful.

    Returns:
        uint8 (height, width, channels).
    """
    colours = _colours(image)
    return tf.reshape(_blend(grey(colours), colours, factor), tf.shape(image))


def sharpness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Blend a picture with a smoothed one; the outermost pixels stay.

    Args:
        image: uint8 (height, width, channels).
        factor: float32 (), 0 is smooth, 1 the picture, more is sharper.

    Returns:
        uint8 (height, width, channels).
    """
    values = tf.cast(image, tf.float32)
    inner = values[1:-1, 1:-1]
    rows = values[:-2] + values[1:-1] + values[2:]
    neighbourhood = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    # Pillow's SMOOTH: the centre counts 5, its eight neighbours 1.
    smooth = tf.floor((neighbourhood + 4 * inner) / 13 + 0.5)
    change = tf.pad(smooth - inner, [[1, 1], [1, 1], [0, 0]])
    # Cut to size for pictures of one row or column, which have no inner pixel.
    change = change[: tf.shape(image)[0], : tf.shape(image)[1]]
    return _blend(values + change, values, factor)


def _blend(start, end, factor):
    """Go from one picture to another and beyond, rounded down as Pillow does."""
    return tf.saturate_cast(start + factor * (end - start), tf.uint8)


def _colours(image):
    return tf.reshape(tf.cast(image, tf.float32), [-1, num_channels(image)])


def _rows(image):
    """View a picture as (height, width * channels).

    A vector for each row of it is added several times faster than one of three values
    for each pixel.
    """
    return tf.reshape(image, [tf.shape(image)[0], -1])


def _for_rows(values, image):
    """Repeat one value for each channel along the rows of a picture."""
    return tf.tile(values, [tf.shape(image)[1]])
