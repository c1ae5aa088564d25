"""Max-pooling that remembers where the maxima were, and the way back [Zeiler 2014].

The windows are 2 x 2 and do not overlap. A place is a number from 0 to 3, which counts
a window's pixels in reading order; two bits would hold it [Badrinarayanan 2017, 3.1].
Of equal pixels the first is the maximum.
"""

import keras
import numpy as np
from keras import ops

SIZE = 2  # rows and columns of a window


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class IndexedMaxPooling2D(keras.layers.Layer):
    """Halve a map by the maxima of its windows, and tell where they were.

    The last window of an odd side is cut off by the edge, as by Keras's "same" padding.
    The gradient goes to the place of the maximum alone, also where pixels are equal.

    Args:
        **kwargs: name, dtype and so on.

    Input shape:
        float (batch, height, width, channels).

    Output shape:
        Two tensors of (batch, ceil(height / 2), ceil(width / 2), channels): the maxima,
        float, and their places, int8.

    Reference:
        Badrinarayanan et al., "SegNet: A Deep Convolutional Encoder-Decoder
        Architecture for Image Segmentation", 2017, section 3.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.padding = (SIZE, SIZE), (SIZE, SIZE), "same"

    def call(self, inputs):
        """Return the maxima and their places."""
        places = _places(ops.stop_gradient(inputs))
        return _pooled(inputs, places), places

    def compute_output_spec(self, inputs):
        """Return both outputs' shape; the places are whole numbers."""
        batch, height, width, channels = inputs.shape
        halves = (
            None if side is None else -(-side // SIZE) for side in (height, width)
        )
        shape = (batch, *halves, channels)
        dtypes = (self.compute_dtype, "int8")
        return tuple(keras.KerasTensor(shape, dtype=dtype) for dtype in dtypes)


@keras.saving.register_keras_serializable(package="tfdl")
class MaxUnpooling2D(keras.layers.Layer):
    """Double a map: every value at the place of its window's maximum, zeros elsewhere.

    Args:
        **kwargs: name, dtype and so on.

    Input shape:
        Two tensors of (batch, height, width, channels): values, float, and places,
        int8, in {0, 1, 2, 3}.

    Output shape:
        (batch, 2 height, 2 width, channels). What was pooled from an odd side is a row
        or column too long, which holds zeros.

    Reference:
        Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014,
        section 2.1; Badrinarayanan 2017, section 3.
    """

    def call(self, inputs):
        """Put the values back."""
        return _unpooled(*inputs)

    def compute_output_shape(self, input_shape):
        """Return the shape of the values, with both sides doubled."""
        batch, *sides, channels = input_shape[0]
        doubled = (None if side is None else SIZE * side for side in sides)
        return batch, *doubled, channels


def _pooled(x, places):
    """Pool by the maximum, with the gradient put back at the places.

    That of a maximum would be divided among equal pixels, or go to another of them.
    """

    @ops.custom_gradient
    def pool(x):
        rows, columns = ops.shape(x)[1:3]

        def gradient(*args, upstream=None):
            # Backends differ in how they pass it.
            upstream = args[0] if upstream is None else upstream
            return _put(upstream, places)[:, :rows, :columns]

        return _maxima(x), gradient

    return pool(x)


def _unpooled(values, places):
    """Put values at their places, with the gradient taken from there.

    It is written out because the sum over a window, which would pick it, is slow.
    """

    @ops.custom_gradient
    def unpool(values):
        def gradient(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            first, second, third, fourth = _pixels(upstream)
            lower = ops.where(ops.equal(places, 2), third, fourth)
            upper = ops.where(ops.equal(places, 0), first, second)
            return ops.where(ops.less(places, 2), upper, lower)

        return _put(values, places), gradient

    return unpool(values)


def _maxima(x):
    return ops.max_pool(x, SIZE, SIZE, padding="same")


def _places(x):
    """Count the pixels before the first maximum: int8 (batch, rows, columns, channels).

    Beyond the edge lies minus infinity, which is no maximum before a pixel is.
    """
    maxima = _maxima(x)
    far = [(0, -side % SIZE) for side in ops.shape(x)[1:3]]
    if any(not isinstance(rest, int) or rest for _, rest in far):
        x = ops.pad(x, [(0, 0), *far, (0, 0)], constant_values=-np.inf)
    is_first, is_second, is_third, _ = (ops.equal(p, maxima) for p in _pixels(x))
    zero, one, two, three = np.arange(SIZE * SIZE, dtype="int8")
    later = ops.where(is_second, one, ops.where(is_third, two, three))
    return ops.where(is_first, zero, later)


def _pixels(x):
    """Take the windows apart: four tensors of (batch, rows, columns, channels).

    Slices with strides take three times as long as those of a reshaped map.
    """
    batch, height, width, channels = ops.shape(x)
    x = ops.reshape(x, (batch, height // SIZE, SIZE, width // SIZE, SIZE * channels))
    return [
        x[:, :, row, :, column * channels : (column + 1) * channels]
        for row in range(SIZE)
        for column in range(SIZE)
    ]


def _put(values, places):
    """Place values in windows of zeros: (batch, 2 rows, 2 columns, channels)."""
    batch, rows, columns, channels = ops.shape(values)
    numbers = np.arange(SIZE * SIZE, dtype="int8").reshape(1, 1, SIZE, 1, SIZE, 1)
    is_place = ops.equal(places[:, :, None, :, None], numbers)
    windows = ops.where(is_place, values[:, :, None, :, None], 0)
    return ops.reshape(windows, (batch, SIZE * rows, SIZE * columns, channels))
