"""How much should a pixel count, so that touching cells are kept apart?

U-Net's weights [Ronneberger 2015, equation 2] are w_c + w0 exp(-(d1 + d2)^2 / (2 s^2)),
where w_c weighs the class, and d1 and d2 are the distances to the nearest cell and to
the second nearest, so that the pixels of a narrow gap between two cells count most. All
is done in graphs, for tf.data; a map of 512 x 512 takes half a second of one core, one
of 256 x 256 a fifth of that.
"""

import math

import tensorflow as tf

from tfdl import errors
from tfdl.data.augment import annotations
from tfdl.tasks.segmentation import regions

BORDER_WEIGHT = 10.0  # w0, section 3
SIGMA = 5.0  # pixels, section 3
# Standard deviations beyond which nothing is looked for: w0 exp(-5^2 / 2) is 4e-5.
_REACH = 5.0
_CELLS = 2**32  # squared distance and cell in one number: distance * _CELLS + cell
_FAR = 2**62


def unet(
    labels: tf.Tensor,
    *,
    class_weights: tf.Tensor,
    border_weight: float = BORDER_WEIGHT,
    sigma: float = SIGMA,
) -> tf.Tensor:
    """Draw the weights of a label map, whose connected regions are the cells.

    Args:
        labels: uint8 (height, width), classes, 0 for background, 255 for ignored.
        class_weights: float (classes,), w_c of each, not negative, such as
            `class_weights.inverse_frequency` gives.
        border_weight: w0, not negative.
        sigma: s, in pixels, positive.

    Returns:
        float32 (height, width), 0 where it is ignored.

    Raises:
        UsageError: `sigma` is not positive.
    """
    labels = tf.cast(labels, tf.int32)
    is_ignored = labels == annotations.SEMANTIC_PADDING
    labels = tf.where(is_ignored, 0, labels)
    of_classes = tf.gather(tf.cast(class_weights, tf.float32), labels)
    cells = regions.connected(labels)
    weights = of_classes + borders(cells, border_weight=border_weight, sigma=sigma)
    return tf.where(is_ignored, 0.0, weights)


def borders(
    cells: tf.Tensor, *, border_weight: float = BORDER_WEIGHT, sigma: float = SIGMA
) -> tf.Tensor:
    """Draw the second term of the equation from cells that are told apart already.

    Deviation from the paper: the equation holds for every pixel, this is 0 inside the
    cells, where nothing is to be kept apart. Where d1 or d2 is beyond 5 `sigma` it may
    be left out, at most 4e-6 of `border_weight`.

    Args:
        cells: integer (height, width), a positive number for each cell, 0 between.
        border_weight: w0, not negative.
        sigma: s, in pixels, positive.

    Returns:
        float32 (height, width), from 0 to `border_weight`.

    Raises:
        UsageError: `sigma` is not positive.
    """
    if sigma <= 0:
        raise errors.UsageError(
            f"`sigma` must be positive. Received sigma={sigma}.",
            "The paper's is 5 pixels.",
        )
    places = tf.where(cells == 0)
    distances = nearest_two(cells, places, reach=math.ceil(_REACH * sigma))
    weights = border_weight * tf.exp(
        -tf.square(tf.add_n(distances)) / (2 * sigma * sigma)
    )
    return tf.scatter_nd(places, weights, tf.shape(cells, tf.int64))


def nearest_two(
    cells: tf.Tensor, places: tf.Tensor, *, reach: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Measure how far the nearest cell and the second nearest are from some pixels.

    Exact, in two passes, as squared distances add: first each pixel of the map keeps
    the nearest two cells of its row, then each place looks along its column at what was
    kept. A third cell of a row is no nearer to any pixel of the column than those two.

    Args:
        cells: integer (height, width), a positive number below 2^31 for each cell, 0
            between them.
        places: int64 (pixels, 2), row and column of those that are asked for.
        reach: how far is looked along rows and columns, in pixels.

    Returns:
        Two float32 (pixels,), distances in pixels between the centres of pixels, 0 to
        the own cell; exact up to `reach`, and infinite where nothing is found.
    """
    size = tf.shape(cells, tf.int64)
    rows, columns = tf.meshgrid(tf.range(size[0]), tf.range(size[1]), indexing="ij")
    # One number holds squared distance and cell, so that the least is the nearest.
    cells = tf.cast(cells, tf.int64)
    cells = tf.where(cells > 0, cells, _FAR)
    along_rows = _look_around(
        [cells], tf.reshape(rows, [-1]), tf.reshape(columns, [-1]), reach
    )
    maps = [tf.transpose(tf.reshape(found, size)) for found in along_rows]
    along_both = _look_around(maps, places[:, 1], places[:, 0], reach)
    return tuple(_distance(found) for found in along_both)


def _look_around(maps, rows, columns, reach):
    """Keep the nearest two cells that rows of maps hold within reach of columns."""
    margins = [[0, 0], [reach, reach]]
    padded = [tf.pad(some, margins, constant_values=_FAR) for some in maps]
    begin = rows * tf.shape(padded[0], tf.int64)[1] + columns
    flat = [tf.reshape(some, [-1]) for some in padded]

    def look(step, *nearest):
        squared = tf.square(step - reach) * _CELLS
        for some in flat:
            candidate = tf.gather(some, begin + step) + squared
            nearest = _keep_two(*nearest, candidate)
        return step + 1, *nearest

    nothing = tf.fill(tf.shape(begin), tf.constant(_FAR, tf.int64))
    start = (tf.constant(0, tf.int64), nothing, nothing)
    _, *found = tf.while_loop(lambda step, *_: step <= 2 * reach, look, start)
    return found


def _keep_two(first, second, candidate):
    """Keep the two least of three, of which no two are of one cell."""
    # The same low half: the same cell.
    is_known = tf.cast(first, tf.int32) == tf.cast(candidate, tf.int32)
    other = tf.minimum(second, tf.maximum(first, candidate))
    return tf.minimum(first, candidate), tf.where(is_known, second, other)


def _distance(found):
    squared = tf.cast(found // _CELLS, tf.float32)
    return tf.where(found >= _FAR, math.inf, tf.sqrt(squared))
