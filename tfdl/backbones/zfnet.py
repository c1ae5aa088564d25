"""ZFNet: AlexNet with a finer first layer [Zeiler & Fergus 2014].

Counting trap: 62,357,608 parameters belong to one tower (the paper trained on one GPU),
pictures of 224 pixels and poolings that round up, which leave 6 x 6 positions.
"""

import functools
from collections.abc import Sequence

import keras

from tfdl.backbones import alexnet, ends
from tfdl.layers import blocks, local_response

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MIN_SIZE = 47  # pixels; of fewer, nothing is left for the last pooling


def zfnet(
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
    """Build ZFNet, figure 3 of the paper.

    Feature maps, with their positions for a picture of 224 pixels: c1 (stride 2, 96
    channels, 110 x 110) after the first convolution, c2 (stride 4, 96, 55 x 55) after
    its pooling, c3 (stride 8, 256, 26 x 26) after the second convolution, c4 (stride
    16, 256, 13 x 13) after the fifth, c5 (stride 32, 256, 6 x 6) after the last
    pooling. The first convolution pads one pixel and the second none.

    What the paper leaves open: the padding (here the one that gives figure 3's sizes,
    with poolings that round up) and the constants of "contrast normalized across
    feature maps" (here AlexNet's local response normalisation, after the poolings).

    Deviations from the paper: mean and deviation per channel instead of the mean
    picture; He initialisation for 0.01, as in `alexnet.classifier`; kernels are not
    renormalised where the root of their mean square exceeds 0.1.

    The arguments are those of every backbone, see `tfdl.backbones`; pictures have at
    least 47 pixels, `dropout_rate` is of both hidden layers, `normalization` is without
    effect, `output_stride` is 32.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2014.
    """
    ends.refuse_drop_path(drop_path_rate, name="zfnet")
    ends.check_output_stride(output_stride, (32,))
    ends.check_size(image_shape, MIN_SIZE, name="zfnet")
    inputs, x = ends.image_input(image_shape, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    features = _feature_maps(x, width, spatial_dropout_rate)
    return ends.model(
        "zfnet",
        inputs,
        features,
        lambda: alexnet.classifier(
            features["c5"], num_classes, width=width, dropout_rate=dropout_rate
        ),
        num_classes=num_classes,
        weights=weights,
    )


def _feature_maps(x, width, spatial_dropout_rate):
    first, second, third, fourth, fifth = (
        blocks.scaled(channels, width) for channels in (96, 256, 384, 384, 256)
    )
    maps = {}
    convolution = functools.partial(blocks.convolution, activation="relu")
    dropout = functools.partial(blocks.spatial_dropout, rate=spatial_dropout_rate)
    pool = functools.partial(blocks.max_pool, size=3, strides=2, padding="ceil")
    x = keras.layers.ZeroPadding2D(1, name="pad")(x)
    x = convolution(x, first, 7, strides=2, padding="valid", name="conv1")
    x = maps["c1"] = dropout(x, name="c1")
    x = local_response.LocalResponseNormalization(name="norm1")(pool(x, name="pool1"))
    x = maps["c2"] = dropout(x, name="c2")
    x = convolution(x, second, 5, strides=2, padding="valid", name="conv2")
    x = maps["c3"] = dropout(x, name="c3")
    x = local_response.LocalResponseNormalization(name="norm2")(pool(x, name="pool2"))
    x = convolution(x, third, 3, name="conv3")
    x = convolution(x, fourth, 3, name="conv4")
    x = maps["c4"] = dropout(convolution(x, fifth, 3, name="conv5"), name="c4")
    maps["c5"] = dropout(pool(x, name="pool5"), name="c5")
    return maps
