"""The first residual networks, as keras.applications has them [He 2016].

Counting traps: every convolution has a bias, although a norm follows (26,560 in 50
layers): 25,583,592 trainable parameters, 25,636,712 with the moving averages. `resnet`
has no such bias: 25,557,032 and 25,610,152.
"""

import functools
from collections.abc import Sequence

import keras
import numpy as np

from tfdl.backbones import ends, imagenet, resnet
from tfdl.layers import residual

# Caffe's mean. Its pictures have no deviation; ours only scales the first kernel.
CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)
EPSILON = 1.001e-5
APPLICATIONS = {
    50: keras.applications.ResNet50,
    101: keras.applications.ResNet101,
    152: keras.applications.ResNet152,
}


def resnet_v1(
    depth: int,
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
    """Build a residual network that strides in the first convolution of a block.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 256, 512, 1024, 2048
    channels: c1 after the stem's activation, the others after the stages.

    Deviations from the paper: the convolutions have biases, as in keras.applications,
    whose weights `weights="imagenet"` takes; dropout, stochastic depth, width, other
    norms and dilation are options.

    `depth` is 50, 101 or 152. The other arguments are those of every backbone, see
    `tfdl.backbones`; `output_stride`, of c5, is 32, or 16 or 8 with dilation.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2016.
    """
    inputs, x = ends.image_input(image_shape, mean=CAFFE_MEAN, std=resnet.IMAGENET_STD)
    features = resnet.feature_maps(
        x,
        resnet.NUM_BLOCKS[depth],
        functools.partial(residual.bottleneck, has_stride_first=True),
        width=width,
        output_stride=output_stride,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
        normalization=normalization,
        epsilon=EPSILON,
        use_bias=True,
    )
    return ends.model(
        f"resnet{depth}_v1",
        inputs,
        features,
        lambda: ends.classifier(
            ends.pooled(features["c5"]), num_classes, dropout_rate=dropout_rate
        ),
        num_classes=num_classes,
        weights=weights,
        published=published(depth),
    )


def published(depth: int) -> imagenet.Published:
    """Say where the weights of a depth, 50, 101 or 152, come from."""
    return imagenet.Published(
        APPLICATIONS[depth],
        _name_of,
        stem="stem_conv",
        input_scale=lambda theirs: 1 / (255 * np.array(resnet.IMAGENET_STD)),
        is_bgr=True,
    )


def _name_of(name):
    """Map c2_block1_shortcut_norm to conv2_block1_0_bn, and the like."""
    if name == "classifier":
        return "predictions"
    for ours, theirs in (("stem", "c1"), ("shortcut", "0"), ("norm", "bn")):
        name = name.replace(ours, theirs)
    return name.replace("c", "conv", 1)
