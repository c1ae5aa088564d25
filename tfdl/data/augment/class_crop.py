"""How is a picture cropped so that rare classes are seen as often as common ones?"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data.augment import annotations, arguments, zooming
from tfdl.data.sources import source


def class_crop(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    size: int | tuple[int, int],
    frequencies: Sequence[float],
    factors: tuple[float, float] = zooming.UNSCALED,
    fill: int = 0,
    antialias: bool = True,
    min_visibility: float = 0.1,
) -> source.Sample:
    """Zoom a sample and cut a window out of it around a pixel of a class.

    Of the classes in the picture one is drawn, in inverse proportion to their
    frequencies in the data set, and of its pixels any. The window is centred there, as
    far as the picture's border lets it. Where all of the picture is ignored, the pixel
    is any.

    Args:
        sample: dict with "image", uint8 (height, width, channels), "semantic", uint8
            (height, width), and any other annotations.
        seed: int32 (2,).
        size: side, or height and width, of the window in pixels.
        frequencies: of each class, its share of the pixels of the data set; classes of
            0 are not looked for.
        factors: smallest and largest zoom, over 1 makes objects larger; the logarithm
            is uniform.
        fill: value of pixels beside the picture; there, masks are 0 and semantic is
            255.
        antialias: whether shrinking averages all pixels that it replaces.
        min_visibility: share of its area that a box must keep, or its object is
            dropped.

    Returns:
        A dict with the same keys, of the window's size; objects may be missing.

    Raises:
        UsageError: a parameter is out of range, or there is no semantic.
    """
    arguments.check_range("factors", factors)
    size = arguments.height_and_width("size", size)
    weights = _weights(frequencies)
    if "semantic" not in sample:
        raise errors.UsageError(
            f"a crop around classes needs `semantic`. Received {', '.join(sample)}.",
            "read pictures with label maps, or use scaled_crop",
        )
    draws = tf.random.stateless_uniform([3], seed, dtype=tf.float64)
    centre = _pixel(sample["semantic"], weights, draws[:2])
    zoom = tf.cast(draws[2], tf.float32)
    seen = zooming.seen_size(zoom, size, factors)
    spare = annotations.size_of(sample["image"]) - seen
    corner = tf.clip_by_value(
        centre - seen // 2, tf.minimum(spare, 0), tf.maximum(spare, 0)
    )
    return zooming.zoomed_window(
        sample,
        corner,
        seen,
        size=size,
        fill=fill,
        antialias=antialias,
        min_visibility=min_visibility,
    )


def _weights(frequencies) -> np.ndarray:
    """Invert frequencies, float64 (classes,); 0 stays 0."""
    shares = np.asarray(frequencies, np.float64)
    if shares.ndim != 1 or not len(shares) or not (shares >= 0).all():
        raise errors.UsageError(
            "`frequencies` must be one share for each class. "
            f"Received frequencies={frequencies}.",
            "give the share of the data set's pixels that each class has",
        )
    return np.divide(1, shares, out=np.zeros_like(shares), where=shares > 0)


def _pixel(semantic, weights, draws):
    """Draw a class and one of its pixels -> int32 (2,), row and column.

    Args:
        semantic: uint8 (height, width).
        weights: float64 (classes,).
        draws: float64 (2,) in [0, 1), for the class and the pixel.
    """
    flat = tf.cast(tf.reshape(semantic, [-1]), tf.int32)
    count = len(weights)
    pixels = tf.math.bincount(flat, minlength=count, maxlength=count, dtype=tf.int32)
    ends = tf.cumsum(tf.where(pixels > 0, weights, 0.0))
    chosen = tf.argmax(ends > draws[0] * ends[-1], output_type=tf.int32)
    candidates = tf.where((flat == chosen) | (ends[-1] == 0))[:, 0]
    place = tf.cast(draws[1] * tf.cast(tf.size(candidates), tf.float64), tf.int32)
    number = tf.cast(candidates[place], tf.int32)
    width = tf.shape(semantic)[1]
    return tf.stack([number // width, number % width])
