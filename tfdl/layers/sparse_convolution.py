"""A convolution in which each output map sees only some of the input maps."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tfdl import errors


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class SparseConv2D(keras.layers.Layer):
    """Convolve the listed input channels of each output channel, without padding.

    The kernel holds the weights that exist, and no others: (rows, columns, pairs), the
    pairs of an input and an output channel in the order of `connections`. So the
    layer's count is the paper's, and every weight has a gradient. It is computed as one
    plain convolution, whose other weights are zeros.

    The weights start with the variance 1 / (weights of their output channel), which
    keeps the outputs' variance; the biases start at 0.

    Args:
        connections: for each output channel the input channels that it sees.
        kernel_size: int, rows and columns of the kernel.
        **kwargs: name, dtype and so on.

    Input shape:
        float (batch, height, width, channels), channels known.

    Output shape:
        (batch, height - kernel_size + 1, width - kernel_size + 1, len(connections)).

    Raises:
        errors.UsageError: if an output channel sees nothing, or a channel twice, or one
            that the input has not.

    Reference:
        LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998,
        table I.
    """

    def __init__(
        self, connections: Sequence[Sequence[int]], kernel_size: int, **kwargs
    ):
        super().__init__(**kwargs)
        self.connections = [list(channels) for channels in connections]
        # As Keras's convolutions have them; the receptive field is read from these.
        self.kernel_size = (kernel_size, kernel_size)
        self.strides, self.padding = (1, 1), "valid"
        if not connections or any(
            not channels or len(set(channels)) < len(channels)
            for channels in self.connections
        ):
            raise errors.UsageError(
                "`connections` must give every output channel at least one input "
                f"channel, each once. Received connections={self.connections}.",
                "Leave out an output channel that sees nothing.",
            )

    def build(self, input_shape):
        """Add the kernel of the pairs and the biases."""
        num_inputs, num_outputs = input_shape[-1], len(self.connections)
        pairs = self._pairs()
        if not all(0 <= channel < num_inputs for channel, _ in pairs):
            raise errors.UsageError(
                f"`connections` must be of channels from 0 to {num_inputs - 1}. "
                f"Received connections={self.connections}.",
                "Give the layer before it more channels.",
            )
        places = np.zeros((len(pairs), num_inputs, num_outputs), "float32")
        for number, pair in enumerate(pairs):
            places[number, *pair] = 1
        self._places = places.reshape(len(pairs), -1)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, len(pairs)),
            initializer=self._initial_kernel,
        )
        self.bias = self.add_weight(
            name="bias", shape=(num_outputs,), initializer="zeros"
        )

    def call(self, inputs):
        """Return the convolved maps."""
        places = ops.convert_to_tensor(self._places, dtype=self.compute_dtype)
        kernel = ops.reshape(
            ops.matmul(self.kernel, places),
            (*self.kernel_size, inputs.shape[-1], len(self.connections)),
        )
        return ops.conv(inputs, kernel, padding=self.padding) + self.bias

    def compute_output_shape(self, input_shape):
        """Return the shape without the border, with a channel for each list."""
        sides = (
            side and side - taps + 1
            for side, taps in zip(input_shape[1:3], self.kernel_size, strict=True)
        )
        return (input_shape[0], *sides, len(self.connections))

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "connections": self.connections,
            "kernel_size": self.kernel_size[0],
        }

    def _pairs(self):
        return [
            (channel, output)
            for output, channels in enumerate(self.connections)
            for channel in channels
        ]

    def _initial_kernel(self, shape, dtype=None):
        area = math.prod(self.kernel_size)
        fans = [area * len(self.connections[output]) for _, output in self._pairs()]
        deviations = ops.convert_to_tensor(1 / np.sqrt(fans), dtype=dtype)
        return keras.random.normal(shape, dtype=dtype) * deviations
