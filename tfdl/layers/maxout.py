"""Maxout: a unit is the largest of several linear functions of its inputs."""

import keras
from keras import ops

from tfdl import errors


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class Maxout(keras.layers.Layer):
    """Take the maximum over groups of neighbouring channels.

    After a dense layer of `units * num_pieces` outputs without activation it is the
    paper's dense maxout, after such a convolution the maximum "across k affine feature
    maps" (section 3): output channel j is the maximum of the input channels
    j * num_pieces to (j + 1) * num_pieces - 1. The gradient flows to the largest alone;
    pieces that are equal share it.

    The kernel before it keeps the variance with `lecun_normal` for two pieces: the mean
    square of the larger of two standard normal numbers is 1.

    Args:
        num_pieces: int >= 1, linear functions per unit, the paper's k.
        **kwargs: name, dtype and so on.

    Input shape:
        float (batch, ..., channels), channels known and a multiple of `num_pieces`.

    Output shape:
        (batch, ..., channels / num_pieces).

    Raises:
        errors.UsageError: if the pieces are fewer than 1, or do not divide the
            channels.

    Reference:
        Goodfellow et al., "Maxout Networks", 2013.
    """

    def __init__(self, num_pieces: int, **kwargs):
        super().__init__(**kwargs)
        if num_pieces < 1:
            raise errors.UsageError(
                f"`num_pieces` must be at least 1. Received num_pieces={num_pieces}.",
                "Give 2, as the paper's convolutions have.",
            )
        self.num_pieces = num_pieces

    def build(self, input_shape):
        """Refuse channels that the pieces do not divide."""
        channels = input_shape[-1]
        if channels is None or channels % self.num_pieces:
            raise errors.UsageError(
                "The channels must be a multiple of `num_pieces`. "
                f"Received channels={channels}, num_pieces={self.num_pieces}.",
                "Give the layer before it units * num_pieces channels.",
            )

    def call(self, inputs):
        """Return the largest piece of each unit."""
        channels = inputs.shape[-1]
        shape = ops.shape(inputs)[:-1]
        pieces = ops.reshape(
            inputs, (*shape, channels // self.num_pieces, self.num_pieces)
        )
        return ops.max(pieces, axis=-1)

    def compute_output_shape(self, input_shape):
        """Return the shape with `num_pieces` times fewer channels."""
        return (*input_shape[:-1], input_shape[-1] // self.num_pieces)
