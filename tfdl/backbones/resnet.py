"""The residual networks of ImageNet with basic blocks: 18 and 34 layers [He 2016].

Counting traps: the counts (11,689,512 and 21,797,672 with 1000 classes) are of the
trainable parameters, norm scales and offsets included, moving averages not; no
convolution has a bias (in keras.applications' first ResNets all have).
"""

from collections.abc import Sequence

import keras

from tfdl.backbones import ends
from tfdl.layers import blocks

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NUM_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}  # table 1
CHANNELS = (64, 128, 256, 512)  # of the four stages


def resnet(
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
    """Build a residual network whose arithmetic is torchvision's, padding included.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 64, 128, 256, 512
    channels: c1 after the stem's activation, the others after the stages.

    Deviations from the paper: dropout, width, other norms and dilation are options.

    `depth` is 18 or 34. The other arguments are those of every backbone, see
    `tfdl.backbones`; `output_stride`, of c5, is 32, or 16 or 8 with dilation as in
    DeepLab.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2016; Chen et al.,
        "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017.
    """
    ends.check_output_stride(output_stride, (8, 16, 32))
    inputs, x = ends.image_input(image_shape, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    features = {}
    x = features["c1"] = blocks.conv_norm_activation(
        x,
        blocks.scaled(64, width),
        7,
        strides=2,
        normalization=normalization,
        name="stem",
    )
    x = blocks.max_pool(x, 3, 2, padding="symmetric", name="stem_pool")
    stages = blocks.atrous_stages((1, 2, 2, 2), output_stride // 4)  # stem: stride 4
    for index, (strides, dilation_rates) in enumerate(stages):
        name = f"c{index + 2}"
        x = _stage(
            x,
            NUM_BLOCKS[depth][index],
            blocks.scaled(CHANNELS[index], width),
            strides=strides,
            dilation_rates=dilation_rates,
            normalization=normalization,
            name=name,
        )
        x = features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
    return ends.model(
        f"resnet{depth}",
        inputs,
        features,
        lambda: ends.classifier(ends.pooled(x), num_classes, dropout_rate=dropout_rate),
        num_classes=num_classes,
        weights=weights,
    )


def _stage(x, num_blocks, filters, *, strides, dilation_rates, normalization, name):
    for block in range(num_blocks):
        x = _residual(
            x,
            filters,
            strides=strides if block == 0 else 1,
            dilation_rates=dilation_rates if block == 0 else dilation_rates[1:] * 2,
            normalization=normalization,
            name=f"{name}_block{block + 1}",
        )
    return x


def _residual(x, filters, *, strides, dilation_rates, normalization, name):
    """Add a basic block; its shortcut is a projection where the shape changes."""
    shortcut = x
    if strides > 1 or x.shape[-1] != filters:  # option B
        shortcut = blocks.conv_norm_activation(
            x,
            filters,
            1,
            strides=strides,
            normalization=normalization,
            activation=None,
            name=f"{name}_shortcut",
        )
    return blocks.basic_residual(
        x,
        shortcut,
        filters,
        strides=strides,
        dilation_rates=dilation_rates,
        normalization=normalization,
        name=name,
    )
