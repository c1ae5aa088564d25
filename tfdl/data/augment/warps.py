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
    interpolation: str = "BILINEAR",
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
        interpolation: "BILINEAR" or "NEAREST", of the picture.

    Returns:
        A dict with the same keys, shapes of pictures and dtypes; objects may be
        missing.
    """
    arguments.check_within("fill", fill, low=0, high=255)
    size = annotations.size_of(sample["image"])
    centre = tf.cast(size[::-1], tf.float32) / 2
    transform = _transform(backward, shift, centre)
    image = _warp_image(sample["image"], transform, size, fill, interpolation)
    warped = sample | {"image": image}
    if "semantic" in sample:
        padding = annotations.SEMANTIC_PADDING
        planes = _warp_planes(sample["semantic"][None], transform, size, padding)
        warped["semantic"] = planes[0]
    if "masks" in sample:
        warped["masks"] = _warp_planes(sample["masks"], transform, size, 0)
    if "boxes" in sample:
        forward = tf.linalg.inv(backward)
        offset = centre + shift - tf.linalg.matvec(forward, centre)
        matrix = tf.concat([forward, offset[:, None]], axis=1)
        warped["boxes"] = boxes.affine_hull(sample["boxes"], matrix)
    return annotations.keep_visible(
        warped, min_visibility=min_visibility, is_turned=True
    )


def _transform(backward, shift, centre):
    """Write the map as the kernel wants it: between indices of pixels, float32 (1, 8).

    Index k is the pixel whose centre is at k + 0.5.
    """
    middle = centre - 0.5
    offset = middle - tf.linalg.matvec(backward, middle + shift)
    rows = tf.concat([backward, offset[:, None]], axis=1)
    projection = tf.zeros([2])
    return tf.concat([tf.reshape(rows, [6]), projection], axis=0)[None]


def _warp_image(image, transform, size, fill, interpolation):
    if interpolation == "NEAREST":
        warped = _project(image[None], transform, size, fill, interpolation)[0]
    else:
        # The kernel would round uint8 down; on float32 it is also faster.
        pixels = tf.cast(image[None], tf.float32)
        warped = _project(pixels, transform, size, fill, interpolation)[0]
        warped = tf.cast(warped + 0.5, tf.uint8)
    return tf.ensure_shape(warped, image.shape)


def _warp_planes(planes, transform, size, fill):
    """Warp uint8 (planes, height, width) by the nearest pixel."""
    warped = _project(planes[..., None], transform, size, fill, "NEAREST")[..., 0]
    return tf.ensure_shape(warped, planes.shape)


def _project(images, transform, size, fill, interpolation):
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transform,
        output_shape=size,
        fill_value=float(fill),
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )
