"""Activations that Keras lacks, or has in a form that is slower or fails somewhere."""

import keras
import tensorflow as tf
from keras import ops

_LARGE = 20.0  # beyond it mish is its argument, to float32's last digit


# Keras's loader finds a function in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
def silu(x):
    """Compute x sigmoid(x), with a gradient of four passes over memory, not six.

    The derivative is sigmoid(x) (1 + x - y) for the result y, which the next layer
    keeps anyway. On TensorFlow one kernel multiplies the gradient by the sigmoid; other
    backends take Keras's own function.

    Args:
        x: float, of any shape.

    Returns:
        float of the same shape.

    Reference:
        Elfwing et al., "Sigmoid-Weighted Linear Units", 2018 (also known as Swish).
    """
    if keras.backend.backend() != "tensorflow":
        return ops.silu(x)
    return _silu(tf.convert_to_tensor(x))


@tf.custom_gradient
def _silu(x):
    y = x * tf.sigmoid(x)

    def gradient(upstream):
        scaled = tf.raw_ops.SoftplusGrad(gradients=upstream, features=x)
        return scaled * ((x - y) + 1)

    return y, gradient


@keras.saving.register_keras_serializable(package="tfdl")
def mish(x):
    """Compute x tanh(log(1 + e^x)) by one exponential [Misra 2020].

    With e = e^x the tangent is e (e + 2) / (e (e + 2) + 2). TensorFlow fuses the other
    form, which is Keras's, with a batch norm before it into an operation that it does
    not have for CPUs.

    Args:
        x: float, of any shape.

    Returns:
        float of the same shape.
    """
    exponential = ops.exp(ops.minimum(x, _LARGE))
    product = exponential * (exponential + 2.0)
    return x * (product / (product + 2.0))


@keras.saving.register_keras_serializable(package="tfdl")
def scaled_tanh(x):
    """Compute 1.7159 tanh(2x / 3), which is 1 at 1 and -1 at -1 [LeCun 1998, A].

    Args:
        x: float, of any shape.

    Returns:
        float of the same shape, in (-1.7159, 1.7159).
    """
    return 1.7159 * ops.tanh(x * (2 / 3))
