"""How is a part of a picture hidden?"""

import tensorflow as tf

from tfdl.data.augment import annotations, arguments, rectangles
from tfdl.data.sources import source


def erasing(
    sample: source.Sample,
    *,
    seed: tf.Tensor,
    rate: float = 0.5,
    areas: tuple[float, float] = (0.02, 0.4),
    ratios: tuple[float, float] = (0.3, 3.3),
) -> source.Sample:
    """Cover a random rectangle of some pictures with noise [Zhong 2020, RE-R].

    Boxes, labels and masks stay: an object behind the rectangle is still there, which
    is what its detector should learn. In semantic the rectangle becomes 255, ignore.
    Where the paper draws again until the rectangle fits, its sides are cut here to
    the picture's.

    Args:
        sample: dict with "image", uint8 (height, width, channels), and any annotations.
        seed: int32 (2,).
        rate: how often it happens, [0, 1].
        areas: smallest and largest area of the rectangle, as a share of the picture's.
        ratios: smallest and largest width / height of the rectangle; their logarithm
            is uniform (in the paper, the ratio is).

    Returns:
        A dict with the same keys, shapes and dtypes.

    Raises:
        UsageError: a parameter is out of range.
    """
    arguments.check_rate("rate", rate)
    arguments.check_range("areas", areas)
    arguments.check_within("areas", areas[1], low=0, high=1)
    arguments.check_range("ratios", ratios)
    noise_seed = tf.random.experimental.stateless_fold_in(seed, 1)
    draws = tf.random.stateless_uniform([5], seed)

    def erased():
        return _cover(sample, draws[1:], noise_seed, areas, ratios)

    return tf.cond(draws[0] < rate, erased, lambda: dict(sample))


def _cover(sample, draws, noise_seed, areas, ratios):
    """Cover the rectangle that four draws in [0, 1) describe."""
    size = annotations.size_of(sample["image"])
    picture = tf.cast(size, tf.float32)
    area = tf.reduce_prod(picture) * (areas[0] + draws[0] * (areas[1] - areas[0]))
    ratio = ratios[0] * (ratios[1] / ratios[0]) ** draws[1]
    sides = tf.round(tf.sqrt(tf.stack([area / ratio, area * ratio])))
    sides = tf.cast(tf.clip_by_value(sides, 1, picture), tf.int32)
    low = tf.cast(draws[2:] * tf.cast(size - sides + 1, tf.float32), tf.int32)
    high = low + sides
    image = sample["image"]
    shape = tf.concat([sides, tf.shape(image)[2:]], axis=0)
    noise = tf.random.stateless_uniform(shape, noise_seed, 0, 256, tf.int32)
    noise = tf.cast(noise, tf.uint8)
    covered = sample | {"image": rectangles.paste(image, noise, low, high)}
    if "semantic" in sample:
        ignore = tf.fill(sides, tf.constant(annotations.SEMANTIC_PADDING, tf.uint8))
        covered["semantic"] = rectangles.paste(sample["semantic"], ignore, low, high)
    return covered
