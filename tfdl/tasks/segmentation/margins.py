"""Margins: what lies beyond the picture is the picture, mirrored [Ronneberger 2015]."""

import keras
from keras import ops


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class MirroredMargins2D(keras.layers.Layer):
    """Surround pictures by their mirror images, as often as they are needed.

    The outermost pixels are the mirrors, so that they are not repeated (NumPy's
    "reflect"). The far sides may get more, so that a network without padding, whose
    strides only fit certain sizes, answers for all pixels.

    Args:
        margin: int, pixels at every side.
        multiple: int, m: so many rows more fit as well.
        remainder: int, r: pictures of m n + r rows fit without more.
        **kwargs: name, dtype and so on.

    Input shape:
        float (batch, height, width, channels).

    Output shape:
        (batch, height + 2 margin + (r - height) % m, the same of width, channels).

    Reference:
        Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image
        Segmentation", 2015, figure 2; Ciresan et al., "Deep Neural Networks Segment
        Neuronal Membranes in Electron Microscopy Images", 2012, section 2.
    """

    def __init__(self, margin: int, *, multiple: int = 1, remainder: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.margin = margin
        self.multiple = multiple
        self.remainder = remainder
        # By which `receptive_field` knows a padding.
        self.pad_width = ((0, 0), (margin, margin), (margin, margin), (0, 0))

    def call(self, inputs):
        """Return the surrounded pictures."""
        for axis in (1, 2):
            size = ops.shape(inputs)[axis]
            pixels = ops.arange(-self.margin, self._surrounded(size) - self.margin)
            inputs = ops.take(inputs, _mirrored(pixels, size), axis=axis)
        return inputs

    def compute_output_shape(self, input_shape):
        """Return the shape with both margins."""
        batch, *sides, channels = input_shape
        sides = (None if side is None else self._surrounded(side) for side in sides)
        return batch, *sides, channels

    def _surrounded(self, size):
        return size + 2 * self.margin + (self.remainder - size) % self.multiple


def _mirrored(pixels, size):
    """Fold positions on an axis into those of a picture of `size` pixels."""
    period = ops.maximum(2 * (size - 1), 1)  # a single pixel is its own mirror image
    places = ops.mod(pixels, period)
    return ops.minimum(places, period - places)
