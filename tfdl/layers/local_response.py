"""Local response normalisation: neighbouring channels compete [Krizhevsky 2012, 3.3].

Batch normalisation replaced it in later networks; AlexNet, ZFNet and GoogLeNet have it.
"""

import keras
from keras import ops

from tfdl import errors

THREE_QUARTERS = 0.75  # the paper's exponent, which needs no logarithm


@keras.saving.register_keras_serializable(package="tfdl")
class LocalResponseNormalization(keras.layers.Layer):
    """Divide each value by a power of its neighbouring channels' sum of squares.

    b[i] = a[i] / (bias + alpha * sum of a[j]^2 over `size` channels j around i)^beta.
    At the first and the last channels the sum has fewer terms.

    The defaults are the paper's. Caffe multiplies by alpha / size where the paper
    multiplies by alpha, and its bias is 1 by default: for Caffe's `local_size: 5`,
    `alpha: 1e-4` give alpha=2e-5, bias=1.0. PyTorch divides by the size as well. In
    `tf.nn.local_response_normalization` alpha is the paper's and the window a radius.

    The gradient is written down, since TensorFlow's for slices of channels is slow: on
    float32 (16, 27, 27, 256) and two CPU cores, forwards and backwards take 12 ms, as
    against 64 without and 23 for TensorFlow's kernel. A product with a banded matrix is
    as fast, but on a GPU TensorFlow rounds its factors to TF32's 10 bits.

    Args:
        size: int, odd, the number of channels in a window.
        bias: float, positive.
        alpha: float, at least 0.
        beta: float, at least 0.
        **kwargs: name, dtype and so on.

    Raises:
        errors.UsageError: if an argument is out of its range.

    Input shape:
        float (batch, ..., channels), channels known. The output has the same; under a
        mixed dtype policy the sums are float32.

    Reference:
        Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural
        Networks", 2012, section 3.3.
    """

    def __init__(
        self,
        *,
        size: int = 5,
        bias: float = 2.0,
        alpha: float = 1e-4,
        beta: float = THREE_QUARTERS,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check(size, bias, alpha, beta)
        self.size = size
        self.bias = bias
        self.alpha = alpha
        self.beta = beta
        self.supports_masking = True

    def call(self, inputs):
        """Normalise, in float32."""
        outputs = self._normalize()(ops.cast(inputs, "float32"))
        return ops.cast(outputs, inputs.dtype)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def _normalize(self):
        """Return the function of the values, together with its gradient."""

        @ops.custom_gradient
        def normalize(x):
            sums = self.bias + self.alpha * _window_sum(ops.square(x), self.size)
            factors = _inverse_power(sums, self.beta)

            def gradient(*args, upstream=None):
                # Backends differ in how they pass it.
                upstream = args[0] if upstream is None else upstream
                # Each value is in the sums of its neighbours, as they are in its own.
                through_sums = _window_sum(upstream * x * factors / sums, self.size)
                return upstream * factors - (
                    2 * self.alpha * self.beta * x * through_sums
                )

            return x * factors, gradient

        return normalize


def _check(size, bias, alpha, beta):
    if size < 1 or size % 2 == 0:
        raise errors.UsageError(
            f"`size` must be odd and positive. Received size={size}.",
            "Choose 5, as in the paper.",
        )
    if bias <= 0 or alpha < 0 or beta < 0:
        raise errors.UsageError(
            "`bias` must be positive, `alpha` and `beta` at least 0. Received "
            f"bias={bias}, alpha={alpha}, beta={beta}.",
            "Leave them out for those of the paper.",
        )


def _window_sum(x, size):
    """Sum `size` channels around each one, zeros beyond the ends."""
    channels = x.shape[-1]
    edges = [(0, 0)] * (len(x.shape) - 1) + [(size // 2, size // 2)]
    padded = ops.pad(x, edges)
    return sum(padded[..., start : start + channels] for start in range(size))


def _inverse_power(x, beta):
    if beta == THREE_QUARTERS:  # two square roots take a third of a power's time
        root = ops.rsqrt(x)
        return root * ops.sqrt(root)
    return ops.power(x, -beta)
