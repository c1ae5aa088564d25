"""Network in Network: 1 x 1 convolutions and class maps, no dense layer [Lin 2014].

Counting trap: 966,986 parameters of `cifar_nin` are for 10 classes; another class costs
193 of them. `nin` has 7,595,176 for 1000.
"""

import functools
from collections.abc import Sequence

import keras

from tfdl.backbones import ends, weights as weights_file
from tfdl.layers import blocks

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
# Pixels; of fewer, nothing is left for the last pooling.
MIN_SIZE, CIFAR_MIN_SIZE = 39, 4


def nin(
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
    """Build the Network in Network of ImageNet, which its authors gave to Caffe's zoo.

    Feature maps: c2 to c5 (strides 4, 8, 16, 32) with 96, 256, 384, 1024 channels,
    after the stacks of 1 x 1 convolutions. The first convolution does not pad: 54, 27,
    13 and 6 positions for 224 pixels.

    Deviations from Caffe's model: mean and deviation per channel instead of the mean
    picture; He initialisation; no ReLU on the class maps, so that logits have both
    signs.

    The arguments are those of every backbone, see `tfdl.backbones`; pictures have at
    least 39 pixels, `dropout_rate` is of the last pooling (also in a model of feature
    maps), `normalization` is without effect, `output_stride` is 32.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c2", ..., "c5"}.

    Reference:
        Lin et al., "Network In Network", 2014; "nin_imagenet" of the Caffe model zoo.
    """
    ends.refuse_drop_path(drop_path_rate, name="nin")
    ends.check_output_stride(output_stride, (32,))
    ends.check_size(image_shape, MIN_SIZE, name="nin")
    inputs, x = ends.image_input(image_shape, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    mlpconv = functools.partial(
        _mlpconv, width=width, spatial_dropout_rate=spatial_dropout_rate
    )
    maps = {}
    x = maps["c2"] = mlpconv(x, 1, 11, (96, 96, 96), strides=4, padding="valid")
    x = _pool(x, name="pool1")
    x = maps["c3"] = mlpconv(x, 2, 5, (256, 256, 256))
    x = _pool(x, name="pool2")
    x = maps["c4"] = mlpconv(x, 3, 3, (384, 384, 384))
    x = _pool(x, name="pool3", dropout_rate=dropout_rate)
    x = maps["c5"] = mlpconv(x, 4, 3, (1024, 1024))
    return ends.model(
        "nin",
        inputs,
        maps,
        lambda: _average_class_maps(x, num_classes),
        num_classes=num_classes,
        weights=weights,
    )


def cifar_nin(
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
    """Build the Network in Network of CIFAR, for pictures of about 32 pixels.

    Feature maps: c1, c2 (strides 2, 4) with 192 channels each, after the second and the
    third stack of 1 x 1 convolutions.

    Deviations from the paper: CIFAR's mean and deviation per channel instead of global
    contrast normalisation and whitening; He initialisation; no ReLU on the class maps,
    so that logits have both signs.

    The arguments are those of every backbone, see `tfdl.backbones`; `dropout_rate` is
    of both poolings (also in a model of feature maps), `normalization` is without
    effect, `output_stride` is at least 4, and then without effect.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", "c2"}.

    Reference:
        Lin et al., "Network In Network", 2014, section 4.
    """
    ends.refuse_drop_path(drop_path_rate, name="cifar_nin")
    ends.check_output_stride(output_stride, (4, 8, 16, 32))
    ends.check_size(image_shape, CIFAR_MIN_SIZE, name="cifar_nin")
    inputs, x = ends.image_input(image_shape, mean=CIFAR_MEAN, std=CIFAR_STD)
    mlpconv = functools.partial(
        _mlpconv, width=width, spatial_dropout_rate=spatial_dropout_rate
    )
    maps = {}
    x = mlpconv(x, 1, 5, (192, 160, 96))
    x = _pool(x, name="pool1", dropout_rate=dropout_rate)
    x = maps["c1"] = mlpconv(x, 2, 5, (192, 192, 192))
    x = _pool(x, name="pool2", dropout_rate=dropout_rate)
    x = maps["c2"] = mlpconv(x, 3, 3, (192, 192))
    return ends.model(
        "cifar_nin",
        inputs,
        maps,
        lambda: _average_class_maps(x, num_classes),
        num_classes=num_classes,
        weights=weights,
    )


def _mlpconv(
    x, stage, kernel_size, channels, *, width, spatial_dropout_rate, **options
):
    """Add a convolution, then 1 x 1 ones: a small network slid over the picture."""
    for number, filters in enumerate(channels, start=1):
        x = blocks.convolution(
            x,
            blocks.scaled(filters, width),
            kernel_size if number == 1 else 1,
            activation="relu",
            name=f"mlpconv{stage}_{number}",
            **(options if number == 1 else {}),
        )
    return blocks.spatial_dropout(x, spatial_dropout_rate, name=f"mlpconv{stage}")


def _pool(x, *, name, dropout_rate=0.0):
    ends.check_rate("dropout_rate", dropout_rate)
    x = blocks.max_pool(x, 3, 2, padding="ceil", name=name)
    if not dropout_rate:
        return x
    return keras.layers.Dropout(dropout_rate, name=f"{name}_dropout")(x)


def _average_class_maps(x, num_classes):
    """Add one map for each class, float32 under every policy; averages are the logits.

    They start close to zero: nothing normalises what is below, and every max-pooling
    raises it, hence a tenth of `ends.classifier`'s deviation.
    """
    ends.check_classifier(num_classes)
    x = keras.layers.Conv2D(
        num_classes,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        dtype="float32",
        name=weights_file.CLASSIFIER,
    )(x)
    return ends.pooled(x)
