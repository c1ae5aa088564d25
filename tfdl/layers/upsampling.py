"""Upsampling: how a coarse map becomes a finer one, by one argument.

Every kind makes of row i the rows from `factor * i` to `factor * (i + 1) - 1`, and
likewise of columns. What a pooling has made of a window so returns to where it came
from, also where the edge cut the last window off: what is too long is cut off at the
far sides.
"""

import difflib

import keras
import numpy as np
from keras import ops

from tfdl import errors
from tfdl.layers import resizing, unpooling

KINDS = (
    "nearest",
    "bilinear",
    "bed_of_nails",
    "max_unpooling",
    "transposed_convolution",
)


def upsample(
    x: keras.KerasTensor,
    kind: str,
    *,
    filters: int,
    factor: int = 2,
    like: keras.KerasTensor | None = None,
    places: keras.KerasTensor | None = None,
    dtype: str | None = None,
    name: str,
) -> keras.KerasTensor:
    """Add an upsampling of the kind named.

    - "nearest" repeats every value, "bilinear" interpolates between the pixels' centres
      and repeats the outermost values beyond them.
    - "bed_of_nails" places every value at the top left of zeros, "max_unpooling" at the
      place where a pooling found its maximum.
    - "transposed_convolution" is learned, with a kernel as large as the factor, so that
      windows do not overlap [Ronneberger 2015, 2].

    Before all but the last a 1 x 1 convolution changes the number of channels, if it is
    to change.

    Args:
        x: float (batch, height, width, channels).
        kind: one of `KINDS`.
        filters: number of output channels.
        factor: of the enlargement, at least 1; 2 for "max_unpooling".
        like: a tensor of the height and width that the output shall have, see
            `resizing.fitted`; None for `factor` times those of `x`.
        places: int8 (batch, height, width, filters), of
            `unpooling.IndexedMaxPooling2D`; needed for "max_unpooling" alone.
        dtype: of the layers; None for the policy's.
        name: of the layer that upsamples; the convolution is `<name>_project`.

    Returns:
        float (batch, factor * height, factor * width, filters), or of `like`'s size.

    Raises:
        errors.UsageError: there is no such kind, or it lacks its places.
    """
    check_kind(kind, KINDS)
    options = {"dtype": dtype, "name": name}
    if kind == "transposed_convolution":
        # Each output pixel sees one pixel of the input.
        initializer = keras.initializers.RandomNormal(stddev=x.shape[-1] ** -0.5)
        layer = keras.layers.Conv2DTranspose(
            filters, factor, factor, kernel_initializer=initializer, **options
        )
        return resizing.fitted(layer(x), like, dtype=dtype, name=name)
    if x.shape[-1] != filters:
        project = keras.layers.Conv2D(filters, 1, dtype=dtype, name=f"{name}_project")
        x = project(x)
    if kind == "max_unpooling":
        _check_places(x, places, factor)
        x = unpooling.MaxUnpooling2D(**options)([x, places])
    elif kind == "bed_of_nails":
        x = BedOfNails2D(factor, **options)(x)
    else:
        x = UpSampling2D(factor, interpolation=kind, **options)(x)
    return resizing.fitted(x, like, dtype=dtype, name=name)


def bilinear_convolution(
    x: keras.KerasTensor,
    *,
    factor: int,
    like: keras.KerasTensor | None = None,
    trainable: bool = True,
    dtype: str | None = None,
    name: str,
) -> keras.KerasTensor:
    """Add a transposed convolution that starts as bilinear interpolation [Long 2015].

    Each channel starts by itself; the kernel may learn to mix them. Beyond the edge lie
    zeros, where "bilinear" repeats the outermost value.

    Args:
        x: float (batch, height, width, channels).
        factor: f, of the enlargement; the kernel has 2 f - f % 2 rows and columns.
        like: as of `upsample`.
        trainable: whether it learns.
        dtype: of the layer; None for the policy's.
        name: of the layer.

    Returns:
        float (batch, f * height, f * width, channels), or of `like`'s size.

    Reference:
        Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015,
        section 3.3.
    """
    layer = keras.layers.Conv2DTranspose(
        x.shape[-1],
        2 * factor - factor % 2,
        factor,
        padding="same",
        use_bias=False,
        kernel_initializer=Bilinear(),
        trainable=trainable,
        dtype=dtype,
        name=name,
    )
    return resizing.fitted(layer(x), like, dtype=dtype, name=name)


def check_kind(kind: str, kinds: tuple[str, ...]) -> None:
    """Refuse a kind of upsampling that there is not, or that a model cannot take.

    Args:
        kind: what is asked for.
        kinds: those of `KINDS` that are possible.

    Raises:
        errors.UsageError: if it is none of them.
    """
    if kind not in kinds:
        nearest = difflib.get_close_matches(str(kind), kinds, n=1)
        raise errors.UsageError(
            f"`upsampling` must be one of {', '.join(kinds)}. Received "
            f"upsampling={kind!r}.",
            f"Did you mean {nearest[0]!r}?" if nearest else "Choose one of these.",
        )


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class UpSampling2D(keras.layers.UpSampling2D):
    """Enlarge as Keras's layer, also maps whose size a graph does not know.

    `keras.ops.image.resize` compares the size with zero, which a graph cannot.
    """

    def call(self, inputs):
        """Return the enlarged maps."""
        if self.interpolation != "bilinear":
            return super().call(inputs)
        sides = zip(ops.shape(inputs)[1:3], self.size, strict=True)
        return resizing.interpolated(inputs, [side * factor for side, factor in sides])


@keras.saving.register_keras_serializable(package="tfdl")
class BedOfNails2D(keras.layers.Layer):
    """Place every value at the top left of a square of zeros.

    Args:
        factor: int, rows and columns of a square.
        **kwargs: name, dtype and so on.

    Input shape:
        float (batch, height, width, channels).

    Output shape:
        (batch, factor * height, factor * width, channels).
    """

    def __init__(self, factor: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        """Return the values with zeros between them."""
        batch, height, width, channels = ops.shape(inputs)
        rest = self.factor - 1
        nails = ops.reshape(inputs, (batch, height, 1, width, channels))
        # Further columns are further channels of the same pixel.
        nails = ops.pad(
            nails, [(0, 0), (0, 0), (0, rest), (0, 0), (0, rest * channels)]
        )
        return ops.reshape(
            nails, (batch, height * self.factor, width * self.factor, channels)
        )

    def compute_output_shape(self, input_shape):
        """Return the shape with both sides enlarged."""
        batch, *sides, channels = input_shape
        sides = (None if side is None else side * self.factor for side in sides)
        return batch, *sides, channels


@keras.saving.register_keras_serializable(package="tfdl")
class Bilinear(keras.initializers.Initializer):
    """Fill the kernel of a transposed convolution with interpolation weights.

    The kernel is (rows, columns, filters, channels); one that is twice as long as the
    stride, less one for an odd stride, interpolates bilinearly.
    """

    def __call__(self, shape, dtype=None):
        """Return tents over rows and columns, from each channel to its own."""
        rows, columns = (_tent(size) for size in shape[:2])
        own = np.eye(*shape[2:])
        return ops.cast(np.einsum("r,c,fi->rcfi", rows, columns, own), dtype)


def _tent(size):
    factor = (size + 1) // 2
    return 1 - np.abs(np.arange(size) - (size - 1) / 2) / factor


def _check_places(x, places, factor):
    found = None if places is None else tuple(places.shape[1:])
    if places is None or factor != unpooling.SIZE or found[-1] != x.shape[-1]:
        raise errors.UsageError(
            "max_unpooling needs the places of a pooling of 2 x 2 pixels with "
            f"{x.shape[-1]} channels. Received places={found} and factor={factor}.",
            "Choose another `upsampling`, such as transposed_convolution.",
        )
