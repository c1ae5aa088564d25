"""L2 normalisation with a learned scale: the channels of a pixel get one length."""

import keras
from keras import ops


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class ScaledL2Normalization(keras.layers.Layer):
    """Divide each pixel by its length over the channels, and scale each channel.

    SSD joins an early feature map, whose values are much larger than those of later
    ones, in this way [Liu 2016, 3.1, after ParseNet].

    Args:
        scale: float, the first value of every channel's scale.
        epsilon: float, added to the squared length, as in the authors' code; a pixel
            of zeros stays zero.
        **kwargs: name, dtype and so on.

    Input shape:
        float (batch, ..., channels), channels known.

    Reference:
        Liu, Rabinovich and Berg, "ParseNet: Looking Wider to See Better", 2015.
    """

    def __init__(self, *, scale: float = 20.0, epsilon: float = 1e-10, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
        self.epsilon = epsilon

    def build(self, input_shape):
        """Create the scale of every channel, float32 (channels,)."""
        self.gamma = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.scale),
            name="gamma",
            autocast=False,
        )

    def call(self, inputs):
        """Normalise in float32, return the inputs' dtype."""
        pixels = ops.cast(inputs, "float32")
        squares = ops.sum(ops.square(pixels), axis=-1, keepdims=True)
        outputs = pixels * ops.rsqrt(squares + self.epsilon) * self.gamma
        return ops.cast(outputs, inputs.dtype)
