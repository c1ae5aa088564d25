"""The peers of the segmentation benchmark: Keras's layers, and keras-cv's DeepLabv3+.

Their outputs are probabilities, float32 (batch, height, width, classes).
"""

from collections.abc import Sequence

import keras
import keras_cv
from keras import layers

_RATES = (3, 6, 9)  # for its output stride of 32
_DROPOUT = 0.5  # after the pyramid


def unet(shape: Sequence[int], num_classes: int) -> keras.Model:
    """Build the U-Net of the paper, with padding, as users write it with Keras."""
    inputs = keras.Input(shape)
    x = layers.Rescaling(4.0, -2.0)(inputs)
    finer = []
    for filters in (64, 128, 256, 512):
        x = _two_convolutions(x, filters)
        if filters == 512:
            x = layers.Dropout(0.5)(x)
        finer.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(0.5)(_two_convolutions(x, 1024))
    for feature in reversed(finer):
        x = layers.Conv2DTranspose(feature.shape[-1], 2, 2)(x)
        x = layers.Concatenate()([feature, x])
        x = _two_convolutions(x, feature.shape[-1])
    x = layers.Conv2D(num_classes, 1)(x)
    return keras.Model(inputs, layers.Softmax(dtype="float32")(x))


def deeplabv3plus(shape: Sequence[int], num_classes: int) -> keras.Model:
    """Build keras-cv's DeepLabv3+ on ResNet-50, its output stride 32.

    Its ResNet has the stride of a stage in the first 1 x 1 convolution, as the paper's,
    where ours has it in the 3 x 3 one. The decoder is the paper's, two 3 x 3
    convolutions, in place of the library's one of 1 x 1.
    """
    pyramid = keras_cv.layers.SpatialPyramidPooling(
        dilation_rates=_RATES, dropout=_DROPOUT
    )
    return keras_cv.models.DeepLabV3Plus(
        _resnet50(shape),
        num_classes,
        spatial_pyramid_pooling=pyramid,
        segmentation_head=_decoder(num_classes),
    )


def _resnet50(shape):
    """Build what `ResNet50Backbone` names, which would look for its preset online."""
    return keras_cv.models.ResNetBackbone(
        stackwise_filters=[64, 128, 256, 512],
        stackwise_blocks=[3, 4, 6, 3],
        stackwise_strides=[1, 2, 2, 2],
        block_type="block",
        include_rescaling=False,
        input_shape=shape,
    )


def _decoder(num_classes):
    convolutions = [
        part
        for _ in range(2)
        for part in (
            layers.Conv2D(256, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        )
    ]
    return keras.Sequential(
        [
            *convolutions,
            layers.Conv2D(num_classes, 1, dtype="float32"),
            layers.UpSampling2D(4, interpolation="bilinear", dtype="float32"),
            layers.Softmax(dtype="float32"),
        ]
    )


def _two_convolutions(x, filters):
    for _ in range(2):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    return x
