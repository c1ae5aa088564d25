"""How do boxes, labels, masks and semantic follow a picture that is cut or resized?"""

import tensorflow as tf

from tfdl.data.augment import arguments
from tfdl.data.sources import source
from tfdl.ops import boxes

SEMANTIC_PADDING = 255  # the class "ignore" of semantic label maps

PER_OBJECT = ("boxes", "labels", "masks")


def size_of(image: tf.Tensor) -> tf.Tensor:
    """Read height and width, int32 (2,): a constant where the graph knows them."""
    known = image.shape[:2]
    if known.is_fully_defined():
        return tf.constant(known.as_list())
    return tf.shape(image)[:2]


def keep_visible(
    sample: source.Sample, *, min_visibility: float, is_turned: bool = False
) -> source.Sample:
    """Cut boxes to their picture, and drop the objects of which too little is left.

    An object goes, with its label and mask, if its box keeps less than
    `min_visibility` of its area, no area at all, or if no pixel of its mask is left.
    What is cut off an object may make it narrower elsewhere, so a cut box is measured
    anew where there is a mask.

    Args:
        sample: dict with the moved "image", uint8 (height, width, channels); "boxes",
            float32 (objects, 4), pixels of that picture but not yet cut to it;
            "labels" and "masks" are optional. Without boxes nothing is dropped.
        min_visibility: share of a box's area that must be inside the picture, [0, 1].
        is_turned: whether boxes enclose turned ones and are up to twice as large as
            their objects: then all are measured anew where there are masks.

    Returns:
        A dict with the same keys.

    Raises:
        UsageError: `min_visibility` is no fraction.
    """
    arguments.check_rate("min_visibility", min_visibility)
    if "boxes" not in sample:
        return sample
    height, width = tf.unstack(size_of(sample["image"]))
    cut = boxes.clip(sample["boxes"], height=height, width=width)
    visible = boxes.area(cut) >= min_visibility * boxes.area(sample["boxes"])
    if "masks" in sample:
        tight = boxes.from_masks(sample["masks"])
        is_cut = tf.reduce_any(cut != sample["boxes"], axis=-1, keepdims=True)
        cut = tf.where(is_cut | is_turned, tight, cut)
        visible &= boxes.area(tight) > 0
    kept = tf.where(visible & (boxes.area(cut) > 0))[:, 0]
    objects = {name: sample[name] for name in PER_OBJECT if name in sample}
    objects["boxes"] = cut
    return sample | {name: tf.gather(value, kept) for name, value in objects.items()}


def window(
    sample: source.Sample,
    origin: tf.Tensor,
    size: tf.Tensor,
    *,
    fill: int,
    min_visibility: float,
) -> source.Sample:
    """Look at a sample through a window, which may reach beyond the picture.

    Args:
        sample: dict with "image" and any annotations.
        origin: int32 (2,), row and column of the window's corner; may be negative.
        size: int32 (2,), height and width of the window.
        fill: value of the pixels beyond the picture; there, masks are 0 and semantic
            is 255.
        min_visibility: share of its area that a box keeps, or is dropped.

    Returns:
        A dict with the same keys, all of the window's height and width.

    Raises:
        UsageError: a parameter is out of range.
    """
    arguments.check_within("fill", fill, low=0, high=255)
    seen = sample | {"image": _cut(sample["image"], origin, size, fill=fill)}
    if "semantic" in sample:
        seen["semantic"] = _cut(sample["semantic"], origin, size, fill=SEMANTIC_PADDING)
    if "masks" in sample:
        seen["masks"] = _cut(sample["masks"], origin, size, fill=0, first_axis=1)
    if "boxes" in sample:
        shift = -tf.cast(origin[::-1], tf.float32)
        seen["boxes"] = boxes.scale_and_shift(
            sample["boxes"], scale=tf.ones(2), shift=shift
        )
    return keep_visible(seen, min_visibility=min_visibility)


def resize(
    sample: source.Sample, size: tf.Tensor | tuple[int, int], *, antialias: bool
) -> source.Sample:
    """Resize a sample: the picture bilinearly, masks and semantic by nearest pixel.

    Args:
        sample: dict with "image" and any annotations.
        size: int32 (2,), the new height and width.
        antialias: whether a smaller picture averages all pixels that it replaces,
            instead of leaving some out; several times slower.

    Returns:
        A dict with the same keys.
    """
    image = _resize_bilinear(sample["image"], size, antialias)
    resized = sample | {"image": image}
    if "semantic" in sample:
        resized["semantic"] = _resize_nearest(sample["semantic"], size)
    if "masks" in sample:
        resized["masks"] = _resize_nearest(sample["masks"], size)
    if "boxes" in sample:
        factors = tf.cast(size / size_of(sample["image"]), tf.float32)
        resized["boxes"] = boxes.scale_and_shift(
            sample["boxes"], scale=factors[::-1], shift=tf.zeros(2)
        )
    return resized


def _cut(tensor, origin, size, *, fill, first_axis=0):
    """Cut a window out of two neighbouring axes, padded where it leaves them."""
    available = tf.shape(tensor)[first_axis : first_axis + 2]
    low = tf.clip_by_value(origin, 0, available)
    high = tf.clip_by_value(origin + size, 0, available)
    other_axes = [[first_axis, tensor.shape.rank - first_axis - 2]]
    whole = tf.constant(-1)  # the size that means "all of it" to tf.slice
    inside = tf.slice(
        tensor,
        tf.pad(low, other_axes),
        tf.pad(high - low, other_axes, constant_values=whole),
    )
    before = tf.clip_by_value(low - origin, 0, size)
    after = size - before - (high - low)
    margins = tf.pad(tf.stack([before, after], axis=1), [*other_axes, [0, 0]])
    padded = tf.pad(inside, margins, constant_values=tf.cast(fill, tensor.dtype))
    shape = tensor.shape.as_list()
    known = tf.get_static_value(size)
    shape[first_axis : first_axis + 2] = [None, None] if known is None else known
    return tf.ensure_shape(padded, shape)


def _resize_bilinear(image, size, antialias):
    # The casts are for pictures of that size already, which come back as uint8.
    def resized(antialias):
        values = tf.image.resize(image, size, antialias=antialias)
        return tf.cast(values, tf.float32)

    if antialias:
        # Only where a side shrinks, because it is several times slower.
        shrinks = tf.reduce_any(size_of(image) > size)
        values = tf.cond(shrinks, lambda: resized(True), lambda: resized(False))
    else:
        values = resized(False)
    return tf.cast(values + 0.5, tf.uint8)


def _resize_nearest(planes, size):
    """Resize (..., height, width) by taking the pixel under each new one's centre."""
    return tf.image.resize(planes[..., None], size, method="nearest")[..., 0]
