"""How are two prepared examples made into one?

An example is a dict with "image", float32 (size, size, channels), and of these what its
task has: "classes", float32 (classes,), a probability for each; "boxes", float32
(objects, 4), pixels, with "labels", int32 (objects,), "masks", (objects, size, size),
and "weights", float32 (objects,), 0 for padding (without them every object counts as
1); "semantic", (size, size). Other keys are kept from the first example.
"""

import math

import tensorflow as tf

from tfdl.data.augment import arguments, objects, rectangles
from tfdl.ops import boxes

Example = dict[str, tf.Tensor]


def mixup(
    example: Example, partner: Example, *, seed: tf.Tensor, alpha: float = 0.2
) -> Example:
    """Blend two examples, by a share from Beta(alpha, alpha) [Zhang 2018].

    Objects of both are kept, each weighted by the share of its picture [Zhang 2019];
    semantic cannot be blended and is that of the larger share.

    Args:
        example: see the module's docstring.
        partner: the same keys, shapes and dtypes; its number of objects is free.
        seed: int32 (2,).
        alpha: over 0; the larger, the more even the shares.

    Returns:
        A dict like `example`, with "weights" if it has boxes, and as many objects as
        both together.

    Raises:
        UsageError: `alpha` is not positive.
    """
    share = _beta(alpha, seed)
    mixed = example | _blended(example, partner, ("image", "classes"), share)
    if "semantic" in example:
        mixed["semantic"] = tf.cond(
            share >= 0.5, lambda: example["semantic"], lambda: partner["semantic"]
        )
    if "boxes" in example:
        own = objects.weighted(example, share)
        others = objects.weighted(partner, 1 - share)
        mixed |= objects.joined(own, others)
    return mixed


def cutmix(
    example: Example,
    partner: Example,
    *,
    seed: tf.Tensor,
    alpha: float = 1.0,
    min_visibility: float = 0.1,
) -> Example:
    """Paste a rectangle of the partner at the same place [Yun 2019].

    Its area is drawn from Beta(alpha, alpha) and its centre anywhere, so that it may be
    cut off; classes are mixed by the area really pasted. Boxes are cut to what is still
    seen of them. To keep the number of objects fixed, one of which too little is seen
    becomes padding: weight 0, label -1, a box of zeros.

    Args:
        example: see the module's docstring.
        partner: the same keys, shapes and dtypes; its number of objects is free.
        seed: int32 (2,).
        alpha: over 0; the larger, the more often the areas are about equal.
        min_visibility: share of its area that a box must keep.

    Returns:
        A dict like `example`, with "weights" if it has boxes, and as many objects as
        both together.

    Raises:
        UsageError: a parameter is out of range.
    """
    arguments.check_rate("min_visibility", min_visibility)
    size = tf.shape(example["image"])[:2]
    low, high = _random_rectangle(size, alpha, seed)
    pasted_share = tf.reduce_prod((high - low) / size)
    share = tf.cast(1 - pasted_share, tf.float32)
    mixed = example | _blended(example, partner, ("classes",), share)
    for name in ("image", "semantic"):
        if name in example:
            patch = rectangles.cut(partner[name], low, high)
            mixed[name] = rectangles.paste(example[name], patch, low, high)
    if "boxes" in example:
        rectangle = tf.cast(tf.concat([low[::-1], high[::-1]], axis=0), tf.float32)
        own = _behind(objects.weighted(example, 1.0), rectangle, min_visibility)
        others = objects.inside(
            objects.weighted(partner, 1.0), rectangle, min_visibility
        )
        if "masks" in example:
            own["masks"] = _erased(example["masks"], low, high)
            others["masks"] = partner["masks"] - _erased(partner["masks"], low, high)
        mixed |= objects.joined(own, others)
    return mixed


def _beta(alpha, seed):
    """Draw from Beta(alpha, alpha), float32 (): a gamma's share of two gammas."""
    arguments.check_range("alpha", (alpha, math.inf))
    # In float32 both gammas would often round to 0 where alpha is small.
    concentration = tf.constant(alpha, tf.float64)
    gammas = tf.random.stateless_gamma([2], seed, concentration, dtype=tf.float64)
    share = tf.math.divide_no_nan(gammas[0], tf.reduce_sum(gammas))
    return tf.cast(share, tf.float32)


def _random_rectangle(size, alpha, seed):
    """Draw where to paste: first, and behind last, row and column, int32 (2,)."""
    place_seed = tf.random.experimental.stateless_fold_in(seed, 1)
    sides = tf.sqrt(1 - _beta(alpha, seed)) * tf.cast(size, tf.float32)
    draws = tf.random.stateless_uniform([2], place_seed)
    centre = draws * tf.cast(size, tf.float32)
    low = tf.cast(tf.round(centre - sides / 2), tf.int32)
    high = tf.cast(tf.round(centre + sides / 2), tf.int32)
    return tf.maximum(low, 0), tf.minimum(high, size)


def _blended(example, partner, names, share):
    return {
        name: share * example[name] + (1 - share) * partner[name]
        for name in names
        if name in example
    }


def _behind(own, rectangle, min_visibility):
    """Cut boxes to the hull of what a rectangle in front of them leaves."""
    x_min, y_min, x_max, y_max = tf.unstack(own["boxes"], axis=-1)
    left, top, right, bottom = tf.unstack(rectangle)
    # A side moves only where the rectangle covers it from end to end.
    over_height = (top <= y_min) & (y_max <= bottom)
    over_width = (left <= x_min) & (x_max <= right)
    sides = [
        tf.where(over_height & (left <= x_min), tf.maximum(x_min, right), x_min),
        tf.where(over_width & (top <= y_min), tf.maximum(y_min, bottom), y_min),
        tf.where(over_height & (x_max <= right), tf.minimum(x_max, left), x_max),
        tf.where(over_width & (y_max <= bottom), tf.minimum(y_max, top), y_max),
    ]
    hidden = boxes.intersection(own["boxes"], rectangle[None])[:, 0]
    seen = boxes.area(own["boxes"]) - hidden
    return objects.seen_only(own, tf.stack(sides, axis=-1), seen, min_visibility)


def _erased(masks, low, high):
    """Set a rectangle of (objects, height, width) to 0."""
    empty = tf.zeros_like(rectangles.cut(masks, low, high, first_axis=1))
    return rectangles.paste(masks, empty, low, high, first_axis=1)
