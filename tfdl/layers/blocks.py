"""Blocks: what two or more models are made of, as functions on Keras tensors.

Each function takes a Keras tensor, returns one, and names every layer that it adds.

Padding: "symmetric" pads both sides of the picture alike, by half of the kernel, also
where there is a stride: so do the papers' Caffe models and PyTorch. "same" is
TensorFlow's: with a stride it pads an even picture at the far sides only. Published
weights fit the padding that they were trained with. "valid" does not pad.
"""

from collections.abc import Sequence

import keras

from tfdl import errors
from tfdl.layers import activations, drop_path, grouped_convolution, norms

_FASTER = {"silu": activations.silu}  # than what Keras has under the name


def scaled(channels: int, width: float, *, divisor: int = 1) -> int:
    """Return the multiple of `divisor` next to `width` times `channels`, at least one.

    Raises:
        errors.UsageError: if `width` is not positive.
    """
    if not width > 0:
        raise errors.UsageError(
            f"`width` must be positive. Received width={width}.",
            "Give 1.0 for the published widths, 0.5 for half of the channels.",
        )
    return divisor * max(1, round(channels * width / divisor))


def convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int | tuple[int, int],
    *,
    strides: int = 1,
    dilation_rate: int = 1,
    groups: int = 1,
    padding: str = "symmetric",
    use_bias: bool = True,
    activation: str | None = None,
    name: str,
) -> keras.KerasTensor:
    """Add a convolution, initialised by He [2015].

    Args:
        x: float (batch, height, width, channels).
        filters: number of output channels.
        kernel_size: odd, unless the padding is "valid"; rows and columns may differ.
        strides: s; the output has ceil(height / s) rows, unless the padding is "valid".
        dilation_rate: distance of the kernel's taps; 1 where there is a stride.
        groups: of channels, convolved each for itself [Krizhevsky 2012, 3.5].
        padding: "symmetric", "same" or "valid", see above.
        use_bias: whether a bias is added.
        activation: a name that Keras knows, computed by the same layer, or None.
        name: name of the convolution.

    Returns:
        float (batch, ceil(height / strides), ceil(width / strides), filters).
    """
    x, padding = _padded(x, kernel_size, strides=strides, padding=padding, name=name)
    kind = keras.layers.Conv2D if groups == 1 else grouped_convolution.GroupedConv2D
    return kind(
        filters,
        kernel_size,
        strides,
        padding=padding,
        dilation_rate=dilation_rate,
        groups=groups,
        activation=activation,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def conv_norm_activation(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int | tuple[int, int],
    *,
    normalization: str = "batch",
    epsilon: float = 1e-5,
    activation: str | None = "relu",
    use_bias: bool = False,
    name: str,
    **options,
) -> keras.KerasTensor:
    """Add a convolution, a normalisation and an activation.

    The layers are `<name>_conv`, `<name>_norm` and `<name>_<activation>`.

    Args:
        x: float (batch, height, width, channels).
        filters: number of output channels.
        kernel_size: as for `convolution`.
        normalization: a kind of `norms.normalization`.
        epsilon: of the normalisation.
        activation: a name that Keras knows, or None.
        use_bias: whether the convolution has a bias, although the norm has an offset.
        name: prefix of the layers' names.
        **options: strides, dilation_rate, groups and padding of `convolution`.

    Returns:
        As `convolution`.
    """
    x = convolution(
        x, filters, kernel_size, use_bias=use_bias, name=f"{name}_conv", **options
    )
    return norm_activation(
        x,
        normalization=normalization,
        epsilon=epsilon,
        activation=activation,
        name=name,
    )


def depthwise_norm_activation(
    x: keras.KerasTensor,
    kernel_size: int,
    *,
    strides: int = 1,
    dilation_rate: int = 1,
    padding: str = "symmetric",
    normalization: str = "batch",
    epsilon: float = 1e-5,
    activation: str | None = "relu",
    name: str,
) -> keras.KerasTensor:
    """Add a convolution of each channel by itself, a normalisation and an activation.

    The layers are `<name>_depthwise`, `<name>_norm` and `<name>_<activation>`.

    Args:
        x: float (batch, height, width, channels).
        kernel_size: an odd number.
        strides: s; the output has ceil(height / s) rows.
        dilation_rate: distance of the kernel's taps; 1 where there is a stride.
        padding: "symmetric" or "same".
        normalization: a kind of `norms.normalization`.
        epsilon: of the normalisation.
        activation: a name that Keras knows, or None.
        name: prefix of the layers' names.

    Returns:
        float (batch, ceil(height / strides), ceil(width / strides), channels).
    """
    name_of_layer = f"{name}_depthwise"
    x, padding = _padded(
        x, kernel_size, strides=strides, padding=padding, name=name_of_layer
    )
    x = keras.layers.DepthwiseConv2D(
        kernel_size,
        strides,
        padding=padding,
        dilation_rate=dilation_rate,
        use_bias=False,  # the normalisation has an offset
        # He's, for one channel: what Keras takes for the fan-in here counts them all.
        depthwise_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
        name=name_of_layer,
    )(x)
    return norm_activation(
        x,
        normalization=normalization,
        epsilon=epsilon,
        activation=activation,
        name=name,
    )


def norm_activation(
    x: keras.KerasTensor,
    *,
    normalization: str = "batch",
    epsilon: float = 1e-5,
    activation: str | None = "relu",
    name: str,
) -> keras.KerasTensor:
    """Add `<name>_norm` and `<name>_<activation>`, as in `conv_norm_activation`.

    Args:
        x: float (batch, height, width, channels).
        normalization: a kind of `norms.normalization`.
        epsilon: of the normalisation.
        activation: a name that Keras knows, or None.
        name: prefix of the layers' names.

    Returns:
        float of the same shape.
    """
    x = norms.normalization(normalization, epsilon=epsilon, name=f"{name}_norm")(x)
    if activation is None:
        return x
    function = _FASTER.get(activation, activation)
    return keras.layers.Activation(function, name=f"{name}_{activation}")(x)


def max_pool(
    x: keras.KerasTensor, size: int, strides: int, *, padding: str, name: str
) -> keras.KerasTensor:
    """Add a max-pooling of values that are not negative, such as after a ReLU.

    Zeros then pad as minus infinity would.

    Args:
        x: float (batch, height, width, channels), >= 0.
        size: height and width of the window.
        strides: s, distance of the windows.
        padding: "symmetric", "same" or "valid", see above; or "ceil", Caffe's: a last
            window that is cut off by the edge counts.
        name: name of the layer.

    Returns:
        float (batch, ceil(height / s), ceil(width / s), channels) if padded by "same"
        or "symmetric"; else one row for each window.
    """
    if padding == "ceil":
        far = ((0, strides - 1), (0, strides - 1))
        x = keras.layers.ZeroPadding2D(far, name=f"{name}_pad")(x)
        padding = "valid"
    x, padding = _padded(x, size, strides=strides, padding=padding, name=name)
    return keras.layers.MaxPooling2D(size, strides, padding=padding, name=name)(x)


def basic_residual(
    x: keras.KerasTensor,
    shortcut: keras.KerasTensor,
    filters: int,
    *,
    strides: int = 1,
    dilation_rates: tuple[int, int] = (1, 1),
    normalization: str = "batch",
    drop_path_rate: float = 0.0,
    name: str,
) -> keras.KerasTensor:
    """Add two 3 x 3 convolutions to a shortcut [He 2016, figure 5 left].

    Args:
        x: float (batch, height, width, channels).
        shortcut: what the branch is added to, of the output's shape.
        filters: number of output channels.
        strides: stride of the first convolution.
        dilation_rates: of the first and of the second convolution.
        normalization: a kind of `norms.normalization`.
        drop_path_rate: as in `residual_sum`.
        name: prefix of the layers' names.

    Returns:
        float (batch, ceil(height / strides), ceil(width / strides), filters), >= 0.
    """
    x = conv_norm_activation(
        x,
        filters,
        3,
        strides=strides,
        dilation_rate=dilation_rates[0],
        normalization=normalization,
        name=f"{name}_1",
    )
    x = conv_norm_activation(
        x,
        filters,
        3,
        dilation_rate=dilation_rates[1],
        normalization=normalization,
        activation=None,
        name=f"{name}_2",
    )
    x = residual_sum(x, shortcut, drop_path_rate=drop_path_rate, name=name)
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)


def residual_sum(
    x: keras.KerasTensor,
    shortcut: keras.KerasTensor,
    *,
    drop_path_rate: float = 0.0,
    name: str,
) -> keras.KerasTensor:
    """Add a residual branch to its shortcut, in training not for every picture.

    Stochastic depth [Huang 2016, 3]: a picture's branch is left out with the given
    probability. Deviation: what is kept is divided by the probability of keeping it in
    training, instead of multiplied in inference, which so is a plain sum.

    Args:
        x: the branch, float (batch, height, width, channels).
        shortcut: of the same shape.
        drop_path_rate: probability, in [0, 1); 0 adds no layer.
        name: prefix of the layers' names, `<name>_drop_path` and `<name>_add`.

    Returns:
        float of the same shape.
    """
    if drop_path_rate:
        x = drop_path.DropPath(drop_path_rate, name=f"{name}_drop_path")(x)
    return keras.layers.Add(name=f"{name}_add")([x, shortcut])


def drop_path_rates(last: float, num_blocks: int) -> list[float]:
    """Let the rate of stochastic depth rise linearly to the last block [Huang 2016, 3].

    Args:
        last: rate of the last block, in [0, 1).
        num_blocks: of the whole network.

    Returns:
        The rate of each block, in their order; the first is `last / num_blocks`.

    Raises:
        errors.UsageError: if the rate is out of its range.
    """
    if not 0 <= last < 1:
        raise errors.UsageError(
            f"`drop_path_rate` must be in [0, 1). Received drop_path_rate={last}.",
            "Give 0 to keep every path.",
        )
    return [last * (index + 1) / num_blocks for index in range(num_blocks)]


def atrous_stages(
    strides: Sequence[int], max_stride: int
) -> list[tuple[int, tuple[int, int]]]:
    """Replace the strides beyond `max_stride` by dilation [Chen 2017, 3.1].

    The dilated network computes, at every `max_stride`-th pixel, the same function as
    the strided one does at its own pixels, with the same weights: the first convolution
    of a stage that lost its stride still sees the pixels of the stage before, and all
    later ones see every second.

    Args:
        strides: stride of each stage.
        max_stride: the largest product of strides allowed.

    Returns:
        For each stage its stride, the dilation rate of its first convolution, and that
        of its others, as `(stride, (first, others))`.
    """
    stages, reached, dilation = [], 1, 1
    for stride in strides:
        first = dilation
        if reached * stride > max_stride:
            dilation *= stride
            stride = 1
        reached *= stride
        stages.append((stride, (first, dilation)))
    return stages


def spatial_dropout(
    x: keras.KerasTensor, rate: float, *, name: str
) -> keras.KerasTensor:
    """Drop whole channels of each picture [Tompson 2015]; nothing for a rate of 0.

    Neighbouring pixels tell each other's value, so that dropping them one by one hides
    little.

    Args:
        x: float (batch, height, width, channels).
        rate: share of the channels, in [0, 1).
        name: prefix of the layer's name.

    Raises:
        errors.UsageError: if the rate is out of its range.
    """
    if not 0 <= rate < 1:
        raise errors.UsageError(
            f"`spatial_dropout_rate` must be in [0, 1). Received {rate}.",
            "Give 0 for no dropout.",
        )
    if not rate:
        return x
    return keras.layers.SpatialDropout2D(rate, name=f"{name}_spatial_dropout")(x)


def _padded(x, kernel_size, *, strides, padding, name):
    """Return what is to be convolved, and Keras's word for the padding that remains."""
    if padding != "symmetric":
        return x, padding
    if strides == 1:
        return x, "same"  # alike on both sides where there is no stride
    if kernel_size > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    return x, "valid"
