"""How is a window of fixed size cut out of a sample that is zoomed?"""

import tensorflow as tf

from tfdl.data.augment import annotations, arguments
from tfdl.data.sources import source

UNSCALED = (1.0, 1.0)


def scaled_crop(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    size: int | tuple[int, int],
    factors: tuple[float, float] = UNSCALED,
    fill: int = 0,
    antialias: bool = True,
    min_visibility: float = 0.1,
) -> source.Sample:
    """Zoom a sample and cut a window of fixed size out of it, at a random place.

    A zoomed sample that is smaller than the window lies at a random place in it. Only
    what the window shows is resized, so that large pictures cost no more than small.

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations.
        seed: int32 (2,).
        size: side, or height and width, of the window in pixels.
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
        UsageError: a parameter is out of range.
    """
    arguments.check_range("factors", factors)
    size = arguments.height_and_width("size", size)
    draws = tf.random.stateless_uniform([3], seed)
    seen = seen_size(draws[2], size, factors)
    spare = annotations.size_of(sample["image"]) - seen
    place = tf.cast(draws[:2] * tf.cast(tf.abs(spare) + 1, tf.float32), tf.int32)
    # Where the window is the larger, it begins before the picture.
    return zoomed_window(
        sample,
        tf.minimum(spare, 0) + place,
        seen,
        size=size,
        fill=fill,
        antialias=antialias,
        min_visibility=min_visibility,
    )


def seen_size(
    draw: tf.Tensor, size: tuple[int, int], factors: tuple[float, float]
) -> tf.Tensor:
    """Compute how much of the picture a window shows once that is zoomed.

    Args:
        draw: float32 () in [0, 1), of the zoom.
        size: height and width of the window in pixels.
        factors: smallest and largest zoom.

    Returns:
        int32 (2,), height and width in pixels of the picture, a constant where there is
        no zoom.
    """
    if factors == UNSCALED:
        return tf.constant(size)
    low, high = factors
    factor = low * (high / low) ** draw
    seen = tf.round(tf.constant(size, tf.float32) / factor)
    return tf.maximum(tf.cast(seen, tf.int32), 1)


def zoomed_window(
    sample: source.Sample,
    corner: tf.Tensor,
    seen: tf.Tensor,
    *,
    size: tuple[int, int],
    fill: int,
    antialias: bool,
    min_visibility: float,
) -> source.Sample:
    """Cut out what a window shows and resize it to the window.

    Args:
        sample: dict with "image" and any annotations.
        corner: int32 (2,), first row and column; may be negative.
        seen: int32 (2,), see `seen_size`.
        size: height and width of the result in pixels.
        fill: as of `scaled_crop`.
        antialias: likewise.
        min_visibility: likewise.

    Returns:
        A dict with the same keys, of the given size.

    Raises:
        UsageError: a parameter is out of range.
    """
    cut = annotations.window(
        sample, corner, seen, fill=fill, min_visibility=min_visibility
    )
    known = tf.get_static_value(seen)
    if known is not None and tuple(known) == tuple(size):
        return cut
    return annotations.resize(cut, size, antialias=antialias)
