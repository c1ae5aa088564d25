"""How is a sample flipped, cropped, zoomed or shifted?"""

import math

import tensorflow as tf

from tfdl.data.augment import annotations, arguments
from tfdl.data.sources import source
from tfdl.ops import boxes


def flip_horizontal(
    sample: source.Sample, *, seed: tf.Tensor, rate: float = 0.5
) -> source.Sample:
    """Mirror a sample left to right.

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations.
        seed: int32 (2,).
        rate: how often it happens, [0, 1].

    Returns:
        A dict with the same keys, shapes and dtypes.

    Raises:
        UsageError: `rate` is no probability.
    """
    arguments.check_rate("rate", rate)
    flip = tf.random.stateless_uniform([], seed) < rate
    flipped = _reversed(sample, axis=1, flip=flip)
    if "boxes" in sample:
        width = annotations.size_of(sample["image"])[1]
        mirrored = boxes.flip_horizontal(sample["boxes"], width=width)
        flipped["boxes"] = tf.where(flip, mirrored, sample["boxes"])
    return flipped


def flip_vertical(
    sample: source.Sample, *, seed: tf.Tensor, rate: float = 0.5
) -> source.Sample:
    """Mirror a sample top to bottom.

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations.
        seed: int32 (2,).
        rate: how often it happens, [0, 1].

    Returns:
        A dict with the same keys, shapes and dtypes.

    Raises:
        UsageError: `rate` is no probability.
    """
    arguments.check_rate("rate", rate)
    flip = tf.random.stateless_uniform([], seed) < rate
    flipped = _reversed(sample, axis=0, flip=flip)
    if "boxes" in sample:
        height = annotations.size_of(sample["image"])[0]
        mirrored = boxes.flip_vertical(sample["boxes"], height=height)
        flipped["boxes"] = tf.where(flip, mirrored, sample["boxes"])
    return flipped


def random_crop(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    size: int | tuple[int, int] | None = None,
    padding: int = 0,
    fill: int = 0,
    min_visibility: float = 0.1,
) -> source.Sample:
    """Pad a sample on all sides, then cut a window out of it at a random place.

    With `padding=4` and no `size` this is the augmentation of CIFAR-10 [He 2015, 4.2].
    A picture smaller than the window lies at a random place in it.

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations.
        seed: int32 (2,).
        size: side, or height and width, of the window in pixels; None keeps the
            picture's own.
        padding: pixels added on each side before the crop.
        fill: value of added pixels; there, masks are 0 and semantic is 255.
        min_visibility: share of its area that a box must keep, or its object is
            dropped.

    Returns:
        A dict with the same keys, of the window's size; objects may be missing.

    Raises:
        UsageError: a parameter is out of range.
    """
    arguments.check_within("padding", padding, low=0, high=math.inf)
    available = annotations.size_of(sample["image"])
    if size is None:
        size = available
    else:
        size = tf.constant(arguments.height_and_width("size", size))
    one_end, other_end = -padding, available + padding - size
    # Where the window is the larger, the first end lies behind the other.
    first = tf.minimum(one_end, other_end)
    draws = tf.random.stateless_uniform([2], seed)
    corner = first + _place(draws, tf.abs(other_end - one_end))
    return annotations.window(
        sample, corner, size, fill=fill, min_visibility=min_visibility
    )


def random_resized_crop(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    size: int | tuple[int, int],
    areas: tuple[float, float] = (0.08, 1.0),
    ratios: tuple[float, float] = (3 / 4, 4 / 3),
    antialias: bool = True,
    min_visibility: float = 0.1,
) -> source.Sample:
    """Cut a window of random area and shape and resize it to a fixed size.

    The augmentation of Inception [Szegedy 2015, section 6]. Ten windows are drawn and
    the first that fits the picture is taken; if none fits (a very long picture), the
    first is cut to it.

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations.
        seed: int32 (2,).
        size: side, or height and width, of the result in pixels.
        areas: smallest and largest area of the window, as a share of the picture's.
        ratios: smallest and largest width / height of the window; their logarithm is
            uniform.
        antialias: whether shrinking averages all pixels that it replaces, instead of
            leaving some out; several times slower.
        min_visibility: share of its area that a box must keep, or its object is
            dropped.

    Returns:
        A dict with the same keys, of the given size; objects may be missing.

    Raises:
        UsageError: a parameter is out of range.
    """
    arguments.check_range("areas", areas)
    arguments.check_within("areas", areas[1], low=0, high=1)
    arguments.check_range("ratios", ratios)
    size = arguments.height_and_width("size", size)
    available = annotations.size_of(sample["image"])
    draws = tf.random.stateless_uniform([2, _ATTEMPTS + 1], seed)
    # The last column places the window, the others are attempts at its shape.
    inside = _first_fitting(draws[:, :_ATTEMPTS], available, areas, ratios)
    corner = _place(draws[:, _ATTEMPTS], available - inside)
    cropped = annotations.window(
        sample, corner, inside, fill=0, min_visibility=min_visibility
    )
    return annotations.resize(cropped, size, antialias=antialias)


def scale(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    factors: tuple[float, float] = (0.8, 1.25),
    fill: int = 0,
    antialias: bool = True,
    min_visibility: float = 0.1,
) -> source.Sample:
    """Zoom a sample in or out; the picture keeps its size.

    Zoomed in, it is cropped at a random place; zoomed out, it lies at a random place
    on an empty canvas. Factors (0.1, 2) are the large scale jitter of Ghiasi 2021.

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations.
        seed: int32 (2,).
        factors: smallest and largest zoom, over 1 makes objects larger; the logarithm
            is uniform.
        fill: value of pixels beside the picture; there, masks are 0 and semantic is
            255.
        antialias: whether shrinking averages all pixels that it replaces.
        min_visibility: share of its area that a box must keep, or its object is
            dropped.

    Returns:
        A dict with the same keys, shapes of pictures and dtypes; objects may be
        missing.

    Raises:
        UsageError: a parameter is out of range.
    """
    arguments.check_range("factors", factors)
    size = annotations.size_of(sample["image"])
    draws = tf.random.stateless_uniform([3], seed)
    factor = _log_uniform(draws[2], factors)
    # One of the two is the whole: the source when zooming out, else the result.
    source_size = tf.minimum(_stretched(size, 1 / factor), size)
    result_size = tf.minimum(_stretched(size, factor), size)
    seen = annotations.window(
        sample,
        _place(draws[:2], size - source_size),
        source_size,
        fill=fill,
        min_visibility=min_visibility,
    )
    zoomed = annotations.resize(seen, result_size, antialias=antialias)
    corner = -_place(draws[:2], size - result_size)
    return annotations.window(zoomed, corner, size, fill=fill, min_visibility=0)


def shift(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    rate: float | tuple[float, float] = 0.1,
    fill: int = 0,
    min_visibility: float = 0.1,
) -> source.Sample:
    """Move a sample by whole pixels, each way equally likely.

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations.
        seed: int32 (2,).
        rate: the farthest move as a share of the side, [0, 1]; one number, or (down,
            across).
        fill: value of the pixels that come in; there, masks are 0 and semantic is 255.
        min_visibility: share of its area that a box must keep, or its object is
            dropped.

    Returns:
        A dict with the same keys, shapes of pictures and dtypes; objects may be
        missing.

    Raises:
        UsageError: a parameter is out of range.
    """
    rates = (rate, rate) if isinstance(rate, (int, float)) else rate
    for each in rates:
        arguments.check_rate("rate", each)
    size = annotations.size_of(sample["image"])
    farthest = tf.cast(tf.cast(size, tf.float32) * rates, tf.int32)
    steps = _place(tf.random.stateless_uniform([2], seed), 2 * farthest)
    return annotations.window(
        sample, steps - farthest, size, fill=fill, min_visibility=min_visibility
    )


_ATTEMPTS = 10  # as torchvision has it; Szegedy 2015 does not say


def _reversed(sample, *, axis, flip):
    """Reverse the rows (axis 0) or columns (axis 1) of every plane, if told to."""
    times = tf.cast(flip, tf.int32)
    first_axes = {"image": 0, "semantic": 0, "masks": 1}
    return sample | {
        # An empty range of axes leaves the planes as they are.
        name: tf.reverse(sample[name], tf.range(first + axis, first + axis + times))
        for name, first in first_axes.items()
        if name in sample
    }


def _first_fitting(draws, available, areas, ratios):
    """Choose among windows of random area and shape one that the picture contains.

    Args:
        draws: float32 (2, attempts) in [0, 1), for area and shape.
        available: int32 (2,), height and width of the picture.
        areas: smallest and largest share of the picture's area.
        ratios: smallest and largest width / height.

    Returns:
        int32 (2,), height and width.
    """
    picture = tf.cast(available, tf.float32)
    area = tf.reduce_prod(picture) * (areas[0] + draws[0] * (areas[1] - areas[0]))
    ratio = _log_uniform(draws[1], ratios)
    sides = tf.round(tf.sqrt(tf.stack([area / ratio, area * ratio])))  # (2, attempts)
    fits = tf.reduce_all(sides <= picture[:, None], axis=0)
    chosen = tf.gather(sides, tf.argmax(tf.cast(fits, tf.int32)), axis=1)
    return tf.cast(tf.clip_by_value(chosen, 1, picture), tf.int32)


def _log_uniform(draw, interval):
    low, high = interval
    return low * (high / low) ** draw


def _stretched(size, factor):
    """Multiply a size, int32 (2,), to whole pixels and at least one."""
    stretched = tf.round(tf.cast(size, tf.float32) * factor)
    return tf.maximum(tf.cast(stretched, tf.int32), 1)


def _place(draws, last):
    """Turn draws, float32 (2,) in [0, 1), into equally likely int32 in [0, last]."""
    return tf.cast(draws * tf.cast(last + 1, tf.float32), tf.int32)
