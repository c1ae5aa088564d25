"""How is a sample bent smoothly, as soft tissue is?"""

import math

import tensorflow as tf

from tfdl.data.augment import annotations, arguments
from tfdl.data.sources import source
from tfdl.ops import boxes as box_ops

_GRID = 3  # displacements to a side [Ronneberger 2015, 3.1]


def elastic(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    deviation: float = 10.0,
    fill: int = 0,
) -> source.Sample:
    """Bend a sample by random displacements of a coarse grid, interpolated smoothly.

    The displacements of 3 x 3 points are drawn from a normal distribution; those of the
    pixels follow by bicubic interpolation. The picture is sampled bilinearly, masks and
    semantic by nearest pixel.

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations.
        seed: int32 (2,).
        deviation: standard deviation of the displacements, in pixels; 10 is that of the
            paper, for pictures of 512 pixels. 0 changes nothing.
        fill: value of the pixels that come in; there, masks are 0 and semantic is 255.

    Returns:
        A dict with the same keys, shapes of pictures and dtypes; objects of which no
        pixel is left are missing. A box is the tight box of its bent mask, or where
        there are no masks, of its own bent rectangle.

    Raises:
        UsageError: a parameter is out of range.

    Reference:
        Ronneberger 2015, U-Net: Convolutional Networks for Biomedical Image
        Segmentation, section 3.1. Deviations: it does not say where the grid lies; here
        its points are the centres of 3 x 3 equal tiles. It does not say what comes in
        from beyond the picture; here that is filled, and ignored in the map.
    """
    arguments.check_within("deviation", deviation, low=0, high=math.inf)
    arguments.check_within("fill", fill, low=0, high=255)
    size = annotations.size_of(sample["image"])
    coarse = deviation * tf.random.stateless_normal([_GRID, _GRID, 2], seed)
    places = _centres(size) + _interpolated(coarse, size)  # (height, width, 2)
    nearest = _numbers(tf.cast(tf.floor(places), tf.int32), size)
    bent = sample | {"image": _sampled(sample["image"], places, nearest, fill)}
    if "semantic" in sample:
        bent["semantic"] = _taken(
            sample["semantic"], nearest, annotations.SEMANTIC_PADDING
        )
    if "masks" in sample:
        bent["masks"] = _bent_masks(sample["masks"], nearest)
    if "boxes" in sample:
        masks = bent.get("masks")
        if masks is None:
            masks = _bent_masks(_rectangles(sample["boxes"], size), nearest)
        bent["boxes"] = box_ops.from_masks(masks)
    return annotations.keep_visible(bent, min_visibility=0)


def _centres(size):
    """Compute (row, column) of the centre of each pixel -> (height, width, 2)."""
    height, width = tf.unstack(tf.cast(size, tf.float32))
    rows, columns = tf.range(0.5, height), tf.range(0.5, width)
    return tf.stack(tf.meshgrid(rows, columns, indexing="ij"), axis=-1)


def _interpolated(coarse, size):
    """Interpolate displacements bicubically, (3, 3, 2) -> (height, width, 2)."""
    # Rows and columns apart: resizing both at once is ten times slower.
    down, across = (_weights(size[axis]) for axis in (0, 1))
    return tf.einsum("hi,ijc,wj->hwc", down, coarse, across)


def _weights(length):
    """Compute what each grid point counts at each pixel of a side -> (length, 3)."""
    each = tf.eye(_GRID)[..., None]
    size = tf.stack([length, tf.constant(_GRID)])
    return tf.image.resize(each, size, method="bicubic")[..., 0]


def _numbers(places, size):
    """Number pixels row by row; behind the last are those beyond the picture."""
    height, width = tf.unstack(size)
    rows, columns = tf.unstack(places, axis=-1)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return tf.where(inside, rows * width + columns, height * width)


def _taken(plane, numbers, fill):
    """Take pixels of a plane, (height, width, ...), by number."""
    shape = tf.shape(plane)
    flat = tf.reshape(plane, tf.concat([[-1], shape[2:]], axis=0))
    beyond = tf.fill(tf.concat([[1], shape[2:]], axis=0), tf.cast(fill, plane.dtype))
    taken = tf.gather(tf.concat([flat, beyond], axis=0), numbers)
    return tf.ensure_shape(taken, plane.shape)


def _bent_masks(masks, numbers):
    """Take pixels of every mask, (objects, height, width), by number."""
    planes = tf.transpose(masks, [1, 2, 0])
    return tf.transpose(_taken(planes, numbers, 0), [2, 0, 1])


def _sampled(image, places, nearest, fill):
    """Interpolate a picture bilinearly, beyond the picture with its edge."""
    size = annotations.size_of(image)
    values = tf.cast(image, tf.float32)
    first = tf.floor(places - 0.5)
    share = (places - 0.5 - first)[..., None, :]  # (height, width, 1, 2)
    low = tf.clip_by_value(tf.cast(first, tf.int32), 0, size - 1)
    high = tf.clip_by_value(tf.cast(first, tf.int32) + 1, 0, size - 1)

    def corner(rows, columns):
        numbers = rows[..., 0] * size[1] + columns[..., 1]
        return _taken(values, numbers, 0)

    upper = _mixed(corner(low, low), corner(low, high), share[..., 1])
    lower = _mixed(corner(high, low), corner(high, high), share[..., 1])
    mixed = tf.cast(_mixed(upper, lower, share[..., 0]) + 0.5, tf.uint8)
    is_beyond = nearest == tf.reduce_prod(size)
    return tf.where(is_beyond[..., None], tf.cast(fill, tf.uint8), mixed)


def _mixed(one, other, share):
    return one + share * (other - one)


def _rectangles(boxes, size):
    """Draw boxes as masks, uint8 (objects, height, width), of pixels they touch."""
    height, width = tf.unstack(size)
    low, high = tf.floor(boxes[:, :2]), tf.math.ceil(boxes[:, 2:])
    columns = tf.range(tf.cast(width, tf.float32))
    rows = tf.range(tf.cast(height, tf.float32))
    is_across = (columns >= low[:, :1]) & (columns < high[:, :1])
    is_down = (rows >= low[:, 1:]) & (rows < high[:, 1:])
    return tf.cast(is_down[:, :, None] & is_across[:, None, :], tf.uint8)
