"""LeNet-5, for digits of 28 or 32 pixels, as it is taught and as of 1998 [LeCun 1998].

Counting trap: 61,706 parameters belong to a picture of 32 pixels with one channel and
10 classes, or of 28 padded to 32; without the padding a 28-pixel picture gives 44,426,
and the 1998 original has 60,000 up to F6, 60,850 with a linear layer of 10 classes.
"""

from collections.abc import Sequence

import keras

from tfdl import errors
from tfdl.backbones import ends, weights as weights_file
from tfdl.layers import activations, blocks, sparse_convolution, subsampling

MNIST_MEAN, MNIST_STD = (0.1307,), (0.3081,)
SIZE = 32  # "the input is a 32x32 pixel image", section II.B
MIN_SIZE = 16  # without padding, for 1 x 1 in the last map
# A background of 0 becomes -0.1 and a foreground of 1 becomes 1.175, section II.B.
MEAN_1998, STD_1998 = (0.1 / 1.275,), (1 / 1.275,)
# The maps of S2 that each map of C3 sees, table I.
TABLE_I = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5)),
    *((0, 1, 2, 5), (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)


def lenet5(
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
    pad: bool = True,
) -> keras.Model:
    """Build LeNet-5: 6 and 16 maps, then 120, 84 and `num_classes` units.

    Pictures smaller than 32 pixels are padded to 32, unless `pad` is False: then they
    have at least 16. Larger ones work too, with more parameters in the first dense
    layer.

    Feature maps: c1 (stride 2) and c2 (stride 4), after the poolings. The convolutions
    do not pad, so the maps are smaller than picture / stride: 14 and 5 for 28 pixels,
    12 and 4 without padding.

    Deviations from the paper: ReLU for the scaled tanh, max-pooling for the trainable
    subsampling, full connections into C3, a linear layer with softmax loss for the
    radial basis functions, He initialisation; the padding is the mean grey, not the
    background. See `lenet5_1998` for the original.

    The arguments are those of every backbone, see `tfdl.backbones`; `output_stride` is
    at least 4, and then without effect.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", "c2"}.

    Raises:
        errors.UsageError: also if the picture is too small.

    Reference:
        LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998.
    """
    ends.refuse_drop_path(drop_path_rate, name="lenet5")
    ends.check_output_stride(output_stride, (4, 8, 16, 32))
    inputs, x = ends.image_input(image_shape, mean=MNIST_MEAN, std=MNIST_STD)
    features = {}
    padding = _padding(image_shape) if pad else _no_padding(image_shape)
    x = keras.layers.ZeroPadding2D(padding, name="pad")(x)
    for name, filters in (("c1", 6), ("c2", 16)):
        x = _conv_pool(x, blocks.scaled(filters, width), name=name)
        x = features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
    return ends.model(
        "lenet5",
        inputs,
        features,
        lambda: ends.classifier(
            _dense_layers(x, width), num_classes, dropout_rate=dropout_rate
        ),
        num_classes=num_classes,
        weights=weights,
    )


def lenet5_1998(
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
    """Build LeNet-5 as of 1998: trained subsampling, and maps that see some maps only.

    Every layer up to F6 is squashed by 1.7159 tanh(2x / 3), the subsampling too. A map
    of C3 sees three, four or all six of S2's (table I). Pictures smaller than 32 pixels
    are padded to 32; larger ones work too, with more parameters in C5.

    Feature maps: c1 (stride 2) and c2 (stride 4), the paper's S2 and S4, with 6 and 16
    channels. The convolutions do not pad, so the maps are smaller than picture /
    stride: 14 and 5 for 28 pixels.

    Deviations from the paper: a linear layer with softmax loss for the ten radial basis
    functions, whose fixed drawings of digits are for no other classes; the first
    weights are normal with variance 1 / inputs, of the authors' later "Efficient
    BackProp", where the paper draws from +-2.4 / inputs, and the subsampling starts as
    the average, where the paper's coefficient of the sum is drawn likewise; the padding
    is 0, not the background's -0.1; dropout and width are options.

    The arguments are those of every backbone, see `tfdl.backbones`; `normalization` is
    without effect, `output_stride` is at least 4, and then without effect. Each map of
    the paper stands for as many as the whole number next to `width`, at least one, so
    that a narrower network has smaller dense layers alone.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", "c2"}.

    Reference:
        LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998,
        section II.B and appendix A.
    """
    ends.refuse_drop_path(drop_path_rate, name="lenet5_1998")
    ends.check_output_stride(output_stride, (4, 8, 16, 32))
    inputs, x = ends.image_input(image_shape, mean=MEAN_1998, std=STD_1998)
    features = {}
    x = keras.layers.ZeroPadding2D(_padding(image_shape), name="pad")(x)
    for name, convolution in _convolutions(copies=blocks.scaled(1, width)).items():
        x = _squashed(convolution(x), name=f"{name}_conv")
        x = subsampling.Subsampling2D(name=f"{name}_pool")(x)
        x = _squashed(x, name=f"{name}_pool")
        x = features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
    return ends.model(
        "lenet5_1998",
        inputs,
        features,
        lambda: ends.classifier(
            _dense_layers(
                x,
                width,
                activation=activations.scaled_tanh,
                kernel_initializer="lecun_normal",
            ),
            num_classes,
            dropout_rate=dropout_rate,
        ),
        num_classes=num_classes,
        weights=weights,
    )


def _padding(image_shape):
    """Rows above and below, columns left and right, up to 32 x 32."""
    missing = [max(0, SIZE - (size or SIZE)) for size in image_shape[:2]]
    return tuple((total // 2, total - total // 2) for total in missing)


def _no_padding(image_shape):
    if min(size or MIN_SIZE for size in image_shape[:2]) < MIN_SIZE:
        raise errors.UsageError(
            f"`image_shape` must be at least {MIN_SIZE} pixels without padding. "
            f"Received image_shape={tuple(image_shape)}.",
            "Give larger pictures, or leave `pad` out.",
        )
    return 0


def _conv_pool(x, filters, *, name):
    x = keras.layers.Conv2D(
        filters,
        5,
        activation="relu",
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)


def _convolutions(*, copies):
    """C1 and C3, with `copies` maps for each of the paper's."""
    connections = [
        [map_ * copies + copy for map_ in maps for copy in range(copies)]
        for maps in TABLE_I
        for _ in range(copies)
    ]
    return {
        "c1": keras.layers.Conv2D(
            6 * copies, 5, kernel_initializer="lecun_normal", name="c1_conv"
        ),
        "c2": sparse_convolution.SparseConv2D(connections, 5, name="c2_conv"),
    }


def _squashed(x, *, name):
    return keras.layers.Activation(activations.scaled_tanh, name=f"{name}_tanh")(x)


def _dense_layers(x, width, *, activation="relu", kernel_initializer="he_normal"):
    ends.check_known_size(x.shape[1:3], reason="LeNet-5's dense layers")
    x = keras.layers.Flatten(name=f"{weights_file.CLASSIFIER}_flatten")(x)
    for number, units in enumerate((120, 84), start=1):
        x = keras.layers.Dense(
            blocks.scaled(units, width),
            activation=activation,
            kernel_initializer=kernel_initializer,
            name=f"{weights_file.CLASSIFIER}_fc{number}",
        )(x)
    return x
