"""A network of fractional max-pooling, (32nC2-FMP sqrt(2))6-C2-C1 [Graham 2014].

Counting trap: the n-th convolution has 32 n channels, also the two after the last
pooling, 224 and 256. With 10 classes there are 520,202 parameters.
"""

from collections.abc import Sequence

import keras

from tfdl.backbones import cifar_resnet, ends
from tfdl.backbones.weights import CLASSIFIER
from tfdl.layers import blocks, fractional_pooling

CHANNELS = tuple(32 * number for number in range(1, 9))
NUM_STAGES, POOLINGS_PER_STAGE = 3, 2  # two poolings by sqrt(2) halve the picture
RATIO = 2**0.5
NEGATIVE_SLOPE = 1 / 3  # "very leaky"
# The smallest side that ends as one pixel: 38 C2 37 FMP 26 C2 25 FMP 17 C2 16 FMP 11
# C2 10 FMP 7 C2 6 FMP 4 C2 3 FMP 2 C2 1.
MIN_SIZE, MARGIN = 38, 3


def fractional_cifar(
    image_shape: Sequence[int | None],
    num_classes: int | None = 1000,
    weights: str | None = None,
    width: float = 1.0,
    output_stride: int = 32,
    *,
    normalization: str = "batch",
    dropout_rate: float = 0.0,
    spatial_dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> keras.Model:
    """Build six 2 x 2 convolutions with fractional pooling, then a 2 x 2 and a 1 x 1.

    A small one of the paper's networks: with 64 or 160 channels per layer for 32, and
    twelve poolings by the cube root of 2 for six by the square root, it would be those
    for CIFAR, which are not for a laptop. The poolings are pseudorandom and overlap
    (`fractional_pooling.FractionalMaxPooling2D`), the activations are leaky ReLUs of
    slope 1/3; there are no normalisation layers. The picture stands in a margin of
    zeros of 3 pixels on each side, or as many as make it 38 wide and high.

    Feature maps: c1, c2, c3 (strides 2, 4, 8) with 64, 128, 192 channels, after every
    second pooling. Rounding down and the margin make them 17, 7, 2 wide and high for 32
    pixels.

    Deviations from the paper: CIFAR-10's mean and deviation per channel; a larger
    picture than 32 pixels leaves several, which are averaged; one deterministic pass in
    inference.

    The arguments are those of every backbone, see `tfdl.backbones`; `output_stride` is
    at least 8, and then without effect, as is `normalization`. `dropout_rate` is that
    of the last layer's input, to which it rises linearly from 0 for the picture. Height
    and width are always needed.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", "c2", "c3"}.

    Raises:
        errors.UsageError: if the height or the width is None.

    Reference:
        Graham, "Fractional Max-Pooling", 2014.
    """
    ends.refuse_drop_path(drop_path_rate, name="fractional_cifar")
    ends.check_output_stride(output_stride, (8, 16, 32))
    ends.check_known_size(image_shape[:2], reason="fractional pooling")
    ends.check_rate("dropout_rate", dropout_rate)
    inputs, x = ends.image_input(
        image_shape, mean=cifar_resnet.CIFAR_MEAN, std=cifar_resnet.CIFAR_STD
    )
    x = keras.layers.ZeroPadding2D(_margins(image_shape), name="pad")(x)
    channels = [blocks.scaled(count, width) for count in CHANNELS]
    rates = [dropout_rate * index / len(CHANNELS) for index in range(len(CHANNELS))]
    layers = list(zip(channels, rates, strict=True))
    features = {}
    for stage in range(NUM_STAGES):
        name = f"c{stage + 1}"
        for number in range(POOLINGS_PER_STAGE):
            x = _convolution(x, *layers.pop(0), 2, f"{name}_{number + 1}")
            x = fractional_pooling.FractionalMaxPooling2D(
                RATIO, name=f"{name}_{number + 1}_pool"
            )(x)
        x = features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
    return ends.model(
        "fractional_cifar",
        inputs,
        features,
        lambda: ends.classifier(
            ends.pooled(_head(x, layers)),
            num_classes,
            dropout_rate=dropout_rate,
        ),
        num_classes=num_classes,
        weights=weights,
    )


def _convolution(x, channels, dropout_rate, kernel_size, name):
    if dropout_rate:
        x = keras.layers.Dropout(dropout_rate, name=f"{name}_dropout")(x)
    x = keras.layers.Conv2D(
        channels,
        kernel_size,
        # Not He's: what the activation takes of the mean square, the maxima give back.
        kernel_initializer="lecun_normal",
        name=f"{name}_conv",
    )(x)
    return keras.layers.LeakyReLU(NEGATIVE_SLOPE, name=f"{name}_leaky_relu")(x)


def _head(x, layers):
    for number, kernel_size in enumerate((2, 1)):
        x = _convolution(x, *layers[number], kernel_size, f"{CLASSIFIER}_{number + 1}")
    return x


def _margins(image_shape):
    """Rows above and below, columns left and right."""
    missing = [max(2 * MARGIN, MIN_SIZE - size) for size in image_shape[:2]]
    return tuple((total // 2, total - total // 2) for total in missing)
