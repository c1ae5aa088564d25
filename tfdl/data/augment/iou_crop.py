"""How is a picture cropped so that some object stays in view?"""

import math

import tensorflow as tf

from tfdl.data.augment import annotations, arguments
from tfdl.data.sources import source
from tfdl.ops import boxes as box_ops


def iou_crop(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    min_ious: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9),
    sides: tuple[float, float] = (0.3, 1.0),
    ratios: tuple[float, float] = (1 / 2, 2.0),
) -> source.Sample:
    """Keep the whole picture, or cut out a window that overlaps an object enough.

    What happens is drawn first, all equally likely: nothing, a window of any overlap,
    or one whose IoU with some object is at least one of `min_ious`. Then fifty windows
    are drawn and the first that fits is taken; if none fits, the picture stays whole.
    An object stays if its centre is in the window, and its box is cut to it. For
    small objects, combine it with `scale`, which zooms out.

    Deviations from the paper: a window shows the centre of some object, if there are
    any, so that no picture loses all of them; width and height are drawn apart, each
    as a share of the picture's (the paper gives the range of their area's root).

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations;
            without objects, the window is any or the whole.
        seed: int32 (2,).
        min_ious: demanded overlaps, each in [0, 1].
        sides: smallest and largest width and height of the window, as a share of the
            picture's.
        ratios: smallest and largest width / height of the window in pixels.

    Returns:
        A dict with the same keys, of the window's size; objects may be missing.

    Raises:
        UsageError: a parameter is out of range.

    Reference:
        Liu 2016, SSD: Single Shot MultiBox Detector, section 2.2.
    """
    for each in min_ious:
        arguments.check_rate("min_ious", each)
    arguments.check_range("sides", sides)
    arguments.check_within("sides", sides[1], low=0, high=1)
    arguments.check_range("ratios", ratios)
    available = annotations.size_of(sample["image"])
    draws = tf.random.stateless_uniform([2, 2 * _ATTEMPTS + 1], seed)
    low, high = _windows(draws[:, 1:], available, sides)
    # No window reaches infinity: that is the draw of the whole picture.
    demand = _choose(draws[0, 0], (math.inf, 0.0, *min_ious))
    ratio = (high - low)[:, 1] / (high - low)[:, 0]
    fits = (ratio >= ratios[0]) & (ratio <= ratios[1])
    fits &= _best_overlap(sample, low, high) >= demand
    first, is_any = tf.argmax(tf.cast(fits, tf.int32)), tf.reduce_any(fits)
    origin = tf.where(is_any, low[first], 0)
    size = tf.where(is_any, (high - low)[first], available)
    centred = _keep_centred(sample, origin, origin + size)
    return annotations.window(centred, origin, size, fill=0, min_visibility=0)


_ATTEMPTS = 50  # as the authors' code has it; the paper does not say


def _windows(draws, available, sides):
    """Turn draws into windows of a picture.

    Args:
        draws: float32 (2, 2 * windows) in [0, 1).
        available: int32 (2,), height and width of the picture.
        sides: smallest and largest share of the picture's sides.

    Returns:
        int32 (windows, 2) twice, the first row and column and those behind the last.
    """
    extent, place = tf.split(tf.transpose(draws), 2)  # (windows, 2) each
    shares = sides[0] + extent * (sides[1] - sides[0])
    size = tf.round(shares * tf.cast(available, tf.float32))
    size = tf.clip_by_value(tf.cast(size, tf.int32), 1, available)
    free = tf.cast(available - size + 1, tf.float32)
    low = tf.cast(place * free, tf.int32)
    return low, low + size


def _choose(draw, options):
    """Turn a draw in [0, 1) into one of the options, all equally likely."""
    return tf.constant(options)[tf.cast(draw * len(options), tf.int32)]


def _best_overlap(sample, low, high):
    """Measure the highest IoU of each window with an object centred in it.

    Returns:
        float32 (windows,); 0 for a sample without objects, negative where no object
        is centred.
    """
    if "boxes" not in sample:
        return tf.zeros(tf.shape(low)[:1])
    objects = sample["boxes"]
    windows = tf.cast(tf.concat([low[:, ::-1], high[:, ::-1]], axis=1), tf.float32)
    is_centred = _is_centred(objects, low[:, None], high[:, None])
    overlap = tf.where(is_centred, box_ops.iou(windows, objects), -1.0)
    best = tf.reduce_max(overlap, axis=1)
    return tf.where(tf.shape(objects)[0] > 0, best, 0.0)


def _is_centred(objects, low, high):
    """Tell whose centre, of boxes (objects, 4), is in windows of rows and columns."""
    centre = (objects[:, 1::-1] + objects[:, :1:-1]) / 2  # (objects, 2), row first
    low, high = tf.cast(low, tf.float32), tf.cast(high, tf.float32)
    return tf.reduce_all((centre >= low) & (centre < high), axis=-1)


def _keep_centred(sample, low, high):
    """Drop the objects whose centre is not in the window."""
    if "boxes" not in sample:
        return sample
    kept = tf.where(_is_centred(sample["boxes"], low, high))[:, 0]
    return sample | {
        name: tf.gather(sample[name], kept)
        for name in annotations.PER_OBJECT
        if name in sample
    }
