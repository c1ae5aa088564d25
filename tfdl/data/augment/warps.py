"""How does a sample turn, shear and stretch about its centre?"""

import math

import tensorflow as tf

from tfdl.data.augment import annotations, arguments
from tfdl.data.sources import source
from tfdl.ops import boxes


def rotate(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    degrees: float,
    fill: int = 0,
    min_visibility: float = 0.1,
) -> source.Sample:
    """Turn a sample about its centre; the picture keeps its size.

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations.
        seed: int32 (2,).
        degrees: the largest angle, to either side, [0, 180].
        fill: value of the pixels that come in; there, masks are 0 and semantic is 255.
        min_visibility: share of its area that a box must keep, or its object is
            dropped.

    Returns:
        A dict with the same keys, shapes of pictures and dtypes; objects may be
        missing. A box is the tight box of its mask, or where there are no masks, of
        its own turned corners.

    Raises:
        UsageError: a parameter is out of range.
    """
    arguments.check_within("degrees", degrees, low=0, high=180)
    draw = tf.random.stateless_uniform([], seed, -1, 1)
    backward = turn_back(draw * math.radians(degrees))
    return warp(sample, backward, tf.zeros(2), fill=fill, min_visibility=min_visibility)


def affine(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    degrees: float = 10,
    scales: tuple[float, float] = (0.9, 1.1),
    shift_rate: float = 0.1,
    shear: float = 0.1,
    fill: int = 0,
    min_visibility: float = 0.1,
) -> source.Sample:
    """Shear, stretch, turn and shift a sample a little, in one resampling.

    The defaults are mild enough for handwritten digits.

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations.
        seed: int32 (2,).
        degrees: the largest angle, to either side, [0, 180].
        scales: smallest and largest factor; over 1 makes objects larger.
        shift_rate: the farthest shift as a share of the side, [0, 1].
        shear: the largest shear to either side, pixels across per pixel down, [0, 1].
        fill: value of the pixels that come in; there, masks are 0 and semantic is 255.
        min_visibility: share of its area that a box must keep, or its object is
            dropped.

    Returns:
        A dict with the same keys, shapes of pictures and dtypes; objects may be
        missing. A box is the tight box of its mask, or where there are no masks, of
        its own moved corners.

    Raises:
        UsageError: a parameter is out of range.
    """
    arguments.check_within("degrees", degrees, low=0, high=180)
    arguments.check_range("scales", scales)
    arguments.check_rate("shift_rate", shift_rate)
    arguments.check_rate("shear", shear)
    angle = math.radians(degrees)
    low = tf.constant([-angle, scales[0], -shear, -shift_rate, -shift_rate])
    high = tf.constant([angle, scales[1], shear, shift_rate, shift_rate])
    draws = low + tf.random.stateless_uniform([5], seed) * (high - low)
    angle, factor, slant = tf.unstack(draws[:3])
    # Forwards: shear, then stretch, then turn. Backwards the other way round.
    unshear = tf.reshape(tf.stack([1.0, -slant, 0.0, 1.0]), [2, 2])
    backward = tf.matmul(unshear, turn_back(angle)) / factor
    width_height = tf.cast(annotations.size_of(sample["image"])[::-1], tf.float32)
    shift = draws[3:] * width_height
    return warp(sample, backward, shift, fill=fill, min_visibility=min_visibility)


def turn_back(angle: tf.Tensor) -> tf.Tensor:
    """Build the inverse of a turn.

    Args:
        angle: float32 (), radians, from the x axis towards the y axis: clockwise to
            the eye.

    Returns:
        float32 (2, 2), from (x, y) of the turned picture to (x, y) of the source.
    """
    cosine, sine = tf.cos(angle), tf.sin(angle)
    return tf.reshape(tf.stack([cosine, sine, -sine, cosine]), [2, 2])


def warp(
    sample: source.Sample,
    backward: tf.Tensor,
    shift: tf.Tensor,
    *,
    fill: int,
    min_visibility: float,
    is_nearest: bool = False,
) -> source.Sample:
    """Map a sample linearly about its centre, then shift it.

    Args:
        sample: dict with "image" and any annotations.
        backward: float32 (2, 2), from (x, y) of the result to (x, y) of the source,
            both relative to the picture's centre.
        shift: float32 (2,), pixels across and down.
        fill: value of the pixels that come in; there, masks are 0 and semantic is 255.
        min_visibility: share of its area that a box must keep, or its object is
            dropped.
        is_nearest: whether the picture takes its nearest pixels, as masks do, instead
            of interpolating them linearly.

    Returns:
        A dict with the same keys, shapes of pictures and dtypes; objects may be
        missing.

    Raises:
        UsageError: a parameter is out of range.
    """
    arguments.check_within("fill", fill, low=0, high=255)
    size = annotations.size_of(sample["image"])
    centre = tf.cast(size[::-1], tf.float32) / 2
    shift_back = centre - tf.linalg.matvec(backward, centre + shift)
    warped = dict(sample)
    fills = {"image": fill, "semantic": annotations.SEMANTIC_PADDING, "masks": 0}
    if not is_nearest:
        image = sample["image"]
        warped["image"] = _interpolate(image, backward, shift_back, fills.pop("image"))
    present = [name for name in fills if name in sample]
    if present:
        sources = _sources(backward, shift_back, size)
    for name in present:
        axis = 1 if name == "masks" else 0
        warped[name] = _take(sample[name], sources, fills[name], first_axis=axis)
    if "boxes" in sample:
        forward = tf.linalg.inv(backward)
        offset = centre + shift - tf.linalg.matvec(forward, centre)
        matrix = tf.concat([forward, offset[:, None]], axis=1)
        warped["boxes"] = boxes.affine_hull(sample["boxes"], matrix)
    return annotations.keep_visible(
        warped, min_visibility=min_visibility, is_turned=True
    )


def _interpolate(image, backward, shift_back, fill):
    """Warp a picture bilinearly."""
    # The kernel maps indices, and index k is the pixel whose centre is at k + 0.5.
    middle = tf.constant([0.5, 0.5])
    offset = shift_back + tf.linalg.matvec(backward, middle) - middle
    rows = tf.concat([backward, offset[:, None]], axis=1)
    projection = tf.zeros([2])
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        # From uint8 it would round down, and is slower.
        images=tf.cast(image[None], tf.float32),
        transforms=tf.concat([tf.reshape(rows, [6]), projection], axis=0)[None],
        output_shape=annotations.size_of(image),
        fill_value=float(fill),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return tf.ensure_shape(tf.cast(warped[0] + 0.5, tf.uint8), image.shape)


def _sources(backward, shift_back, size):
    """Number the pixel on which the centre of each pixel of the result falls.

    Returns:
        int32 (height * width,), row by row; height * width beyond the picture.
    """
    height, width = tf.unstack(size)
    across = tf.range(0.5, tf.cast(width, tf.float32))
    down = tf.range(0.5, tf.cast(height, tf.float32))[:, None]

    def index(row, shift):  # (height, width)
        return tf.cast(tf.floor(row[0] * across + (row[1] * down + shift)), tf.int32)

    columns, rows = index(backward[0], shift_back[0]), index(backward[1], shift_back[1])
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    numbers = tf.where(inside, rows * width + columns, height * width)
    return tf.reshape(numbers, [-1])


def _take(planes, sources, fill, *, first_axis):
    """Take pixels by number out of two neighbouring axes; behind the last is `fill`.

    Twice as fast as ImageProjectiveTransformV3, which maps every channel by itself.
    """
    shape = tf.shape(planes)
    before, behind = shape[:first_axis], shape[first_axis + 2 :]
    one_more = tf.concat([before, [1], behind], axis=0)
    one_more = tf.fill(one_more, tf.cast(fill, planes.dtype))
    num_pixels = tf.reduce_prod(shape[first_axis : first_axis + 2], keepdims=True)
    flat = tf.reshape(planes, tf.concat([before, num_pixels, behind], axis=0))
    flat = tf.concat([flat, one_more], axis=first_axis)
    taken = tf.gather(flat, sources, axis=first_axis)
    return tf.ensure_shape(tf.reshape(taken, shape), planes.shape)
