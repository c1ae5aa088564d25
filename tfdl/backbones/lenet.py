"""LeNet-5, for digits of 28 or 32 pixels [LeCun 1998].

Counting trap: 61,706 parameters belong to a picture of 32 pixels with one channel and
10 classes, or of 28 padded to 32; without the padding a 28-pixel picture gives 44,426,
and the 1998 original has 60,000 up to F6 (sparse C3, trainable subsampling).
"""

from collections.abc import Sequence

import keras

from tfdl import errors
from tfdl.backbones import ends, weights as weights_file
from tfdl.layers import blocks

MNIST_MEAN, MNIST_STD = (0.1307,), (0.3081,)
MIN_SIZE = 32  # "the input is a 32x32 pixel image", section II.B


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
) -> keras.Model:
    """Build LeNet-5: 6 and 16 maps, then 120, 84 and `num_classes` units.

    Pictures smaller than 32 pixels are padded to 32; larger ones work too, with more
    parameters in the first dense layer.

    Feature maps: c1 (stride 2) and c2 (stride 4), after the poolings. The convolutions
    do not pad, so the maps are smaller than picture / stride: 14 and 5 for 28 pixels.

    Deviations from the paper: ReLU for the scaled tanh, max-pooling for the trainable
    subsampling, full connections into C3, a linear layer with softmax loss for the
    radial basis functions, He initialisation; the padding is the mean grey, not the
    background.

    The arguments are those of every backbone, see `tfdl.backbones`; `output_stride` is
    at least 4, and then without effect.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", "c2"}.

    Reference:
        LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998.
    """
    ends.refuse_drop_path(drop_path_rate, name="lenet5")
    ends.check_output_stride(output_stride, (4, 8, 16, 32))
    inputs, x = ends.image_input(image_shape, mean=MNIST_MEAN, std=MNIST_STD)
    features = {}
    x = keras.layers.ZeroPadding2D(_padding(image_shape), name="pad")(x)
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


def _padding(image_shape):
    """Rows above and below, columns left and right, up to 32 x 32."""
    missing = [max(0, MIN_SIZE - (size or MIN_SIZE)) for size in image_shape[:2]]
    return tuple((total // 2, total - total // 2) for total in missing)


def _conv_pool(x, filters, *, name):
    x = keras.layers.Conv2D(
        filters,
        5,
        activation="relu",
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)
    return keras.layers.MaxPooling2D(2, name=f"{name}_pool")(x)


def _dense_layers(x, width):
    if None in x.shape[1:]:
        raise errors.UsageError(
            "`image_shape` must have a height and a width for LeNet-5's dense layers. "
            "Received None.",
            "Give a size, such as (28, 28, 1).",
        )
    x = keras.layers.Flatten(name=f"{weights_file.CLASSIFIER}_flatten")(x)
    for number, units in enumerate((120, 84), start=1):
        x = keras.layers.Dense(
            blocks.scaled(units, width),
            activation="relu",
            kernel_initializer="he_normal",
            name=f"{weights_file.CLASSIFIER}_fc{number}",
        )(x)
    return x
