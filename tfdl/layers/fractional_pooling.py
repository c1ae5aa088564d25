"""Max-pooling that shrinks a picture by a ratio between 1 and 2."""

import keras
import numpy as np
from keras import ops

from tfdl import errors

MODES = ("pseudorandom", "random")


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class FractionalMaxPooling2D(keras.layers.Layer):
    """Pool over regions of one or two rows and columns, drawn anew at every call.

    A side of n pixels becomes m = floor(n / ratio). Its regions are bounded by a
    sequence 0 = a_0 < ... < a_m = n with increments of 1 and 2 alone: region i is
    [a_i, a_i+1), or [a_i, a_i+1] if they overlap. Rows and columns have a sequence
    each; all pictures of a batch and all channels share them.

    - "random": n - m twos and 2m - n ones in an order drawn uniformly.
    - "pseudorandom": a_i = floor((n i + r) / m) with r drawn from 0, ..., m - 1: the
      paper's ceil(alpha (i + u)) with alpha = n / m, in integers, so that no rounding
      can break the sequence. Every increment is 2 with probability alpha - 1.

    In inference nothing is drawn: the sequence is the pseudorandom one with
    r = floor(m / 2), the most even, in both modes.

    Deviations from the paper: it averages several random passes at test time; its
    sequences run from 1 to n, so that its disjoint regions leave out the last row,
    whereas these cover all, as TensorFlow's do.

    Args:
        ratio: float in (1, 2).
        mode: "pseudorandom" or "random".
        overlapping: whether neighbouring regions share their boundary.
        seed: int, of the layer's own generator; None for a random one.
        **kwargs: name, dtype and so on.

    Input shape:
        float (batch, height, width, channels), height and width known.

    Output shape:
        (batch, floor(height / ratio), floor(width / ratio), channels).

    Raises:
        errors.UsageError: if an argument is out of its range, or a side cannot be cut
            into regions of one and two pixels.

    Reference:
        Graham, "Fractional Max-Pooling", 2014, section 2.
    """

    def __init__(
        self,
        ratio: float = 2**0.5,
        *,
        mode: str = "pseudorandom",
        overlapping: bool = True,
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not 1 < ratio < 2:
            raise errors.UsageError(
                f"`ratio` must be between 1 and 2. Received ratio={ratio}.",
                "Give 2**0.5, or take keras.layers.MaxPooling2D for 2.",
            )
        if mode not in MODES:
            raise errors.UsageError(
                f"`mode` must be one of {', '.join(MODES)}. Received mode={mode!r}.",
                "Choose one of these.",
            )
        self.ratio = ratio
        self.mode = mode
        self.overlapping = overlapping
        self.seed = seed
        self.pool_size = (3, 3) if overlapping else (2, 2)  # of the largest region
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        """Refuse sides that are unknown or too small."""
        for size in input_shape[1:3]:
            # floor(size / ratio) regions of two pixels at most must hold all of them.
            if size is None or size > 2 * self._num_regions(size):
                raise errors.UsageError(
                    "Height and width must be known, and at most twice what remains "
                    f"of them. Received (height, width)={tuple(input_shape[1:3])} for "
                    f"ratio={self.ratio}.",
                    "Give the model larger pictures, of a known size.",
                )

    def call(self, inputs, training=None):
        """Return the largest value of each region."""
        if self.overlapping:
            # Row r then holds the maximum of r and r + 1, so that a disjoint region of
            # it holds its own rows and the one after.
            inputs = ops.max_pool(inputs, 2, strides=1, padding="same")
        for axis in (1, 2):
            bounds = self._bounds(inputs.shape[axis], training)
            inputs = _max_of_regions(inputs, bounds, axis)
        return inputs

    def compute_output_shape(self, input_shape):
        """Return the shape with the two sides divided by the ratio."""
        batch, height, width, channels = input_shape
        return batch, self._num_regions(height), self._num_regions(width), channels

    def _num_regions(self, size):
        return int(size / self.ratio)

    def _bounds(self, size, training):
        """Draw a_0, ..., a_m for a side of `size` pixels, int32 (m + 1,)."""
        num_regions = self._num_regions(size)
        if training and self.mode == "random":
            return self._random_bounds(size, num_regions)
        offset = num_regions // 2
        if training:
            offset = keras.random.randint(
                (), 0, num_regions, dtype="int32", seed=self.seed_generator
            )
        steps = size * np.arange(num_regions + 1, dtype="int32")
        return (steps + offset) // num_regions

    def _random_bounds(self, size, num_regions):
        increments = np.ones(num_regions, "int32")
        increments[: size - num_regions] = 2
        increments = keras.random.shuffle(increments, seed=self.seed_generator)
        return ops.pad(ops.cumsum(increments), (1, 0))


def _max_of_regions(x, bounds, axis):
    """Take the maximum of the first and the last pixel of each region.

    The gradient is written out: that of a gather along such an axis transposes and
    scatters, which takes twice as long as gathering back. Of two equal pixels the first
    receives it.
    """

    @ops.custom_gradient
    def pool(x):
        first = ops.take(x, bounds[:-1], axis=axis)
        last = ops.take(x, bounds[1:] - 1, axis=axis)
        first_wins = first >= last

        def gradient(upstream):
            pixels = np.arange(x.shape[axis], dtype="int32")
            regions = ops.searchsorted(bounds, pixels, side="right") - 1
            is_first = ops.take(bounds, regions) == pixels
            is_first = ops.reshape(
                is_first, [-1 if place == axis else 1 for place in range(len(x.shape))]
            )
            is_largest = ops.take(first_wins, regions, axis=axis) == is_first
            return ops.where(is_largest, ops.take(upstream, regions, axis=axis), 0)

        return ops.maximum(first, last), gradient

    return pool(x)
