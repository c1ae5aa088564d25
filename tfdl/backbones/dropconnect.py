"""The small network of CIFAR-10 with DropConnect [Wan 2013, 6.2].

Counting trap: 145,578 parameters belong to 32 x 32 pixels, three channels and 10
classes; 65,600 of them are those of the dense layer, which grows with the picture.
"""

from collections.abc import Sequence

import keras

from tfdl.backbones import cifar_resnet, ends
from tfdl.backbones.weights import CLASSIFIER
from tfdl.layers import blocks, drop_connect

# The convolutions of cuda-convnet's layers-80sec.cfg, with the kind of pooling.
CONVOLUTIONS = ((32, "max"), (32, "average"), (64, "average"))
KERNEL_SIZE, POOL_SIZE = 5, 3
DENSE_UNITS = 64
POOLINGS = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}


def dropconnect_cifar(
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
    """Build three 5 x 5 convolutions with pooling and a dense layer of 64 units.

    The first of the paper's two networks for CIFAR-10, the one without local
    response normalisation: the convolutions are those of cuda-convnet's
    "layers-80sec.cfg", and the weights of the dense layer are dropped in training, for
    each picture others (`drop_connect.DropConnect`). The last layer keeps its weights.

    Feature maps: c1, c2, c3 (strides 2, 4, 8) with 32, 32, 64 channels, after the
    poolings: over 3 pixels with stride 2, cut off by the edge, the first of maxima, the
    others of averages.

    Deviations from the paper: CIFAR-10's mean and deviation per channel instead of the
    mean picture; He's initialisation; a side that is not a multiple of 8 is pooled from
    both edges; what `drop_connect.DropConnect` says of inference.

    The arguments are those of every backbone, see `tfdl.backbones`; `output_stride` is
    at least 8, and then without effect, as is `normalization`. `dropout_rate` is the
    share of the dense layer's weights that DropConnect drops.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", "c2", "c3"}.

    Reference:
        Wan et al., "Regularization of Neural Networks using DropConnect", 2013.
    """
    ends.refuse_drop_path(drop_path_rate, name="dropconnect_cifar")
    ends.check_output_stride(output_stride, (8, 16, 32))
    inputs, x = ends.image_input(
        image_shape, mean=cifar_resnet.CIFAR_MEAN, std=cifar_resnet.CIFAR_STD
    )
    features = {}
    for index, (channels, pooling) in enumerate(CONVOLUTIONS, start=1):
        name = f"c{index}"
        x = blocks.convolution(
            x,
            blocks.scaled(channels, width),
            KERNEL_SIZE,
            activation="relu",
            name=f"{name}_conv",
        )
        # TensorFlow's "same" means over the pixels that there are, as cuda-convnet's.
        pool = POOLINGS[pooling](POOL_SIZE, 2, padding="same", name=f"{name}_pool")
        x = blocks.spatial_dropout(pool(x), spatial_dropout_rate, name=name)
        features[name] = x
    return ends.model(
        "dropconnect_cifar",
        inputs,
        features,
        lambda: ends.classifier(
            _dense(x, blocks.scaled(DENSE_UNITS, width), dropout_rate), num_classes
        ),
        num_classes=num_classes,
        weights=weights,
    )


def _dense(x, units, rate):
    reason = "the dense layer of dropconnect_cifar"
    ends.check_known_size(x.shape[1:3], reason=reason)
    ends.check_rate("dropout_rate", rate)
    x = keras.layers.Flatten(name=f"{CLASSIFIER}_flatten")(x)
    return drop_connect.DropConnect(
        units,
        rate=rate,
        activation="relu",
        kernel_initializer="he_normal",
        name=f"{CLASSIFIER}_fc",
    )(x)
