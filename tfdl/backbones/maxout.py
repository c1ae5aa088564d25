"""The maxout network of CIFAR-10 [Goodfellow 2013, 5.2].

Counting traps: a convolution of 96 maxout channels has 192 feature maps, and the dense
layer of 500 units 2,500 outputs; the paddings and the poolings, whose last window may
be cut off by the edge, leave 5 x 5 pixels of 32 x 32, which decides the largest layer.
With 10 classes there are 16,247,830 parameters, 12,002,500 of them in that layer.
"""

from collections.abc import Sequence

import keras

from tfdl.backbones import cifar_resnet, ends
from tfdl.backbones.weights import CLASSIFIER
from tfdl.layers import blocks, maxout

# Channels, kernel size, zeros on each side, pooling window; the poolings' stride is 2.
CONVOLUTIONS = ((96, 8, 4, 4), (192, 8, 3, 4), (192, 5, 3, 2))
NUM_PIECES, DENSE_PIECES = 2, 5  # linear functions per channel, and per dense unit
DENSE_UNITS = 500
MIN_SIZE = 8  # pixels; of fewer, nothing is left for the last pooling
INPUT_SHARE = 0.4  # 0.2 of the picture is dropped where 0.5 of the units are


def maxout_cifar(
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
    """Build three convolutional maxout layers with pooling and a dense one.

    The paper gives this order of layers and dropout; its sizes are in its published
    configuration alone, which is followed here: 96, 192 and 192 channels of two pieces
    each, kernels of 8, 8 and 5 pixels, poolings over 4, 4 and 2 pixels with stride 2,
    500 dense units of five pieces. It has no normalisation layer.

    Feature maps: c1, c2, c3 (strides 2, 4, 8) with 96, 192, 192 channels, after the
    poolings. Paddings and cut-off windows make them not quite the picture / stride: 16,
    7, 5 for 32 pixels.

    Deviations from the paper: CIFAR-10's mean and deviation per channel instead of
    contrast normalisation and whitening; what is kept of the picture is scaled like
    every dropout; LeCun's initialisation for a uniform one within 0.005; no limit on
    the norms of the kernels, no smaller learning rate for convolutions.

    The arguments are those of every backbone, see `tfdl.backbones`; `output_stride` is
    at least 8, and then without effect, as is `normalization`. `dropout_rate` is the
    share dropped of the inputs of every layer but the first, and 0.4 times it that of
    the picture.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", "c2", "c3"}.

    Reference:
        Goodfellow et al., "Maxout Networks", 2013; sizes: pylearn2,
        scripts/papers/maxout/cifar10.yaml.
    """
    ends.refuse_drop_path(drop_path_rate, name="maxout_cifar")
    ends.check_output_stride(output_stride, (8, 16, 32))
    ends.check_size(image_shape, MIN_SIZE, name="maxout_cifar")
    ends.check_rate("dropout_rate", dropout_rate)
    inputs, x = ends.image_input(
        image_shape, mean=cifar_resnet.CIFAR_MEAN, std=cifar_resnet.CIFAR_STD
    )
    features = {}
    for index, (channels, *sizes) in enumerate(CONVOLUTIONS, start=1):
        rate = dropout_rate if index > 1 else INPUT_SHARE * dropout_rate
        x = _convolution(x, blocks.scaled(channels, width), *sizes, rate, f"c{index}")
        x = blocks.spatial_dropout(x, spatial_dropout_rate, name=f"c{index}")
        features[f"c{index}"] = x
    return ends.model(
        "maxout_cifar",
        inputs,
        features,
        lambda: ends.classifier(
            _dense(x, blocks.scaled(DENSE_UNITS, width), dropout_rate),
            num_classes,
            dropout_rate=dropout_rate,
        ),
        num_classes=num_classes,
        weights=weights,
    )


def _convolution(x, channels, kernel_size, padding, pool_size, dropout_rate, name):
    x = _dropout(x, dropout_rate, name)
    x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(
        NUM_PIECES * channels,
        kernel_size,
        kernel_initializer=_initializer(),
        name=f"{name}_conv",
    )(x)
    x = maxout.Maxout(NUM_PIECES, name=f"{name}_maxout")(x)
    # The last window may be cut off by the edge. Maxout can be negative, so that zeros
    # would win: the last row and column again change no maximum.
    x = keras.ops.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="symmetric")
    return keras.layers.MaxPooling2D(pool_size, 2, name=f"{name}_pool")(x)


def _dense(x, units, dropout_rate):
    ends.check_known_size(x.shape[1:3], reason="the dense layer of maxout_cifar")
    x = keras.layers.Flatten(name=f"{CLASSIFIER}_flatten")(x)
    x = _dropout(x, dropout_rate, f"{CLASSIFIER}_fc")
    x = keras.layers.Dense(
        DENSE_PIECES * units, kernel_initializer=_initializer(), name=f"{CLASSIFIER}_fc"
    )(x)
    return maxout.Maxout(DENSE_PIECES, name=f"{CLASSIFIER}_maxout")(x)


def _initializer():
    # The maxima over pieces and windows, and the dropout, make the mean square four to
    # seven times as large in every layer.
    return keras.initializers.VarianceScaling(0.2)


def _dropout(x, rate, name):
    if not rate:
        return x
    return keras.layers.Dropout(rate, name=f"{name}_dropout")(x)
