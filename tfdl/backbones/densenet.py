"""DenseNet: each layer sees the maps of all layers before it in its block [Huang 2017].

Counting traps: the counts (7,978,856 for 121 layers and 1000 classes; 769,162 and
1,019,722 for the two of CIFAR-10) are of the trainable parameters; moving averages add
as many again as the norms have (8,062,504). No convolution has a bias. A norm belongs
to the layer that reads, not to the one that writes: the same map is normalised anew,
with other scales and offsets, by every later layer of its block.
"""

from collections.abc import Sequence

import keras

from tfdl.backbones import ends, imagenet
from tfdl.layers import blocks

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
# Table 1: depth -> growth rate, layers of the four blocks.
IMAGENET_BLOCKS = {
    121: (32, (6, 12, 24, 16)),
    161: (48, (6, 12, 36, 24)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
}
CIFAR_GROWTH_RATE = 12
# Pixels; of fewer, nothing is left for the last pooling.
MIN_SIZE, CIFAR_MIN_SIZE = 29, 4
BOTTLENECK = 4  # channels of a 1 x 1 convolution, in growth rates; section 3
COMPRESSION = 0.5  # share of the channels that a transition keeps; section 3
EPSILON = 1.001e-5  # of keras.applications
_BUILDS = {
    121: keras.applications.DenseNet121,
    169: keras.applications.DenseNet169,
    201: keras.applications.DenseNet201,
}


def densenet(
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
    """Build a DenseNet for ImageNet, padded as by torchvision and keras.applications.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32): c1 after the stem's activation,
    the others after the blocks, normalised and activated as the transition (or the
    classifier) reads them. With 121 layers 64, 256, 512, 1024, 1024 channels.

    Deviations from the paper: dropout, width (of the growth rate) and other norms are
    options.

    `depth` is 121, 161, 169 or 201. The other arguments are those of every backbone,
    see `tfdl.backbones`; pictures have at least 29 pixels, `output_stride` is 32,
    `drop_path_rate` 0. There are ImageNet weights for all but 161.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", ..., "c5"}.

    Reference:
        Huang et al., "Densely Connected Convolutional Networks", 2017.
    """
    name = f"densenet{depth}"
    ends.refuse_drop_path(drop_path_rate, name=name)
    ends.check_output_stride(output_stride, (32,))
    ends.check_size(image_shape, MIN_SIZE, name=name)
    growth_rate, num_layers = IMAGENET_BLOCKS[depth]
    growth_rate = blocks.scaled(growth_rate, width)
    inputs, x = ends.image_input(image_shape, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    features = {}
    x = features["c1"] = blocks.conv_norm_activation(
        x,
        2 * growth_rate,
        7,
        strides=2,
        normalization=normalization,
        epsilon=EPSILON,
        name="stem",
    )
    x = blocks.max_pool(x, 3, 2, padding="symmetric", name="stem_pool")
    x = _dense_blocks(
        x,
        features,
        num_layers,
        growth_rate,
        first_level=2,
        is_bc=True,
        normalization=normalization,
        spatial_dropout_rate=spatial_dropout_rate,
    )
    return ends.model(
        name,
        inputs,
        features,
        lambda: ends.classifier(ends.pooled(x), num_classes, dropout_rate=dropout_rate),
        num_classes=num_classes,
        weights=weights,
        published=published(depth),
    )


def cifar_densenet(
    depth: int,
    is_bc: bool,
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
    """Build a DenseNet of growth rate 12 for small pictures, with three blocks.

    Feature maps: c1, c2, c3 (strides 1, 2, 4) after the blocks, normalised and
    activated: 216, 300, 342 channels for BC with 100 layers, 160, 304, 448 for the
    plain one with 40.

    Deviations from the paper: CIFAR-10's mean and deviation. Its dropout of 0.2 after
    every convolution, used only where the pictures are not augmented, is left out:
    `dropout_rate` is before the classifier, as in every backbone.

    `is_bc` means bottlenecks and compression; `depth` is 3n + 4 without, 6n + 4 with
    them. The other arguments are those of every backbone, see `tfdl.backbones`;
    `output_stride` is at least 4, and then without effect; `drop_path_rate` is 0.

    Returns:
        The model; logits float32 (batch, num_classes), or {"c1", "c2", "c3"}.

    Reference:
        Huang et al., "Densely Connected Convolutional Networks", 2017, section 4.2.
    """
    name = f"densenet_bc_{depth}_12" if is_bc else f"densenet_{depth}_12"
    ends.refuse_drop_path(drop_path_rate, name=name)
    ends.check_output_stride(output_stride, (4, 8, 16, 32))
    ends.check_size(image_shape, CIFAR_MIN_SIZE, name=name)
    growth_rate = blocks.scaled(CIFAR_GROWTH_RATE, width)
    filters = 2 * growth_rate if is_bc else blocks.scaled(16, width)
    inputs, x = ends.image_input(image_shape, mean=CIFAR_MEAN, std=CIFAR_STD)
    x = blocks.convolution(x, filters, 3, use_bias=False, name="stem_conv")
    features = {}
    x = _dense_blocks(
        x,
        features,
        (_layers_per_block(depth, is_bc=is_bc),) * 3,
        growth_rate,
        first_level=1,
        is_bc=is_bc,
        normalization=normalization,
        spatial_dropout_rate=spatial_dropout_rate,
    )
    return ends.model(
        name,
        inputs,
        features,
        lambda: ends.classifier(ends.pooled(x), num_classes, dropout_rate=dropout_rate),
        num_classes=num_classes,
        weights=weights,
    )


def published(depth: int) -> imagenet.Published | None:
    """Return where keras.applications has the weights, None for 161 layers."""
    if depth not in _BUILDS:
        return None
    return imagenet.Published(_BUILDS[depth], _name_of, stem="stem_conv")


def _name_of(name):
    level, _, layer = name.partition("_")
    fixed = {
        "stem_conv": "conv1_conv",
        "stem_norm": "conv1_bn",
        "c5_norm": "bn",
        "classifier": "predictions",
    }
    if name in fixed:
        return fixed[name]
    layer = layer.replace("_1_norm", "_0_bn").replace("_2_norm", "_1_bn")
    if layer.startswith("block"):
        return f"{level.replace('c', 'conv')}_{layer}"
    return f"{level.replace('c', 'pool')}_{layer.replace('norm', 'bn')}"


def _layers_per_block(depth, *, is_bc):
    # A stem, two transitions, a dense layer; a bottleneck makes two layers of one.
    return (depth - 4) // (6 if is_bc else 3)


def _dense_blocks(
    x,
    features,
    num_layers,
    growth_rate,
    *,
    first_level,
    is_bc,
    normalization,
    spatial_dropout_rate,
):
    """Add the blocks, transitions between them, and each block's map to `features`."""
    for index, layers in enumerate(num_layers):
        name = f"c{first_level + index}"
        for layer in range(layers):
            x = _dense_layer(
                x,
                growth_rate,
                has_bottleneck=is_bc,
                normalization=normalization,
                name=f"{name}_block{layer + 1}",
            )
        x = _norm_relu(x, normalization=normalization, name=name)
        x = features[name] = blocks.spatial_dropout(x, spatial_dropout_rate, name=name)
        if index + 1 < len(num_layers):
            filters = int(x.shape[-1] * (COMPRESSION if is_bc else 1))
            x = blocks.convolution(x, filters, 1, use_bias=False, name=f"{name}_conv")
            x = keras.layers.AveragePooling2D(2, name=f"{name}_pool")(x)
    return x


def _dense_layer(x, growth_rate, *, has_bottleneck, normalization, name):
    """Add new maps, as many as the growth rate, to those that were there."""
    new, number = x, 1
    if has_bottleneck:
        new = _norm_relu(new, normalization=normalization, name=f"{name}_1")
        new = blocks.convolution(
            new, BOTTLENECK * growth_rate, 1, use_bias=False, name=f"{name}_1_conv"
        )
        number = 2
    new = _norm_relu(new, normalization=normalization, name=f"{name}_{number}")
    new = blocks.convolution(
        new, growth_rate, 3, use_bias=False, name=f"{name}_{number}_conv"
    )
    # One copy a layer: joining a list of all maps anew in each layer, or normalising
    # each map once with a scale and offset for each reader, took no less time.
    return keras.layers.Concatenate(name=f"{name}_concat")([x, new])


def _norm_relu(x, *, normalization, name):
    return blocks.norm_activation(
        x, normalization=normalization, epsilon=EPSILON, name=name
    )
