"""Normalisation layers: which kinds there are, each in its fastest form.

On a CPU a normalisation often costs more than the convolution before it, because Keras
computes moments and scaling as separate passes over a float32 copy. Here the batch and
the instance norm are TensorFlow's fused kernel, and the group norm makes fewer passes.
The formulas stay Keras's, and so do the names of the weights.
"""

import difflib
import functools
import math

import keras
import tensorflow as tf
from keras import ops

from tfdl import errors


def normalization(
    kind: str, *, epsilon: float = 1e-5, name: str | None = None
) -> keras.layers.Layer:
    """Make a normalisation layer with a learned scale and offset per channel.

    Args:
        kind: "batch" [Ioffe 2015], "layer" over the channels of each pixel as in
            ConvNeXt [Ba 2016, Liu 2022], "instance" [Ulyanov 2016] or "group" with 32
            groups [Wu 2018], fewer where 32 does not divide the channels.
        epsilon: added to the variance; without effect on "layer", which has ConvNeXt's.
        name: name of the layer.

    Returns:
        A layer from float (batch, ..., channels) to the same shape, whose statistics
        are float32 under every dtype policy.

    Raises:
        errors.UsageError: if there is no such kind.
    """
    kinds = {
        "batch": functools.partial(BatchNormalization, epsilon=epsilon),
        "layer": _layer_normalization,
        "instance": functools.partial(InstanceNormalization, epsilon=epsilon),
        "group": functools.partial(GroupNormalization, epsilon=epsilon),
    }
    if kind not in kinds:
        nearest = difflib.get_close_matches(str(kind), kinds, n=1)
        raise errors.UsageError(
            f"`kind` must be one of {', '.join(kinds)}. Received kind={kind!r}.",
            f"Did you mean {nearest[0]!r}?" if nearest else "Choose one of these.",
        )
    return kinds[kind](name=name)


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class BatchNormalization(keras.layers.BatchNormalization):
    """Normalise by the statistics of the batch: the one batch norm of the suite.

    It is `keras.layers.BatchNormalization` in weights, formula, arguments and freezing
    (`trainable=False` means inference), with three differences:

    - On TensorFlow, pictures (rank 4, channels last) go through the fused kernel,
      forwards and backwards, in float32, bfloat16 or float16, with float32 statistics.
      The kernel returns the unbiased variance, n/(n - 1) times the batch's; it is
      multiplied by (n - 1)/n before it enters the running average, which so holds the
      biased variance, as in Keras (PyTorch keeps the unbiased one).
    - With several replicas in sync, the statistics are those of the global batch
      (always; `synchronized` is not consulted), so that N replicas train as one device
      does and every replica holds the same running averages. The replicas' batches may
      differ in size.
    - The defaults are torchvision's: momentum 0.9 (Keras counts what is kept; PyTorch
      calls it 0.1) and epsilon 1e-5, where Keras has 0.99 and 1e-3.

    Other ranks and backends take Keras's own path, and so do masks and batch
    renormalisation, whose statistics stay those of the replica. A trap: on a GPU with
    op determinism TensorFlow has no gradient for the frozen form.

    Args:
        momentum: float in [0, 1], how much of the running averages a step keeps.
        epsilon: float, added to the variance.
        **kwargs: the other arguments of `keras.layers.BatchNormalization`.

    Input shape:
        float (batch, ..., channels).

    Reference:
        Ioffe and Szegedy, "Batch Normalization", 2015.
    """

    def __init__(self, *, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def call(self, inputs, training=None, mask=None):
        """Normalise with batch statistics if `training`, else with running averages."""
        if mask is not None or self.renorm or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        if training and self.trainable and _num_replicas() > 1:
            return self._normalize_across_replicas(inputs)
        if self.axis in (-1, 3) and _has_fused_kernel(inputs):
            return self._normalize_fused(inputs, bool(training and self.trainable))
        return super().call(inputs, training=training)

    def _normalize_fused(self, inputs, use_batch_statistics):
        scale, offset = self._scale_and_offset(inputs)
        if not use_batch_statistics:
            statistics = {
                "mean": ops.cast(self.moving_mean, "float32"),
                "variance": ops.cast(self.moving_variance, "float32"),
            }
            return _fused(inputs, scale, offset, self.epsilon, **statistics)[0]
        outputs, mean, variance = _fused(inputs, scale, offset, self.epsilon)
        count = _count(inputs, (0, 1, 2))
        # One pixel: whatever (0, or 0/0) the kernel returns, its variance is 0.
        biased = tf.math.multiply_no_nan(variance, (count - 1.0) / count)
        self._update_moving_averages(mean, biased)
        return outputs

    def _normalize_across_replicas(self, inputs):
        pixels = ops.cast(inputs, "float32")
        mean, variance = _global_moments(pixels, self.axis)
        self._update_moving_averages(mean, variance)
        scale, offset = self._scale_and_offset(inputs)
        outputs = ops.batch_normalization(
            pixels, mean, variance, self.axis, offset, scale, self.epsilon
        )
        return ops.cast(outputs, inputs.dtype)

    def _update_moving_averages(self, mean, variance):
        for average, value in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            kept = ops.cast(average, "float32") * self.momentum
            average.assign(kept + value * (1.0 - self.momentum))

    def _scale_and_offset(self, inputs):
        channels = inputs.shape[self.axis]
        scale = self.gamma if self.scale else ops.ones(channels)
        offset = self.beta if self.center else ops.zeros(channels)
        return ops.cast(scale, "float32"), ops.cast(offset, "float32")


@keras.saving.register_keras_serializable(package="tfdl")
class GroupNormalization(keras.layers.Layer):
    """Normalise each picture over its pixels and a group of channels.

    It equals `keras.layers.GroupNormalization` and is two to three times as fast: the
    moments are taken per channel, which needs no reshaping of the pictures, and merged
    within a group; one multiplication and addition per value remain.

    Args:
        max_groups: int, the number of groups; where it does not divide the channels,
            the largest smaller number that does.
        epsilon: float, added to the variance.
        **kwargs: name, dtype and so on.

    Input shape:
        float (batch, ..., channels), channels known.

    Reference:
        Wu and He, "Group Normalization", 2018.
    """

    def __init__(self, *, max_groups: int = 32, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        self.max_groups = max_groups
        self.epsilon = epsilon
        self.supports_masking = True

    def build(self, input_shape):
        """Create the scale (ones) and the offset (zeros), float32 (channels,)."""
        channels = input_shape[-1]
        self.num_groups = self.count_groups(channels)
        self.gamma = self.add_weight(
            shape=(channels,), initializer="ones", name="gamma", autocast=False
        )
        self.beta = self.add_weight(
            shape=(channels,), initializer="zeros", name="beta", autocast=False
        )

    def count_groups(self, channels: int) -> int:
        """Return the largest divisor of `channels` that is at most `max_groups`."""
        limit = min(self.max_groups, channels)
        return next(groups for groups in range(limit, 0, -1) if channels % groups == 0)

    def call(self, inputs):
        """Normalise with the statistics of each picture."""
        pixels = ops.cast(inputs, "float32")
        channels = inputs.shape[-1]
        spatial_axes = list(range(1, len(inputs.shape) - 1))
        per_group = (-1, self.num_groups, channels // self.num_groups)
        means, variances = (
            ops.reshape(moment, per_group)
            for moment in ops.moments(pixels, axes=spatial_axes)
        )

        mean = ops.mean(means, axis=-1, keepdims=True)
        # Law of total variance: within the channels plus between them.
        variance = ops.mean(
            variances + ops.square(means - mean), axis=-1, keepdims=True
        )
        gamma, beta = (
            ops.reshape(ops.cast(weight, "float32"), per_group[1:])
            for weight in (self.gamma, self.beta)
        )
        scale = gamma * ops.rsqrt(variance + self.epsilon)
        offset = beta - mean * scale

        per_channel = (-1, *[1] * len(spatial_axes), channels)
        scale, offset = (
            ops.reshape(scale, per_channel),
            ops.reshape(offset, per_channel),
        )
        return ops.cast(pixels * scale + offset, inputs.dtype)


@keras.saving.register_keras_serializable(package="tfdl")
class InstanceNormalization(GroupNormalization):
    """Normalise each channel of each picture over its pixels.

    The group norm whose groups are the channels (`max_groups` is not consulted). On
    TensorFlow a batch of pictures goes through the fused kernel as one picture with
    batch x channels channels: 1.2 to 5 times as fast, most with a single picture.

    Input shape:
        float (batch, height, width, channels), or as for `GroupNormalization`.

    Reference:
        Ulyanov et al., "Instance Normalization", 2016.
    """

    def count_groups(self, channels: int) -> int:
        """Return `channels`."""
        return channels

    def call(self, inputs):
        """Normalise with the statistics of each channel of each picture."""
        if keras.backend.backend() != "tensorflow" or not _has_fused_kernel(inputs):
            return super().call(inputs)
        batch, height, width, channels = ops.shape(inputs)
        x = ops.transpose(inputs, (1, 2, 0, 3))
        x = ops.reshape(x, (1, height, width, batch * channels))
        scale, offset = (
            ops.tile(ops.cast(weight, "float32"), [batch])
            for weight in (self.gamma, self.beta)
        )
        x, *_ = _fused(x, scale, offset, self.epsilon)
        x = ops.reshape(x, (height, width, batch, channels))
        return ops.transpose(x, (2, 0, 1, 3))


def _layer_normalization(name):
    # 1e-6 is ConvNeXt's. Fused and hand-written forms were no faster than Keras's.
    return keras.layers.LayerNormalization(epsilon=1e-6, name=name)


def _has_fused_kernel(inputs):
    has_dtype = inputs.dtype in (tf.float32, tf.bfloat16, tf.float16)
    return has_dtype and len(inputs.shape) == 4


def _fused(inputs, scale, offset, epsilon, **statistics):
    """Outputs, and the mean and unbiased variance of the batch, both without gradient.

    If `mean` and `variance` are given, the outputs are normalised by those.
    """
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=scale,
        offset=offset,
        epsilon=epsilon,
        is_training=not statistics,
        **(statistics or {"mean": [], "variance": []}),
    )
    return outputs, mean, variance


def _num_replicas():
    """Count the replicas that train in step; 1 while a model is being constructed."""
    replica = tf.distribute.get_replica_context()
    return 1 if replica is None else replica.num_replicas_in_sync


def _global_moments(pixels, axis):
    """Mean and biased variance over the batches of all replicas, float32 (channels,).

    Two all-reduces, so that centred values are squared: the mean of the squares minus
    the square of the mean loses its digits where the mean is large.
    """
    axes = list(range(len(pixels.shape)))
    del axes[axis]
    total = ops.sum(pixels, axes, keepdims=True)
    total, count = _sum_over_replicas([total, _count(pixels, axes)])
    mean = total / count

    # The squares' derivative by the mean is zero over the global batch: stopping it
    # changes no gradient and saves an all-reduce.
    squares = ops.square(pixels - ops.stop_gradient(mean))
    variance = _sum_over_replicas(ops.sum(squares, axes, keepdims=True)) / count
    return ops.reshape(mean, [-1]), ops.reshape(variance, [-1])


def _count(x, axes):
    shape = ops.shape(x)
    return ops.cast(math.prod(shape[axis] for axis in axes), "float32")


def _sum_over_replicas(values):
    replica = tf.distribute.get_replica_context()
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, values)
