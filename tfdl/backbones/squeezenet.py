"""SqueezeNet, as accurate as AlexNet with a fiftieth of its parameters [Iandola 2016].

Counting traps: the counts (1,248,424 of 1.0 and 1,235,496 of 1.1) are with the
classifier of 1000 classes, a convolution, 513,000 of them; files of weights "without
top" have 735,424 and 722,496. There is no normalisation: all parameters are trainable.
"""

from collections.abc import Sequence

import keras

from tfdl.backbones import ends, legacy_weights
from tfdl.backbones.weights import CLASSIFIER
from tfdl.layers import blocks

CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)  # red, green, blue
IMAGENET_STD = (0.229, 0.224, 0.225)
CHANNELS = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}  # squeezed, table 1
LOGITS_STDDEV = 0.002  # of the first weights; 0.01 gives 7 % more than log(classes)
EXPANSION = 4  # channels of each of the two expanding convolutions

# The names are those of the Caffe model. Its pictures are in [0, 255], less the mean.
LEGACY = legacy_weights.Legacy(
    name_of=lambda name: "conv10" if name == CLASSIFIER else name.replace("_", "/"),
    stem="conv1",
    input_scale=tuple(1 / (255 * deviation) for deviation in IMAGENET_STD),
    is_bgr=True,
)


def squeezenet1_0(
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
    """Build the paper's SqueezeNet: a convolution, eight fire modules, a classifier.

    Feature maps: c1 to c4 (strides 2, 4, 8, 16) with 96, 256, 512, 512 channels, after
    conv1, fire4, fire8, fire9. conv1 does not pad and the poolings round up, so the
    maps are smaller than picture / stride: 109, 54, 27, 13 for 224 pixels.

    Deviations from the paper: He initialisation, and 1 for the classifier's biases; no
    bypass; dropout of channels and width are options.

    The arguments are those of every backbone, see `tfdl.backbones`; pictures have at
    least 21 pixels, of which the poolings leave one, `normalization` is without effect,
    `output_stride` is 16, the natural one, or 32. `weights` may also be the `.h5` file
    of a Keras 2 model converted from Caffe (`legacy_weights`).

    Returns:
        The model; logits float32 (batch, num_classes), never negative, or {"c1", ...,
        "c4"}.

    Reference:
        Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters
        and <0.5MB model size", 2016.
    """
    return _squeezenet(
        "squeezenet1_0",
        image_shape,
        num_classes,
        weights,
        width,
        output_stride,
        stem=(96, 7),
        levels=((2, 3, 4), (5, 6, 7, 8), (9,)),
        min_size=21,
        dropout_rate=dropout_rate,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
    )


def squeezenet1_1(
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
    """Build SqueezeNet 1.1: a smaller conv1 and earlier poolings, 2.4 times less work.

    Feature maps: c1 to c4 (strides 2, 4, 8, 16) with 64, 128, 256, 512 channels, after
    conv1, fire3, fire5, fire9: 111, 55, 27, 13 pixels wide for 224.

    Pictures have at least 17 pixels. All else is as for `squeezenet1_0`.

    Reference:
        The authors' https://github.com/forresti/SqueezeNet, SqueezeNet_v1.1, 2016.
    """
    return _squeezenet(
        "squeezenet1_1",
        image_shape,
        num_classes,
        weights,
        width,
        output_stride,
        stem=(64, 3),
        levels=((2, 3), (4, 5), (6, 7, 8, 9)),
        min_size=17,
        dropout_rate=dropout_rate,
        spatial_dropout_rate=spatial_dropout_rate,
        drop_path_rate=drop_path_rate,
    )


def _squeezenet(
    name,
    image_shape,
    num_classes,
    weights,
    width,
    output_stride,
    *,
    stem,
    levels,
    min_size,
    dropout_rate,
    spatial_dropout_rate,
    drop_path_rate,
):
    ends.refuse_drop_path(drop_path_rate, name=name)
    ends.check_output_stride(output_stride, (16, 32))
    ends.check_size(image_shape, min_size, name=name)
    inputs, x = ends.image_input(image_shape, mean=CAFFE_MEAN, std=IMAGENET_STD)
    filters, kernel_size = stem
    x = blocks.convolution(
        x,
        blocks.scaled(filters, width),
        kernel_size,
        strides=2,
        padding="valid",
        activation="relu",
        name="conv1",
    )
    features = {"c1": x}
    for level, fires in enumerate(levels, start=2):
        x = blocks.max_pool(x, 3, 2, padding="ceil", name=f"c{level}_pool")
        for number in fires:
            x = _fire(x, CHANNELS[number], width, name=f"fire{number}")
        x = blocks.spatial_dropout(x, spatial_dropout_rate, name=f"c{level}")
        features[f"c{level}"] = x
    return ends.model(
        name,
        inputs,
        features,
        lambda: _classify(x, num_classes, dropout_rate),
        num_classes=num_classes,
        weights=weights,
        legacy=LEGACY,
    )


def _fire(x, channels, width, *, name):
    """Squeeze the channels, then expand them by pixels and by 3 x 3 windows."""
    x = blocks.convolution(
        x,
        blocks.scaled(channels, width),
        1,
        activation="relu",
        name=f"{name}_squeeze1x1",
    )
    expanded = [
        blocks.convolution(
            x,
            blocks.scaled(EXPANSION * channels, width),
            size,
            activation="relu",
            name=f"{name}_expand{size}x{size}",
        )
        for size in (1, 3)
    ]
    return keras.layers.Concatenate(name=f"{name}_concat")(expanded)


def _classify(x, num_classes, dropout_rate):
    """Average a map for each class; float32 under every dtype policy."""
    ends.check_classifier(num_classes, dropout_rate=dropout_rate)
    if dropout_rate > 0:
        dropout = keras.layers.Dropout(
            dropout_rate, dtype="float32", name=f"{CLASSIFIER}_dropout"
        )
        x = dropout(x)
    x = keras.layers.Conv2D(
        num_classes,
        1,
        activation="relu",
        kernel_initializer=keras.initializers.RandomNormal(stddev=LOGITS_STDDEV),
        # A class whose map is negative everywhere would never learn; Krizhevsky
        # [2012, 5] gives ReLUs positive inputs in the same way.
        bias_initializer="ones",
        dtype="float32",
        name=CLASSIFIER,
    )(x)
    return ends.pooled(x)
