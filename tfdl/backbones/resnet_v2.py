"""Residual networks with identity mappings, as keras.applications has them [He 2016b].

Counting traps: the stem's, the projections' and the blocks' last convolutions have
biases, since no norm follows them; the others have none. In 50 layers there are
25,568,360 trainable parameters, 25,613,800 with the moving averages.
"""

from collections.abc import Sequence

import keras

from tfdl.backbones import ends, imagenet, resnet
from tfdl.layers import blocks, residual

MEAN = STD = (0.5, 0.5, 0.5)  # pictures in [-1, 1]
EPSILON = 1.001e-5
APPLICATIONS = {
    50: keras.applications.ResNet50V2,
    101: keras.applications.ResNet101V2,
    152: keras.applications.ResNet152V2,
}


def resnet_v2(
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
    """Build a residual network whose shortcuts nothing interrupts.

    Norm and activation precede the convolutions, and a sum passes on as it is. The last
    block of a stage has the stride, so a stage's sums end at the next one's stride.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 256, 512, 1024, 2048
    channels. c1 is the stem's convolution, neither normalised nor rectified. c2, c3 and
    c4 are what the branch of a stage's last block, the one that strides, starts from:
    the sum of all blocks before, normalised and rectified. c5 is the last sum,
    normalised and rectified.

    Deviations from the paper: the stride is at the end of a stage, as in
    keras.applications, whose weights `weights="imagenet"` takes, and the stem pads with
    zeros what may be negative; dropout, stochastic depth, width, other norms and
    dilation are options. Channels are dropped before the norm that makes a feature map.

    `depth` is 50, 101 or 152. The other arguments are those of every backbone, see
    `tfdl.backbones`; `output_stride`, of c5, is 32, or 16 or 8 with dilation.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        He et al., "Identity Mappings in Deep Residual Networks", 2016.
    """
    ends.check_output_stride(output_stride, (8, 16, 32))
    inputs, x = ends.image_input(image_shape, mean=MEAN, std=STD)
    x = blocks.convolution(x, blocks.scaled(64, width), 7, strides=2, name="stem_conv")
    features = {"c1": x} | _features(
        x,
        resnet.NUM_BLOCKS[depth],
        [blocks.scaled(channels, width) for channels in resnet.CHANNELS],
        output_stride=output_stride,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
        normalization=normalization,
        epsilon=EPSILON,
    )
    return ends.model(
        f"resnet{depth}_v2",
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
    return imagenet.Published(APPLICATIONS[depth], _name_of, stem="stem_conv")


def _features(
    x,
    num_blocks,
    channels,
    *,
    output_stride,
    spatial_dropout_rate,
    drop_path_rate,
    **norm,
):
    """Maps c2 to c5 from the stem's convolution."""
    drop_path_rates = iter(blocks.drop_path_rates(drop_path_rate, sum(num_blocks)))
    features = {}
    x = blocks.max_pool(x, 3, 2, padding="symmetric", name="stem_pool")
    for stage, block, strides, dilation_rate in _plan(num_blocks, output_stride):
        name = f"c{stage}_block{block}"
        ends_map = block == num_blocks[stage - 2] and stage < 5
        if ends_map:
            x = blocks.spatial_dropout(x, spatial_dropout_rate, name=f"c{stage}")
        activated = blocks.norm_activation(x, name=f"{name}_preact", **norm)
        if ends_map:
            features[f"c{stage}"] = activated
        x = _residual(
            x,
            activated,
            channels[stage - 2],
            strides=strides,
            dilation_rate=dilation_rate,
            drop_path_rate=next(drop_path_rates),
            name=name,
            **norm,
        )
    x = blocks.spatial_dropout(x, spatial_dropout_rate, name="c5")
    features["c5"] = blocks.norm_activation(x, name="post", **norm)
    return features


def _plan(num_blocks, output_stride):
    """List (stage, block, stride, dilation rate) of all blocks, both from c2_block1."""
    # What elsewhere is the first block of a stage is here the last of the one before.
    stages = blocks.atrous_stages((1, 2, 2, 2), output_stride // 4)  # stem: stride 4
    plan = []
    for index, (_, (_, dilation_rate)) in enumerate(stages):
        for block in range(num_blocks[index]):
            plan.append((index + 2, block + 1, 1, dilation_rate))
        if index + 1 < len(stages):
            strides, (dilation_rate, _) = stages[index + 1]
            plan[-1] = (index + 2, num_blocks[index], strides, dilation_rate)
    return plan


def _residual(
    x, activated, filters, *, strides, dilation_rate, drop_path_rate, name, **norm
):
    """Add a bottleneck that starts from `activated` to `x`, or to its projection."""
    channels = residual.EXPANSION * filters
    shortcut = x
    if x.shape[-1] != channels:
        shortcut = blocks.convolution(
            activated, channels, 1, name=f"{name}_shortcut_conv"
        )
    elif strides > 1:
        # A pooling over one pixel is subsampling.
        subsample = keras.layers.MaxPooling2D(1, strides, name=f"{name}_subsample")
        shortcut = subsample(x)
    x = blocks.conv_norm_activation(activated, filters, 1, name=f"{name}_1", **norm)
    x = blocks.conv_norm_activation(
        x,
        filters,
        3,
        strides=strides,
        dilation_rate=dilation_rate,
        name=f"{name}_2",
        **norm,
    )
    x = blocks.convolution(x, channels, 1, name=f"{name}_3_conv")
    return blocks.residual_sum(x, shortcut, drop_path_rate=drop_path_rate, name=name)


def _name_of(name):
    """Map c2_block1_shortcut_conv to conv2_block1_0_conv, and the like."""
    if name == "classifier":
        return "predictions"
    name = name.replace("norm", "bn").replace("shortcut", "0").replace("stem", "c1")
    return name if name == "post_bn" else name.replace("c", "conv", 1)
