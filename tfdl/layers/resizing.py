"""Bringing a map to the size of another, also where a graph does not know it.

There is a layer also where the sizes are known to be equal: so the order of a model's
weights is the same for all sizes of pictures, known or not.
"""

import keras
from keras import ops


def resized(
    x: keras.KerasTensor,
    like: keras.KerasTensor,
    *,
    dtype: str | None = None,
    name: str,
) -> keras.KerasTensor:
    """Stretch a map to another's size by bilinear interpolation.

    The whole map covers the whole of the other, as in PyTorch without aligned corners:
    for whole ratios that is "bilinear", for others the factor is a fraction.

    Args:
        x: float (batch, height, width, channels).
        like: a tensor of the height and width that the output shall have.
        dtype: of the layer; None for the policy's.
        name: of the layer.
    """
    return Resize2D(dtype=dtype, name=name)([x, like])


def fitted(
    x: keras.KerasTensor,
    like: keras.KerasTensor | None,
    *,
    dtype: str | None = None,
    name: str,
) -> keras.KerasTensor:
    """Cut a map off at the far sides, or fill it up with zeros there.

    Args:
        x: float (batch, height, width, channels).
        like: a tensor of the height and width that the output shall have; None for
            those of `x`.
        dtype: of the layer; None for the policy's.
        name: the layer is `<name>_fit`; there is none without `like`.
    """
    if like is None:
        return x
    return Fit2D(dtype=dtype, name=f"{name}_fit")([x, like])


def covering(
    x: keras.KerasTensor, like: keras.KerasTensor, factor: int, *, name: str
) -> keras.KerasTensor:
    """Repeat a map's last rows and columns until, enlarged, it covers another.

    Maps of networks that do not pad are too small for that, and zeros at the far sides
    would be scores of no class.

    Args:
        x: float (batch, height, width, channels).
        like: a tensor of the height and width that are to be covered.
        factor: by which `x` will be enlarged.
        name: the layer is `<name>_cover`.

    Returns:
        float (batch, rows, columns, channels), of at least ceil(height of `like` /
        factor) rows; `x` where it has them.
    """
    return Cover2D(factor, dtype="float32", name=f"{name}_cover")([x, like])


def interpolated(x, size):
    """Interpolate a map bilinearly between the centres of its pixels.

    `keras.ops.image.resize` compares the size with zero, which a graph cannot where it
    does not know it. Then rows and columns are gathered and weighed, which is slower.

    Args:
        x: float (batch, height, width, channels).
        size: height and width of the output, numbers or int32 ().

    Returns:
        float (batch, *size, channels).
    """
    found, wanted = tuple(ops.shape(x)[1:3]), tuple(size)
    if all(isinstance(side, int) for side in found + wanted):
        if found == wanted:
            return x
        return ops.image.resize(x, wanted, interpolation="bilinear")
    for axis, side in enumerate(size, start=1):
        x = _interpolated_along(x, axis, side)
    return x


class ToSize(keras.layers.Layer):
    """What gives its first input, a map, the height and width of its second."""

    def compute_output_shape(self, input_shape):
        """Return the first input's shape with the second's sides."""
        (batch, _, _, channels), (_, height, width, _) = input_shape
        return batch, height, width, channels


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class Resize2D(ToSize):
    """Stretch a map bilinearly to the size of a second input, see `resized`."""

    def call(self, inputs):
        """Return the first input in the second's size."""
        x, like = inputs
        return interpolated(x, ops.shape(like)[1:3])


@keras.saving.register_keras_serializable(package="tfdl")
class Fit2D(ToSize):
    """Cut off or fill up a map to the size of a second input, see `fitted`."""

    # By which `receptive_field` knows that no row moves.
    pad_width = ((0, 0), (0, 0), (0, 0), (0, 0))

    def call(self, inputs):
        """Return the first input in the second's size."""
        x, like = inputs
        found, wanted = ops.shape(x)[1:3], ops.shape(like)[1:3]
        sides = zip(wanted, found, strict=True)
        far = [(0, _at_least_zero(long - short)) for long, short in sides]
        if any(not isinstance(rest, int) or rest for _, rest in far):
            x = ops.pad(x, [(0, 0), *far, (0, 0)])
        return x[:, : wanted[0], : wanted[1]]


@keras.saving.register_keras_serializable(package="tfdl")
class Cover2D(keras.layers.Layer):
    """Repeat the last rows and columns as `covering` says."""

    pad_width = ((0, 0), (0, 0), (0, 0), (0, 0))  # as of `Fit2D`

    def __init__(self, factor: int, **options):
        super().__init__(**options)
        self.factor = factor

    def get_config(self):
        """Return the arguments."""
        return super().get_config() | {"factor": self.factor}

    def call(self, inputs):
        """Return the first input, with as many rows as the second needs."""
        x, like = inputs
        for axis in (1, 2):
            found, covered = ops.shape(x)[axis], ops.shape(like)[axis]
            needed = -(-covered // self.factor)
            if not isinstance(found, int) or not isinstance(needed, int):
                needed = ops.maximum(found, needed)
            elif needed <= found:
                continue
            x = ops.take(x, ops.minimum(ops.arange(needed), found - 1), axis=axis)
        return x

    def compute_output_shape(self, input_shape):
        """Return the first input's shape with sides that cover the second's."""
        (batch, *found, channels), (_, *covered, _) = input_shape
        sides = [
            None if None in pair else max(pair[0], -(-pair[1] // self.factor))
            for pair in zip(found, covered, strict=True)
        ]
        return batch, *sides, channels


def _interpolated_along(x, axis, side):
    """Interpolate along an axis whose length a graph may not know."""
    length = ops.shape(x)[axis]
    ratio = ops.cast(length, "float32") / ops.cast(side, "float32")
    places = (ops.arange(side, dtype="float32") + 0.5) * ratio - 0.5
    places = ops.clip(places, 0, ops.cast(length - 1, "float32"))
    before = ops.cast(ops.floor(places), "int32")
    after = ops.minimum(before + 1, length - 1)
    shape = [-1 if axis == other else 1 for other in range(4)]
    share = ops.cast(ops.reshape(places - ops.floor(places), shape), x.dtype)
    low, high = (ops.take(x, indices, axis=axis) for indices in (before, after))
    return low + share * (high - low)


def _at_least_zero(number):
    return max(number, 0) if isinstance(number, int) else ops.maximum(number, 0)
