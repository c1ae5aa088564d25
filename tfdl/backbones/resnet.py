"""The residual networks of ImageNet, with 18 to 152 layers [He 2016].

Counting traps: the counts (11,689,512 for 18 layers, 25,557,032 for 50, with 1000
classes) are of the trainable parameters, norm scales and offsets included, moving
averages not; no convolution has a bias (those of `resnet_v1` have). The layers that
are counted in the name are the convolutions, without projections, and the dense one.
"""

from collections.abc import Callable, Sequence

import keras

from tfdl.backbones import ends
from tfdl.layers import blocks, residual

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NUM_BLOCKS = {  # table 1
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
CHANNELS = (64, 128, 256, 512)  # of the four stages; bottlenecks return four times that


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
    channels, or from 50 layers on 64, 256, 512, 1024, 2048: c1 after the stem's
    activation, the others after the stages.

    Deviations from the paper: in a bottleneck the 3 x 3 convolution has the stride, so
    that no pixel is skipped ("ResNet v1.5"; `resnet_v1` has the paper's); dropout,
    stochastic depth, width, other norms and dilation are options.

    `depth` is 18, 34, 50, 101 or 152. The other arguments are those of every backbone,
    see `tfdl.backbones`; `output_stride`, of c5, is 32, or 16 or 8 with dilation as in
    DeepLab.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", 2016; Chen et al.,
        "Rethinking Atrous Convolution for Semantic Image Segmentation", 2017; Huang et
        al., "Deep Networks with Stochastic Depth", 2016.
    """
    inputs, x = ends.image_input(image_shape, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    features = feature_maps(
        x,
        NUM_BLOCKS[depth],
        residual.basic if depth < 50 else residual.bottleneck,
        width=width,
        output_stride=output_stride,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
        normalization=normalization,
    )
    return ends.model(
        f"resnet{depth}",
        inputs,
        features,
        lambda: ends.classifier(
            ends.pooled(features["c5"]), num_classes, dropout_rate=dropout_rate
        ),
        num_classes=num_classes,
        weights=weights,
    )


def feature_maps(
    x: keras.KerasTensor,
    num_blocks: Sequence[int],
    add_block: Callable[..., keras.KerasTensor],
    *,
    width: float,
    output_stride: int,
    spatial_dropout_rate: float,
    drop_path_rate: float,
    **options,
) -> dict[str, keras.KerasTensor]:
    """Add the stem and the four stages that ImageNet's residual networks have.

    Args:
        x: the normalised picture, float32 (batch, height, width, channels).
        num_blocks: of each stage.
        add_block: a function of `layers.residual`, or one that takes the same.
        width: factor on the number of channels.
        output_stride: of c5: 8, 16 or 32.
        spatial_dropout_rate: after every stage.
        drop_path_rate: of the last block, rising linearly from the first.
        **options: normalization, epsilon and use_bias of `blocks.conv_norm_activation`,
            for the stem and for the blocks.

    Returns:
        {"c1", ..., "c5"}, float (batch, height / stride, width / stride, channels).

    Raises:
        errors.UsageError: if a number is out of its range.
    """
    ends.check_output_stride(output_stride, (8, 16, 32))
    drop_path_rates = iter(blocks.drop_path_rates(drop_path_rate, sum(num_blocks)))
    features = {}
    x = features["c1"] = blocks.conv_norm_activation(
        x, blocks.scaled(64, width), 7, strides=2, name="stem", **options
    )
    x = blocks.max_pool(x, 3, 2, padding="symmetric", name="stem_pool")
    stages = blocks.atrous_stages((1, 2, 2, 2), output_stride // 4)  # stem: stride 4
    for index, (strides, dilation_rates) in enumerate(stages):
        name = f"c{index + 2}"
        for block in range(num_blocks[index]):
            x = add_block(
                x,
                blocks.scaled(CHANNELS[index], width),
                strides=strides if block == 0 else 1,
                dilation_rates=dilation_rates if block == 0 else dilation_rates[1:] * 2,
                drop_path_rate=next(drop_path_rates),
                name=f"{name}_block{block + 1}",
                **options,
            )
        x = features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
    return features
