"""Subsampling with trained weights: an average, scaled and shifted per channel."""

import keras


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class Subsampling2D(keras.layers.AveragePooling2D):
    """Average windows, multiply by a trained coefficient and add a trained bias.

    Each channel has its own coefficient, which starts at 1, and bias, which starts at
    0. The paper adds the pixels of a window instead of averaging them (section II.B):
    its coefficient is ours divided by their number. Its squashing function is a layer
    of its own.

    Args:
        pool_size: int, or two: rows and columns of a window, by default the paper's 2.
        **kwargs: the other arguments of `keras.layers.AveragePooling2D`.

    Input shape:
        float (batch, height, width, channels), channels known.

    Output shape:
        (batch, height / 2, width / 2, channels) by default, rounded down.

    Reference:
        LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998.
    """

    def __init__(self, pool_size: int | tuple[int, int] = 2, **kwargs):
        super().__init__(pool_size, **kwargs)

    def build(self, input_shape):
        """Add the coefficients and the biases."""
        shape = (input_shape[-1],)
        self.coefficient = self.add_weight(
            name="coefficient", shape=shape, initializer="ones"
        )
        self.bias = self.add_weight(name="bias", shape=shape, initializer="zeros")

    def call(self, inputs):
        """Return the averages, scaled and shifted."""
        return super().call(inputs) * self.coefficient + self.bias
