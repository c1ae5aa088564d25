"""DropConnect: a dense layer that forgets some of its weights at every step."""

import keras
from keras import ops

from tfdl import errors


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class DropConnect(keras.layers.Dense):
    """Multiply by weights each of which is dropped with probability `rate` in training.

    As in the paper every example has its own mask, because one for a whole batch of 128
    regularises too little (section 5). The price is memory and draws: about 12 bytes
    for each weight and example of the batch. On two CPU cores 1024 x 64 weights and 128
    examples take 35 to 40 ms forwards and backwards (100 MB), 800 x 800 weights 350 ms
    (800 MB), where the plain layer takes 1 and 3 ms: a wide layer needs small batches.
    The positions of an example with more than two axes share its mask. The bias is
    never dropped (the paper drops it too).

    The weights that are kept are divided by 1 - rate in training, so that the outputs
    before the activation keep their expectation and inference is the plain dense layer:
    no draw, no mask. The paper keeps them as they are, and in inference takes the mean
    of the activation over samples of the normal distribution that has the first two
    moments of the masked sum. In our scale that distribution has the mean W v, which is
    all that we use, and the variance rate / (1 - rate) * (W * W)(v * v), which we leave
    out: the two agree for a linear activation, and for ReLU the paper's mean is larger,
    the more so the closer W v is to 0.

    Args:
        units: int, number of outputs.
        rate: float in [0, 1), share of the weights that are dropped.
        seed: int, of the layer's own generator; None for a random one.
        **kwargs: the other arguments of `keras.layers.Dense`.

    Input shape:
        float (batch, ..., channels), channels known.

    Output shape:
        (batch, ..., units).

    Raises:
        errors.UsageError: if the rate is out of its range.

    Reference:
        Wan et al., "Regularization of Neural Networks using DropConnect", 2013.
    """

    def __init__(self, units: int, *, rate: float, seed: int | None = None, **kwargs):
        super().__init__(units, **kwargs)
        if not 0 <= rate < 1:
            raise errors.UsageError(
                f"`rate` must be in [0, 1). Received rate={rate}.",
                "Give 0.5, as in the paper, or 0 to keep every weight.",
            )
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=None):
        """Return the activations, of masked weights in training."""
        if not training or not self.rate:
            return super().call(inputs)
        shape = ops.shape(inputs)
        x = ops.reshape(inputs, (shape[0], -1, shape[-1]))
        x = ops.matmul(x, self._masked_kernels(shape[0]))  # (batch, positions, units)
        x = ops.reshape(x, (*shape[:-1], self.units))
        if self.use_bias:
            x = x + self.bias
        return self.activation(x)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}

    def _masked_kernels(self, batch):
        """Draw a kernel for each example, float (batch, channels, units)."""
        draws = keras.random.uniform(
            # Always float32: bfloat16 has 256 numbers in [0.5, 1), too few for a rate.
            (batch, *self.kernel.shape),
            dtype="float32",
            seed=self.seed_generator,
        )
        return ops.where(draws >= self.rate, self.kernel / (1 - self.rate), 0)
