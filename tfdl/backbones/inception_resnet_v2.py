"""Inception-ResNet-v2: inception modules as residual branches [Szegedy 2017].

Counting traps: 55,813,192 trainable parameters with 1000 classes (55,873,736 with the
moving averages) belong to the authors' program, of 10, 20 and 10 residual blocks, where
the paper's figure 15 has 5, 10 and 5; and to batch norms without scale, as in
TensorFlow; with scales, as PyTorch has them, there are 55,843,464. The convolution that
ends a residual branch has a bias instead of a norm.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras

from tfdl.backbones import ends, imagenet, inception_v3
from tfdl.backbones.inception_v3 import Unit
from tfdl.backbones.weights import CLASSIFIER
from tfdl.layers import blocks

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)  # TensorFlow's pictures are in [-1, 1]


class Stage(NamedTuple):
    """Modules at one stride: one without shortcut, then residual blocks.

    A block's branch is a module that a 1 x 1 convolution joins [section 3.2].
    """

    name: str
    branches: dict[str, list[Unit]]  # as in `inception_v3.MODULES`
    block_name: str
    block_branches: dict[str, list[Unit]]
    num_blocks: int
    scale: float  # of a block's branch [section 3.3]


STAGES = {
    "c3": Stage(
        "mixed_5b",
        {
            "1x1": [Unit(96, 1)],
            "5x5": [Unit(48, 1), Unit(64, 5)],
            "double": [Unit(64, 1), Unit(96, 3), Unit(96, 3)],
            "pool": [Unit(64, 1)],
        },
        "block35",  # figure 16
        {
            "1x1": [Unit(32, 1)],
            "3x3": [Unit(32, 1), Unit(32, 3)],
            "double": [Unit(32, 1), Unit(48, 3), Unit(64, 3)],
        },
        num_blocks=10,
        scale=0.17,
    ),
    "c4": Stage(
        "mixed_6a",  # figure 7
        {
            "3x3": [Unit(384, 3, 2, "valid")],
            "double": [Unit(256, 1), Unit(256, 3), Unit(384, 3, 2, "valid")],
            "pool": [],
        },
        "block17",  # figure 17
        {
            "1x1": [Unit(192, 1)],
            "7x7": [Unit(128, 1), Unit(160, (1, 7)), Unit(192, (7, 1))],
        },
        num_blocks=20,
        scale=0.1,
    ),
    "c5": Stage(
        "mixed_7a",  # figure 18
        {
            "wide": [Unit(256, 1), Unit(384, 3, 2, "valid")],
            "narrow": [Unit(256, 1), Unit(288, 3, 2, "valid")],
            "double": [Unit(256, 1), Unit(288, 3), Unit(320, 3, 2, "valid")],
            "pool": [],
        },
        "block8",  # figure 19
        {
            "1x1": [Unit(192, 1)],
            "3x3": [Unit(192, 1), Unit(224, (1, 3)), Unit(256, (3, 1))],
        },
        num_blocks=10,
        scale=0.2,
    ),
}
TOP = "conv_7b"  # after the last stage
TOP_CHANNELS = 1536


def inception_resnet_v2(
    image_shape: Sequence[int | None],
    num_classes: int | None = 1000,
    weights: str | None = None,
    width: float = 1.0,
    output_stride: int = 32,
    *,
    normalization: str = "batch",
    dropout_rate: float = 0.2,
    spatial_dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> keras.Model:
    """Build Inception-ResNet-v2 as the authors' program and keras.applications do.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 192, 320, 1088, 1536
    channels: after conv3 and conv5 of the stem, the residual blocks of each size, and
    the last convolution. As in `inception_v3`, many convolutions do not pad: 147, 71,
    35, 17, 8 positions for 299 pixels and 109, 52, 25, 12, 5 for 224.

    Deviations from the paper, all of the authors' program, whose weights are published:
    the stem is Inception V3's and a module without shortcut follows it, where figure 3
    has branches; twice as many residual blocks; 1088 and 2080 channels pass through
    them, where figures 17 and 19 have 1154 and 2048; a convolution to 1536 channels
    before the pooling. Left out is the program's second classifier, for training. He
    initialisation; stochastic depth, dropout of channels, width and other norms are
    options.

    The arguments are those of every backbone, see `tfdl.backbones`; pictures have at
    least 75 pixels, `output_stride` is 32.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual
        Connections on Learning", 2017.
    """
    ends.check_output_stride(output_stride, (32,))
    ends.check_size(image_shape, inception_v3.MIN_SIZE, name="inception_resnet_v2")
    num_blocks = sum(stage.num_blocks for stage in STAGES.values())
    drop_path_rates = iter(blocks.drop_path_rates(drop_path_rate, num_blocks))
    convolve = inception_v3.Convolution(width, normalization, has_scale=False)
    inputs, x = ends.image_input(image_shape, mean=MEAN, std=STD)
    x, features = inception_v3.stem(
        x, convolve, spatial_dropout_rate=spatial_dropout_rate
    )
    for level, stage in STAGES.items():
        x = inception_v3.module(x, stage.branches, convolve, name=stage.name)
        for name in _block_names(stage):
            # The authors' program neither scales nor rectifies the last of all.
            is_last = name == "block8_10"
            x = _residual(
                x,
                stage.block_branches,
                convolve,
                scale=1.0 if is_last else stage.scale,
                drop_path_rate=next(drop_path_rates),
                name=name,
            )
            if not is_last:
                x = keras.layers.Activation("relu", name=f"{name}_relu")(x)
        if level == "c5":
            x = convolve(x, Unit(TOP_CHANNELS, 1), name=TOP)
        x = blocks.spatial_dropout(x, spatial_dropout_rate, name=level)
        features[level] = x
    return ends.model(
        "inception_resnet_v2",
        inputs,
        features,
        lambda: ends.classifier(ends.pooled(x), num_classes, dropout_rate=dropout_rate),
        num_classes=num_classes,
        weights=weights,
        published=published(),
    )


def published() -> imagenet.Published:
    """Return where ImageNet's weights come from."""
    modules = {}
    named = {f"{TOP}_conv": TOP, f"{TOP}_norm": f"{TOP}_bn", CLASSIFIER: "predictions"}
    for stage in STAGES.values():
        modules[stage.name] = stage.branches
        for name in _block_names(stage):
            modules[name] = stage.block_branches
            named[f"{name}_conv"] = f"{name}_conv"
    return imagenet.Published(
        keras.applications.InceptionResNetV2,
        name_of=inception_v3.counted_names(modules, named),
        stem="conv1_conv",
    )


def _block_names(stage):
    return [f"{stage.block_name}_{place + 1}" for place in range(stage.num_blocks)]


def _residual(x, branches, convolve, *, scale, drop_path_rate, name):
    """Add a module's output to `x`, made as wide by a convolution, and scaled."""
    shortcut = x
    x = inception_v3.module(x, branches, convolve, name=name)
    x = blocks.convolution(x, shortcut.shape[-1], 1, name=f"{name}_conv")
    if scale != 1:
        x = keras.layers.Rescaling(scale, name=f"{name}_scale")(x)
    return blocks.residual_sum(x, shortcut, drop_path_rate=drop_path_rate, name=name)
