"""How is a rectangle of a picture replaced?"""

import tensorflow as tf


def cut(
    planes: tf.Tensor, low: tf.Tensor, high: tf.Tensor, *, first_axis: int = 0
) -> tf.Tensor:
    """Cut a rectangle out of two neighbouring axes.

    Args:
        planes: any dtype, (height, width, ...), or (..., height, width, ...).
        low: int32 (2,), first row and column.
        high: int32 (2,), the row and column behind the last.
        first_axis: which axis is the height.

    Returns:
        The same dtype and rank, of the rectangle's height and width.
    """
    before = [slice(None)] * first_axis
    return planes[(*before, slice(low[0], high[0]), slice(low[1], high[1]))]


def paste(
    planes: tf.Tensor,
    patch: tf.Tensor,
    low: tf.Tensor,
    high: tf.Tensor,
    *,
    first_axis: int = 0,
) -> tf.Tensor:
    """Replace a rectangle of two neighbouring axes.

    Args:
        planes: any dtype, (height, width, ...), or (..., height, width, ...).
        patch: the same dtype, of the rectangle's height and width.
        low: int32 (2,), first row and column.
        high: int32 (2,), the row and column behind the last.
        first_axis: which axis is the height.

    Returns:
        The same shape and dtype as `planes`.
    """
    # Whole blocks are copied: choosing pixel by pixel is many times slower.
    before = [slice(None)] * first_axis
    middle = planes[(*before, slice(low[0], high[0]))]
    left = middle[(*before, slice(None), slice(None, low[1]))]
    right = middle[(*before, slice(None), slice(high[1], None))]
    middle = tf.concat([left, patch, right], axis=first_axis + 1)
    above = planes[(*before, slice(None, low[0]))]
    below = planes[(*before, slice(high[0], None))]
    pasted = tf.concat([above, middle, below], axis=first_axis)
    return tf.ensure_shape(pasted, planes.shape)
