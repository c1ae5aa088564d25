"""Blocks: what two or more models are made of, as functions on Keras tensors.

Each function takes a Keras tensor, returns one, and names every layer that it adds.

Convolutions pad both sides of the picture alike, by half of the kernel, also where they
have a stride: so do the papers' Caffe models and PyTorch, and so published weights fit.
Keras's "same" pads a strided convolution of an even picture at the far sides only.
"""

from collections.abc import Sequence

import keras

from tfdl import errors
from tfdl.layers import norms

# The layer that depends on the number of classes; a head's other layers that a feature
# extractor does not have are named with it as prefix.
CLASSIFIER = "classifier"


def image_input(
    image_shape: Sequence[int | None], *, mean: Sequence[float], std: Sequence[float]
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Make a model's input and its first layer, which normalises the picture.

    The normalisation is (image - mean) / std in float32 under every dtype policy. A
    picture with another number of channels than the constants (a grey one, say) is
    normalised by their averages.

    Args:
        image_shape: (height, width, channels); height and width may be None.
        mean: mean of each channel over a data set, in [0, 1].
        std: standard deviation of each channel, likewise.

    Returns:
        The input, float32 (batch, height, width, channels) in [0, 1], and the
        normalised picture, float32 of the same shape.

    Raises:
        errors.UsageError: if the shape is none of a picture.
    """
    if len(image_shape) != 3 or image_shape[-1] is None:
        raise errors.UsageError(
            "`image_shape` must be (height, width, channels) with known channels. "
            f"Received image_shape={tuple(image_shape)}.",
            "Give three numbers, such as (224, 224, 3).",
        )
    inputs = keras.Input(tuple(image_shape), name="image")
    channels = image_shape[-1]
    if channels != len(mean):
        mean = [sum(mean) / len(mean)] * channels
        std = [sum(std) / len(std)] * channels
    normalize = keras.layers.Rescaling(
        scale=[1.0 / deviation for deviation in std],
        offset=[
            -average / deviation for average, deviation in zip(mean, std, strict=True)
        ],
        dtype="float32",
        name="normalize",
    )
    return inputs, normalize(inputs)


def scaled(channels: int, width: float) -> int:
    """Return `width` times `channels`, rounded, at least 1.

    Raises:
        errors.UsageError: if `width` is not positive.
    """
    if width <= 0:
        raise errors.UsageError(
            f"`width` must be positive. Received width={width}.",
            "Give 1.0 for the published widths, 0.5 for half of the channels.",
        )
    return max(1, round(channels * width))


def convolution(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    strides: int = 1,
    dilation_rate: int = 1,
    use_bias: bool = True,
    name: str,
) -> keras.KerasTensor:
    """Add a convolution that pads both sides alike, initialised by He [2015].

    Args:
        x: float (batch, height, width, channels).
        filters: number of output channels.
        kernel_size: an odd number.
        strides: s; the output has ceil(height / s) rows.
        dilation_rate: distance of the kernel's taps; 1 where there is a stride.
        use_bias: whether a bias is added.
        name: name of the convolution.

    Returns:
        float (batch, ceil(height / strides), ceil(width / strides), filters).
    """
    padding = "same"  # alike on both sides where there is no stride
    if strides > 1:
        padding = "valid"
        if kernel_size > 1:
            x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides,
        padding=padding,
        dilation_rate=dilation_rate,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def conv_norm_activation(
    x: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    *,
    strides: int = 1,
    dilation_rate: int = 1,
    normalization: str = "batch",
    activation: str | None = "relu",
    name: str,
) -> keras.KerasTensor:
    """Add a convolution without bias, a normalisation and an activation.

    The layers are `<name>_conv`, `<name>_norm` and `<name>_<activation>`. Arguments and
    shapes are those of `convolution`; `normalization` is a kind of
    `norms.normalization`; `activation` is a name that Keras knows, or None.
    """
    x = convolution(
        x,
        filters,
        kernel_size,
        strides=strides,
        dilation_rate=dilation_rate,
        use_bias=False,  # the normalisation has an offset
        name=f"{name}_conv",
    )
    x = norms.normalization(normalization, name=f"{name}_norm")(x)
    if activation is None:
        return x
    return keras.layers.Activation(activation, name=f"{name}_{activation}")(x)


def basic_residual(
    x: keras.KerasTensor,
    shortcut: keras.KerasTensor,
    filters: int,
    *,
    strides: int = 1,
    dilation_rates: tuple[int, int] = (1, 1),
    normalization: str = "batch",
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
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.Activation("relu", name=f"{name}_relu")(x)


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


def check_output_stride(output_stride: int, choices: Sequence[int]) -> None:
    """Refuse an output stride that a model does not offer.

    Raises:
        errors.UsageError: if `output_stride` is none of `choices`.
    """
    if output_stride not in choices:
        raise errors.UsageError(
            f"`output_stride` must be one of {', '.join(map(str, choices))}. "
            f"Received output_stride={output_stride}.",
            "Choose one of these, or another model.",
        )


def classifier(
    x: keras.KerasTensor, num_classes: int, *, dropout_rate: float = 0.0
) -> keras.KerasTensor:
    """Add dropout and the last dense layer, in float32 under every dtype policy.

    The layer starts from a normal distribution of deviation 0.01 [Goyal 2017, 5.1], so
    that the first loss is close to log(num_classes).

    Args:
        x: float (batch, channels).
        num_classes: number of logits, at least 1.
        dropout_rate: in [0, 1).

    Returns:
        Logits, float32 (batch, num_classes).

    Raises:
        errors.UsageError: if a number is out of its range.
    """
    if num_classes < 1:
        raise errors.UsageError(
            f"`num_classes` must be at least 1. Received num_classes={num_classes}.",
            "Give the number of classes, or None for feature maps.",
        )
    if not 0 <= dropout_rate < 1:
        raise errors.UsageError(
            f"`dropout_rate` must be in [0, 1). Received dropout_rate={dropout_rate}.",
            "Give 0 for no dropout.",
        )
    if dropout_rate > 0:
        dropout = keras.layers.Dropout(
            dropout_rate, dtype="float32", name=f"{CLASSIFIER}_dropout"
        )
        x = dropout(x)
    return keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name=CLASSIFIER,
    )(x)
