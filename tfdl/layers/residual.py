"""The blocks of ImageNet's residual networks, each with its shortcut [He 2016]."""

import keras

from tfdl.layers import blocks

EXPANSION = 4  # a bottleneck's output has so many times the channels of its middle


def basic(
    x: keras.KerasTensor,
    filters: int,
    *,
    strides: int = 1,
    dilation_rates: tuple[int, int] = (1, 1),
    normalization: str = "batch",
    drop_path_rate: float = 0.0,
    name: str,
) -> keras.KerasTensor:
    """Add two 3 x 3 convolutions and a shortcut [He 2016, figure 5 left].

    Args:
        x: float (batch, height, width, channels).
        filters: number of output channels.
        strides: stride of the first convolution.
        dilation_rates: of the first and of the second convolution.
        normalization: a kind of `norms.normalization`.
        drop_path_rate: as in `blocks.residual_sum`.
        name: prefix of the layers' names.

    Returns:
        float (batch, ceil(height / strides), ceil(width / strides), filters), >= 0.
    """
    options = {"strides": strides, "normalization": normalization, "name": name}
    shortcut = projection(x, filters, **options)
    return blocks.basic_residual(
        x,
        shortcut,
        filters,
        dilation_rates=dilation_rates,
        drop_path_rate=drop_path_rate,
        **options,
    )


def bottleneck(
    x: keras.KerasTensor,
    filters: int,
    *,
    strides: int = 1,
    dilation_rates: tuple[int, int] = (1, 1),
    middle_factor: int = 1,
    groups: int = 1,
    has_stride_first: bool = False,
    drop_path_rate: float = 0.0,
    name: str,
    **options,
) -> keras.KerasTensor:
    """Add a 1 x 1, a 3 x 3 and a 1 x 1 convolution and a shortcut [He 2016, figure 5].

    Args:
        x: float (batch, height, width, channels).
        filters: a quarter of the number of output channels.
        strides: stride of the block.
        dilation_rates: of the 3 x 3 convolution, in a block that would have a stride
            if it were not replaced by dilation, and in the others after it. The block
            that has lost its stride is called with both, the others with equal ones.
        middle_factor: the 3 x 3 convolution has so many times `filters` channels,
            rounded to a multiple of `groups`.
        groups: of the channels in the 3 x 3 convolution [Xie 2017, figure 3c].
        has_stride_first: whether the first 1 x 1 convolution has the stride, as in the
            paper, or the 3 x 3 convolution, which skips no pixel ("v1.5").
        drop_path_rate: as in `blocks.residual_sum`.
        name: prefix of the layers' names.
        **options: normalization, epsilon and use_bias of `blocks.conv_norm_activation`.

    Returns:
        float (batch, ceil(height / strides), ceil(width / strides), 4 filters), >= 0.
    """
    shortcut = projection(x, EXPANSION * filters, strides=strides, name=name, **options)
    middle = blocks.scaled(middle_factor * filters, 1.0, divisor=groups)
    # After a first convolution that strides, the 3 x 3 sees the coarser grid already.
    first, second = (strides, 1) if has_stride_first else (1, strides)
    dilation_rate = dilation_rates[1 if has_stride_first else 0]
    x = blocks.conv_norm_activation(
        x, middle, 1, strides=first, name=f"{name}_1", **options
    )
    x = blocks.conv_norm_activation(
        x,
        middle,
        3,
        strides=second,
        dilation_rate=dilation_rate,
        groups=groups,
        name=f"{name}_2",
        **options,
    )
    x = blocks.conv_norm_activation(
        x, EXPANSION * filters, 1, activation=None, name=f"{name}_3", **options
    )
    x = blocks.residual_sum(x, shortcut, drop_path_rate=drop_path_rate, name=name)
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)


def projection(
    x: keras.KerasTensor, filters: int, *, strides: int, name: str, **options
) -> keras.KerasTensor:
    """Make a shortcut: `x` itself, or where the shape changes its projection.

    That is option B of He [2016, 3.3].

    Args:
        x: float (batch, height, width, channels).
        filters: number of output channels.
        strides: stride of the block.
        name: the block's; the layers are `<name>_shortcut_conv` and so on.
        **options: as for `bottleneck`.

    Returns:
        float (batch, ceil(height / strides), ceil(width / strides), filters).
    """
    if strides == 1 and x.shape[-1] == filters:
        return x
    return blocks.conv_norm_activation(
        x,
        filters,
        1,
        strides=strides,
        activation=None,
        name=f"{name}_shortcut",
        **options,
    )
