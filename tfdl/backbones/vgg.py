"""VGG: nothing but 3 x 3 convolutions, poolings and dense layers [Simonyan 2015].

Counting traps: 138,357,544 parameters of VGG16 are for pictures of 224 pixels, and 103
million of them are the first dense layer's, which grows with the picture. With batch
norm the convolutions keep their biases, as in torchvision: 8,448 scales and offsets
more, 138,365,992. Without the dense layers 14,714,688 are left (VGG19: 20,024,384).
"""

from collections.abc import Sequence

import keras
import numpy as np

from tfdl.backbones import alexnet, ends, imagenet
from tfdl.layers import blocks

# Caffe's, of the published weights: the mean over ImageNet, red, green, blue.
CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
IMAGENET_STD = (0.229, 0.224, 0.225)
NUM_CONVOLUTIONS = {  # of the five stages, table 1: columns A, B, D, E
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
CHANNELS = (64, 128, 256, 512, 512)


def vgg(
    depth: int,
    normalized: bool,
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
    """Build VGG, as published or with a normalisation after every convolution.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 128, 256, 512, 512
    channels, after the poolings. What comes before them is the output of a layer: the
    j-th ReLU of stage i is that of layer "conv<i>_<j>" (normalised or not), such as
    "conv1_2" with stride 1 for a U-Net, "conv4_3" for SSD, "conv4_2" for style
    transfer:

        keras.Model(model.input, model.get_layer("conv4_3").output)

    Poolings round up, as Caffe's do, where the published weights come from: 300 pixels
    give 150, 75, 38, 19 and 10 positions (keras.applications and torchvision round down
    to 37). Sizes that 32 divides are the same in all.

    Deviations from the paper: He initialisation (see `alexnet.classifier`) instead of
    0.01 and of the weights of smaller networks; the picture is divided by a deviation
    per channel; the normalisation is an option.

    `depth` is 11, 13, 16 or 19; `normalized` is whether there are normalisations, of
    the kind `normalization`. The other arguments are those of every backbone, see
    `tfdl.backbones`; `dropout_rate` is of both hidden layers, `output_stride` is 32,
    and "imagenet" has weights of depth 16 and 19, not normalised, whose hidden layers
    need pictures of 224 x 224.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
        Recognition", 2015.
    """
    name = f"vgg{depth}_bn" if normalized else f"vgg{depth}"
    ends.refuse_drop_path(drop_path_rate, name=name)
    ends.check_output_stride(output_stride, (32,))
    inputs, x = ends.image_input(image_shape, mean=CAFFE_MEAN, std=IMAGENET_STD)
    features = _feature_maps(
        x,
        NUM_CONVOLUTIONS[depth],
        [blocks.scaled(channels, width) for channels in CHANNELS],
        spatial_dropout_rate,
        normalization=normalization if normalized else None,
    )
    return ends.model(
        name,
        inputs,
        features,
        lambda: alexnet.classifier(
            features["c5"], num_classes, width=width, dropout_rate=dropout_rate
        ),
        num_classes=num_classes,
        weights=weights,
        published=None if normalized else published(depth),
    )


def published(depth: int) -> imagenet.Published | None:
    """Say where the weights of a VGG without normalisations come from.

    Returns:
        For 16 and 19 layers keras.applications; None for the others.
    """
    builds = {16: keras.applications.VGG16, 19: keras.applications.VGG19}
    if depth not in builds:
        return None
    return imagenet.Published(
        builds[depth],
        _published_name,
        stem="conv1_1",
        # Theirs is the picture of 255 minus the mean, ours divided by the deviation.
        input_scale=lambda theirs: 1 / (255 * np.array(IMAGENET_STD)),
        is_bgr=True,
    )


def _feature_maps(
    x, num_convolutions, channels, spatial_dropout_rate, *, normalization
):
    maps = {}
    stages = zip(num_convolutions, channels, strict=True)
    for stage, (number_of_layers, filters) in enumerate(stages, start=1):
        for number in range(1, number_of_layers + 1):
            x = _convolution(
                x, filters, normalization=normalization, name=f"conv{stage}_{number}"
            )
        # For windows without overlap "same" is Caffe's rounding up.
        x = blocks.max_pool(x, 2, 2, padding="same", name=f"pool{stage}")
        level = f"c{stage}"
        x = maps[level] = blocks.spatial_dropout(x, spatial_dropout_rate, name=level)
    return maps


def _convolution(x, filters, *, normalization, name):
    """Add a convolution whose ReLU is the output of layer `name`."""
    if normalization is None:
        return blocks.convolution(x, filters, 3, activation="relu", name=name)
    x = blocks.conv_norm_activation(
        x,
        filters,
        3,
        normalization=normalization,
        activation=None,
        use_bias=True,
        name=name,
    )
    return keras.layers.Activation("relu", name=name)(x)


def _published_name(name):
    """conv4_3 -> block4_conv3, classifier_fc1 -> fc1, classifier -> predictions."""
    if name.startswith("conv"):
        return f"block{name[4]}_conv{name[6]}"
    return {"classifier": "predictions"}.get(name, name.removeprefix("classifier_"))
