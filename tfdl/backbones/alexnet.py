"""AlexNet: one tower, the two of the paper, and torchvision's.

Counting traps: 60,965,224 parameters belong to the paper's two towers, which are
convolutions with two groups; one tower of the same widths has 62,378,344. torchvision's
61,100,840 are those of the narrower network of "one weird trick" [Krizhevsky 2014]. All
belong to pictures of 224 pixels: the first dense layer grows with the picture.
"""

import dataclasses
import functools
from collections.abc import Sequence

import keras

from tfdl.backbones import ends, weights as weights_file
from tfdl.layers import blocks, local_response

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MIN_SIZE = 64  # pixels; of fewer, nothing is left for the last pooling
HIDDEN_UNITS = (4096, 4096)


@dataclasses.dataclass(frozen=True)
class Variant:
    """What the variants differ in.

    Attributes:
        channels: of the five convolutions.
        groups: of the second, fourth and fifth convolution.
        padding: pixels (before, after) the picture, in rows and in columns.
        has_local_response: whether the first two convolutions are normalised.
        pooled_size: to which size the last map is brought by averaging, or None.
    """

    channels: tuple[int, int, int, int, int]
    groups: int
    padding: tuple[int, int]
    has_local_response: bool
    pooled_size: int | None = None


# The paper's 55 x 55 positions need 227 pixels of a picture that has 224.
VARIANTS = {
    "alexnet": Variant((96, 256, 384, 384, 256), 1, (1, 2), True),
    "alexnet_grouped": Variant((96, 256, 384, 384, 256), 2, (1, 2), True),
    "alexnet_torchvision": Variant((64, 192, 384, 256, 256), 1, (2, 2), False, 6),
}


def alexnet(
    variant: str,
    image_shape: Sequence[int | None],
    num_classes: int | None = 1000,
    weights: str | None = None,
    width: float = 1.0,
    output_stride: int = 32,
    *,
    normalization: str = "batch",
    dropout_rate: float = 0.5,
    spatial_dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> keras.Model:
    """Build AlexNet: five convolutions, three overlapping poolings, three dense layers.

    Feature maps: c2 (stride 4) and c3 (stride 8) after the first two convolutions, and
    their local response normalisation if there is one, c4 (stride 16) after the fifth
    convolution, c5 (stride 32) after the last pooling, with 96, 256, 256, 256 channels
    (torchvision: 64, 192, 256, 256). The first convolution pads little and the poolings
    do not, so that of a picture of 32 n pixels the maps have one position less than
    picture / stride: 55, 27, 13 and 6 for 224.

    Deviations from the paper: mean and deviation per channel instead of the mean
    picture; He initialisation (see `classifier`) and biases of zero; with "alexnet",
    one tower, whose second, fourth and fifth convolution see all channels. With
    "alexnet_torchvision" dropout comes after the hidden layers, as in the paper, and
    not before them; a last map of another size than 6 x 6 is brought to it by averages,
    as there, so that its weights fit every picture of a known size. In the others the
    first dense layer grows with the map.

    `variant` is "alexnet", "alexnet_grouped" (the paper's) or "alexnet_torchvision".
    The other arguments are those of every backbone, see `tfdl.backbones`; pictures have
    at least 64 pixels, `dropout_rate` is of both hidden layers, `normalization` is
    without effect, `output_stride` is 32.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c2", ..., "c5"}.

    Reference:
        Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural
        Networks", 2012; Krizhevsky, "One weird trick for parallelizing convolutional
        neural networks", 2014.
    """
    table = VARIANTS[variant]
    ends.refuse_drop_path(drop_path_rate, name=variant)
    ends.check_output_stride(output_stride, (32,))
    ends.check_size(image_shape, MIN_SIZE, name=variant)
    inputs, x = ends.image_input(image_shape, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    features = _feature_maps(x, table, width, spatial_dropout_rate)
    return ends.model(
        variant,
        inputs,
        features,
        lambda: classifier(
            _resized(features["c5"], table.pooled_size),
            num_classes,
            width=width,
            dropout_rate=dropout_rate,
        ),
        num_classes=num_classes,
        weights=weights,
    )


def classifier(
    x: keras.KerasTensor, num_classes: int, *, width: float, dropout_rate: float
) -> keras.KerasTensor:
    """Flatten the map, add two hidden dense layers with dropout, and the last one.

    The hidden layers start from He's deviation, the second from a tenth of it, since
    nothing normalises and every max-pooling raises the values: then the first loss is
    close to log(num_classes).

    Args:
        x: float (batch, height, width, channels), the sizes known.
        num_classes: number of logits, at least 1.
        width: factor on the number of hidden units.
        dropout_rate: after each hidden layer, in [0, 1).

    Returns:
        Logits, float32 (batch, num_classes).

    Raises:
        errors.UsageError: if a size is unknown, or a number out of its range.
    """
    ends.check_known_size(x.shape[1:3], reason="the dense layers")
    ends.check_classifier(num_classes, dropout_rate=dropout_rate)
    x = keras.layers.Flatten(name=f"{weights_file.CLASSIFIER}_flatten")(x)
    for number, units in enumerate(HIDDEN_UNITS, start=1):
        name = f"{weights_file.CLASSIFIER}_fc{number}"
        if number > 1 and dropout_rate:
            x = keras.layers.Dropout(dropout_rate, name=f"{name}_dropout")(x)
        is_last = number == len(HIDDEN_UNITS)
        scale = 0.02 if is_last else 2.0  # of the variance; He's is 2
        x = keras.layers.Dense(
            blocks.scaled(units, width),
            activation="relu",
            kernel_initializer=keras.initializers.VarianceScaling(scale),
            name=name,
        )(x)
    return ends.classifier(x, num_classes, dropout_rate=dropout_rate)


def _feature_maps(x, variant, width, spatial_dropout_rate):
    first, second, third, fourth, fifth = (
        blocks.scaled(channels, width, divisor=variant.groups)
        for channels in variant.channels
    )
    groups, maps = variant.groups, {}
    convolution = functools.partial(blocks.convolution, activation="relu")
    dropout = functools.partial(blocks.spatial_dropout, rate=spatial_dropout_rate)
    x = keras.layers.ZeroPadding2D((variant.padding, variant.padding), name="pad")(x)
    x = convolution(x, first, 11, strides=4, padding="valid", name="conv1")
    x = maps["c2"] = dropout(_normalized(x, variant, name="norm1"), name="c2")
    x = _overlapping_pool(x, name="pool1")
    x = convolution(x, second, 5, groups=groups, name="conv2")
    x = maps["c3"] = dropout(_normalized(x, variant, name="norm2"), name="c3")
    x = _overlapping_pool(x, name="pool2")
    x = convolution(x, third, 3, name="conv3")
    x = convolution(x, fourth, 3, groups=groups, name="conv4")
    x = convolution(x, fifth, 3, groups=groups, name="conv5")
    x = maps["c4"] = dropout(x, name="c4")
    maps["c5"] = dropout(_overlapping_pool(x, name="pool5"), name="c5")
    return maps


def _overlapping_pool(x, *, name):
    """Pool windows that share a row with the next [Krizhevsky 2012, 3.4]."""
    return blocks.max_pool(x, 3, 2, padding="valid", name=name)


def _normalized(x, variant, *, name):
    if not variant.has_local_response:
        return x
    return local_response.LocalResponseNormalization(name=name)(x)


def _resized(x, size):
    if size is None or x.shape[1:3] == (size, size) or None in x.shape[1:3]:
        return x
    name = f"{weights_file.CLASSIFIER}_pool"
    repeats = tuple(2 if positions == 1 else 1 for positions in x.shape[1:3])
    if max(repeats) > 1:  # Keras fails on a single position; two alike mean the same
        x = keras.layers.UpSampling2D(repeats, name=f"{name}_repeat")(x)
    return keras.layers.AdaptiveAveragePooling2D(size, name=name)(x)
