"""GoogLeNet, the first Inception network, and its form with batch norm [Szegedy 2015].

Counting traps: the paper's network has 6,998,552 parameters with 1000 classes, and
13,378,280 with the two auxiliary classifiers, which serve training only. torchvision's
has 6,624,904 and 13,004,888: batch norm for biases, and 3 x 3 where the paper has
5 x 5. Moving averages are not counted.
"""

import functools
from collections.abc import Sequence

import keras

from tfdl import errors
from tfdl.backbones import ends
from tfdl.backbones.weights import AUXILIARY_LAST, CLASSIFIER
from tfdl.layers import blocks, local_response

CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)  # red, green, blue
IMAGENET_STD = (0.229, 0.224, 0.225)
# torchvision's weights come from TensorFlow, whose pictures are in [-1, 1].
TENSORFLOW_MEAN, TENSORFLOW_STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

# Table 1: channels of 1 x 1, reduced for 3 x 3, 3 x 3, reduced for 5 x 5, 5 x 5, and of
# the projection after the pooling, for each module of the feature maps c3, c4, c5.
MODULES = {
    "c3": {"a": (64, 96, 128, 16, 32, 32), "b": (128, 128, 192, 32, 96, 64)},
    "c4": {
        "a": (192, 96, 208, 16, 48, 64),
        "b": (160, 112, 224, 24, 64, 64),
        "c": (128, 128, 256, 24, 64, 64),
        "d": (112, 144, 288, 32, 64, 64),
        "e": (256, 160, 320, 32, 128, 128),
    },
    "c5": {"a": (256, 160, 320, 32, 128, 128), "b": (384, 192, 384, 48, 128, 128)},
}
AUXILIARY = {"auxiliary1": "c4a", "auxiliary2": "c4d"}  # what each head sees, section 5
LOGITS_STDDEV = 0.002  # of the first weights; 0.01 gives 7 % more than log(classes)
# Pixels; of fewer, nothing is left for the last pooling.
MIN_SIZES = {"googlenet": 31, "googlenet_bn": 15}
AUXILIARY_POOL, AUXILIARY_DROPOUT_RATE = 5, 0.7


def googlenet(
    image_shape: Sequence[int | None],
    num_classes: int | None = 1000,
    weights: str | None = None,
    width: float = 1.0,
    output_stride: int = 32,
    *,
    normalization: str = "batch",
    dropout_rate: float = 0.4,
    spatial_dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    auxiliary: bool = False,
) -> keras.Model:
    """Build GoogLeNet as published in 2014: biases, and local response normalisation.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 192, 480, 832, 1024
    channels: after conv1, after conv2 and its normalisation, and after the modules 3b,
    4e, 5b. The poolings round up as in Caffe.

    Deviations from the paper: He initialisation; dropout of channels and width are
    options. The paper gives no constants of the local response normalisation: they are
    those of its Caffe model, (1 + 2e-5 sum)^0.75 over 5 channels.

    The arguments are those of every backbone, see `tfdl.backbones`; `normalization` is
    without effect, `output_stride` is 32; pictures have at least 31 pixels. With
    `auxiliary` the classifier has two more outputs, from the modules 4a and 4d, for
    training: the paper adds their losses with weight 0.3 each, and discards them
    afterwards. They need a known picture size.

    Returns:
        The model; logits float32 (batch, num_classes), with `auxiliary` {"logits",
        "auxiliary1", "auxiliary2"} of such, or {"c1", ..., "c5"}.

    Raises:
        errors.UsageError: also if there is no size, or nothing, for auxiliary outputs.

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2015.
    """
    ends.refuse_drop_path(drop_path_rate, name="googlenet")
    ends.check_output_stride(output_stride, (32,))
    ends.check_size(image_shape, MIN_SIZES["googlenet"], name="googlenet")
    inputs, x = ends.image_input(image_shape, mean=CAFFE_MEAN, std=IMAGENET_STD)
    convolve = functools.partial(blocks.convolution, activation="relu")
    maps = _maps(
        x,
        convolve,
        normalize=_local_response,
        large_kernel_size=5,
        last_pool_size=3,
        width=width,
        spatial_dropout_rate=spatial_dropout_rate,
    )
    return _model(
        "googlenet",
        inputs,
        maps,
        convolve,
        num_classes=num_classes,
        weights=weights,
        width=width,
        dropout_rate=dropout_rate,
        auxiliary=auxiliary,
    )


def googlenet_bn(
    image_shape: Sequence[int | None],
    num_classes: int | None = 1000,
    weights: str | None = None,
    width: float = 1.0,
    output_stride: int = 32,
    *,
    normalization: str = "batch",
    dropout_rate: float = 0.4,
    spatial_dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    auxiliary: bool = False,
) -> keras.Model:
    """Build torchvision's GoogLeNet: batch norm, and 3 x 3 for the 5 x 5 convolutions.

    The pooling before module 5a is over 2 pixels, and pictures have at least 15. The
    other arguments, the feature maps (c2 after conv2) and the auxiliary outputs are
    those of `googlenet`.

    Deviations from torchvision: dropout 0.4, the paper's, instead of 0.2; the auxiliary
    heads' pooling is the paper's, which is torchvision's for pictures of 224 pixels.

    Reference:
        Ioffe and Szegedy, "Batch Normalization", 2015, for the norm after each
        convolution; the 3 x 3 kernels come from TensorFlow's models.
    """
    ends.refuse_drop_path(drop_path_rate, name="googlenet_bn")
    ends.check_output_stride(output_stride, (32,))
    ends.check_size(image_shape, MIN_SIZES["googlenet_bn"], name="googlenet_bn")
    inputs, x = ends.image_input(image_shape, mean=TENSORFLOW_MEAN, std=TENSORFLOW_STD)
    convolve = functools.partial(
        blocks.conv_norm_activation, normalization=normalization, epsilon=1e-3
    )
    maps = _maps(
        x,
        convolve,
        normalize=lambda x, name: x,  # each convolution has been normalised
        large_kernel_size=3,
        last_pool_size=2,
        width=width,
        spatial_dropout_rate=spatial_dropout_rate,
    )
    return _model(
        "googlenet_bn",
        inputs,
        maps,
        convolve,
        num_classes=num_classes,
        weights=weights,
        width=width,
        dropout_rate=dropout_rate,
        auxiliary=auxiliary,
    )


def _maps(
    x,
    convolve,
    *,
    normalize,
    large_kernel_size,
    last_pool_size,
    width,
    spatial_dropout_rate,
):
    """Map of each level ("c1", ..., "c5") and of each module ("c3a", ..., "c5b")."""
    maps = {}
    x = maps["c1"] = convolve(x, blocks.scaled(64, width), 7, strides=2, name="conv1")
    x = blocks.max_pool(x, 3, 2, padding="ceil", name="c2_pool")
    x = normalize(x, name="c2_pool_norm")
    x = convolve(x, blocks.scaled(64, width), 1, name="conv2_reduce")
    x = convolve(x, blocks.scaled(192, width), 3, name="conv2")
    x = normalize(x, name="c2_norm")
    x = maps["c2"] = blocks.spatial_dropout(x, spatial_dropout_rate, name="c2")
    for level, modules in MODULES.items():
        size = last_pool_size if level == "c5" else 3
        x = blocks.max_pool(x, size, 2, padding="ceil", name=f"{level}_pool")
        for letter, channels in modules.items():
            channels = [blocks.scaled(number, width) for number in channels]
            name = level + letter
            x = maps[name] = _inception(
                x, channels, convolve, large_kernel_size, name=name
            )
        x = maps[level] = blocks.spatial_dropout(x, spatial_dropout_rate, name=level)
    return maps


def _inception(x, channels, convolve, large_kernel_size, *, name):
    """Four branches side by side, figure 2 (b)."""
    one, reduced_three, three, reduced_five, five, projected = channels
    branch_one = convolve(x, one, 1, name=f"{name}_1x1")
    branch_three = convolve(x, reduced_three, 1, name=f"{name}_3x3_reduce")
    branch_three = convolve(branch_three, three, 3, name=f"{name}_3x3")
    branch_five = convolve(x, reduced_five, 1, name=f"{name}_5x5_reduce")
    branch_five = convolve(branch_five, five, large_kernel_size, name=f"{name}_5x5")
    pooled = blocks.max_pool(x, 3, 1, padding="same", name=f"{name}_pool")
    branch_pool = convolve(pooled, projected, 1, name=f"{name}_pool_projection")
    branches = [branch_one, branch_three, branch_five, branch_pool]
    return keras.layers.Concatenate(name=f"{name}_concat")(branches)


def _local_response(x, *, name):
    # Caffe divides its alpha of 1e-4 by the number of channels in the window.
    normalize = local_response.LocalResponseNormalization(
        size=5, bias=1.0, alpha=1e-4 / 5, beta=0.75, name=name
    )
    return normalize(x)


def _model(
    name,
    inputs,
    maps,
    convolve,
    *,
    num_classes,
    weights,
    width,
    dropout_rate,
    auxiliary,
):
    if auxiliary and num_classes is None:
        raise errors.UsageError(
            "`auxiliary` must be False for feature maps. Received auxiliary=True.",
            "Give a number of classes, or leave `auxiliary` out.",
        )

    def classify():
        x = ends.pooled(maps["c5"])
        logits = ends.classifier(
            x, num_classes, dropout_rate=dropout_rate, stddev=LOGITS_STDDEV
        )
        if not auxiliary:
            return logits
        outputs = {"logits": logits}
        for head, module in AUXILIARY.items():
            outputs[head] = _auxiliary(
                maps[module], num_classes, width, convolve, name=f"{CLASSIFIER}_{head}"
            )
        return outputs

    return ends.model(
        name,
        inputs,
        {level: maps[level] for level in ("c1", "c2", *MODULES)},
        classify,
        num_classes=num_classes,
        weights=weights,
    )


def _auxiliary(x, num_classes, width, convolve, *, name):
    """Logits of a smaller classifier, section 5."""
    if None in x.shape[1:] or min(x.shape[1:3]) < AUXILIARY_POOL:
        raise errors.UsageError(
            "`image_shape` must be known and at least 79 pixels for auxiliary outputs. "
            f"Their maps have {x.shape[1:3]}.",
            "Give a larger size, such as (224, 224, 3), or leave `auxiliary` out.",
        )
    x = keras.layers.AveragePooling2D(AUXILIARY_POOL, 3, name=f"{name}_pool")(x)
    x = convolve(x, blocks.scaled(128, width), 1, name=f"{name}_projection")
    x = keras.layers.Flatten(name=f"{name}_flatten")(x)
    x = keras.layers.Dense(
        blocks.scaled(1024, width),
        activation="relu",
        kernel_initializer="he_normal",
        name=f"{name}_fc",
    )(x)
    dropout = keras.layers.Dropout(
        AUXILIARY_DROPOUT_RATE, dtype="float32", name=f"{name}_dropout"
    )
    return keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=LOGITS_STDDEV),
        dtype="float32",
        name=f"{name}{AUXILIARY_LAST}",
    )(dropout(x))
