"""U-Net: what the coarse maps know, where the fine maps saw it [Ronneberger 2015].

Counting traps: 31,030,593 parameters with 1 channel and 1 class, 31,030,658 with 2
classes, 31,031,745 with 3 channels and 1 class, 31,033,045 with 3 and 21, are those of
the paper, whatever the padding. With batch norm the 3 x 3 convolutions lose their
biases: 31,037,698 trainable ones with 3 channels and 2 classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras

from tfdl import errors
from tfdl.backbones import ends
from tfdl.backbones.weights import AUXILIARY, AUXILIARY_LAST, CLASSIFIER
from tfdl.layers import (
    blocks,
    resizing,
    unet_decoder,
    unpooling,
    upsampling as upsampling_layers,
)
from tfdl.tasks.segmentation import heads, margins, trunk

CHANNELS = {"c1": 64, "c2": 128, "c3": 256, "c4": 512, "c5": 1024}  # figure 1
STRIDES = {"c1": 1, "c2": 2, "c3": 4, "c4": 8, "c5": 16}
DROPPED = ("c4", "c5")  # the end of the contracting path, 3.1, in the authors' model
# Of the decoder on a backbone, by stride, as in "Segmentation Models": the paper's
# would outweigh most backbones.
CHANNELS_BY_STRIDE = {1: 16, 2: 32, 4: 64, 8: 128, 16: 256}
# With 8 at the end seven of eleven classes of streets were never found.
LEAST_CHANNELS = 16
MEAN, STD = (0.5,) * 3, (0.25,) * 3  # of no data set; values are about one
# Without padding n pixels of the coarsest map come from 16 n + 124 of the picture, and
# 16 n - 60 of the logits come from them: 572, 28 and 388 in figure 1.
VALID = {"margin": 92, "multiple": 16, "remainder": 4}
# How much larger than the enlarged maps the encoder's are then, at every side: 64 and
# 56 pixels, 136 and 104, 280 and 200, 568 and 392.
CROPS = {"c1": 88, "c2": 40, "c3": 16, "c4": 4}


class Encoder(NamedTuple):
    """What a decoder needs, by level, finest first.

    Attributes:
        image: float32 (batch, height, width, channels) in [0, 1].
        features: float (batch, height, width, channels).
        channels: of the decoder's maps, for each level but the last.
        strides: of the maps.
        places: of the poolings that each level but the last went through, or None.
    """

    image: keras.KerasTensor
    features: dict[str, keras.KerasTensor]
    channels: dict[str, int]
    strides: dict[str, int]
    places: dict[str, keras.KerasTensor] | None


def unet(
    image_shape: Sequence[int | None],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    upsampling: str = "transposed_convolution",
    padding: str = "same",
    normalization: str | None = None,
    dropout_rate: float = 0.5,
    auxiliary: bool = False,
) -> keras.Model:
    """Build U-Net as in the paper, or with a network of the zoo as its encoder.

    Deviations from the paper: convolutions pad by default. With "valid" they do not, as
    in the paper; the picture is mirrored at its edges so far that logits answer for all
    of it, in one tile. With a backbone the decoder ends with the picture itself as its
    finest map, and has the channels of `CHANNELS_BY_STRIDE`, at least 16.

    Args:
        image_shape: (height, width, channels); height and width may be None.
        num_classes: number of logits.
        backbone: None for the paper's encoder, or a key of `BACKBONES`.
        weights: of the backbone: "imagenet", a file, or None.
        width: factor on the number of channels.
        upsampling: one of `upsampling.KINDS`; "max_unpooling" needs the paper's encoder
            and padding.
        padding: "same", or "valid" with the paper's encoder.
        normalization: a kind of `norms.normalization` after each 3 x 3 convolution that
            is not the backbone's, or None, as in the paper. With a backbone "batch"
            suits better.
        dropout_rate: of the two last maps of the paper's encoder.
        auxiliary: whether the coarser maps of the decoder are scored as well, for
            training only [Lee 2015].

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> {"logits": float32
        (batch, height, width, num_classes)}, and if asked for {"auxiliary1", ...}, of
        the same shape, from the second finest map to the coarsest.

    Raises:
        UsageError: an argument is out of its range.

    Reference:
        Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image
        Segmentation", 2015; Lee et al., "Deeply-Supervised Nets", 2015.
    """
    ends.check_classifier(num_classes, dropout_rate=dropout_rate)
    unet_decoder.check_padding(padding)
    _check_encoder(backbone, weights, upsampling, padding)
    options = {"padding": padding, "normalization": normalization}
    if backbone is None:
        encoder = _encoder(image_shape, width, upsampling, dropout_rate, **options)
    else:
        encoder = _zoo_encoder(backbone, image_shape, weights, width)
    maps = unet_decoder.decoder(
        encoder.features,
        encoder.channels,
        strides=encoder.strides,
        upsampling=upsampling,
        places=encoder.places,
        crops=CROPS,
        **options,
    )
    scored = maps if auxiliary else dict([next(iter(maps.items()))])
    outputs = _answers(scored, encoder, num_classes, padding)
    name = "unet" if backbone is None else f"unet_{backbone}"
    return keras.Model(encoder.image, outputs, name=name)


def _encoder(image_shape, width, upsampling, dropout_rate, **options):
    """Add the contracting path of figure 1."""
    image, x = ends.image_input(image_shape, mean=MEAN, std=STD)
    if options["padding"] == "valid":
        x = margins.MirroredMargins2D(**VALID, dtype="float32", name="margins")(x)
    features, places, finer = {}, {}, None
    channels = {name: blocks.scaled(number, width) for name, number in CHANNELS.items()}
    for level, filters in channels.items():
        if finer is not None:
            if upsampling == "max_unpooling":
                pooling = unpooling.IndexedMaxPooling2D(name=f"places_{finer}")
                _, places[finer] = pooling(x)
            x = blocks.max_pool(x, 2, 2, padding="same", name=f"pool_{finer}")
        x = unet_decoder.two_convolutions(x, filters, name=level, **options)
        if level in DROPPED:
            x = heads.dropped(x, dropout_rate, name=level)
        features[level], finer = x, level
    return Encoder(image, features, channels, STRIDES, places or None)


def _zoo_encoder(backbone, image_shape, weights, width):
    """Take one map of each stride, and the picture where there is none of stride 1."""
    body = trunk.build(backbone, image_shape, weights=weights, width=width)
    features, channels, strides = {}, {}, {}
    for stride, x in ({1: body.image} | body.by_stride).items():
        level = f"c{stride.bit_length() - 1}"
        features[level], strides[level] = x, stride
        if stride in CHANNELS_BY_STRIDE:
            channels[level] = blocks.scaled(CHANNELS_BY_STRIDE[stride], width)
            channels[level] = max(LEAST_CHANNELS, channels[level])
    return Encoder(body.image, features, channels, strides, None)


def _answers(maps, encoder, num_classes, padding):
    """Score maps of the decoder, the finest first, in the picture's size."""
    outputs = {}
    for index, (level, x) in enumerate(maps.items()):
        key = f"auxiliary{index}" if index else "logits"
        layer = f"{AUXILIARY}{index}{AUXILIARY_LAST}" if index else CLASSIFIER
        x = heads.scores(x, num_classes, name=layer)
        if index:
            stride = encoder.strides[level.replace("d", "c")]
            x = _enlarged(x, stride, padding, name=key)
        outputs[key] = resizing.fitted(x, encoder.image, dtype="float32", name=key)
    return outputs


def _enlarged(x, stride, padding, *, name):
    """Lay coarse scores over the finest map."""
    options = {"dtype": "float32"}
    x = upsampling_layers.UpSampling2D(
        stride, interpolation="bilinear", name=f"{name}_enlarged", **options
    )(x)
    if padding == "same":
        return x
    # Two convolutions of each finer level have cut off 2 of its pixels.
    cut = 2 * (stride - 1)
    return keras.layers.Cropping2D(cut, name=f"{name}_crop", **options)(x)


def _check_encoder(backbone, weights, upsampling, padding):
    """Refuse what the paper's encoder, or one of the zoo, does not have."""
    upsampling_layers.check_kind(upsampling, upsampling_layers.KINDS)
    if backbone is None and weights is not None:
        raise errors.UsageError(
            "`weights` are of a backbone, and unet has none by itself. Received "
            f"weights={weights!r}.",
            "Leave them out, or give a `backbone`.",
        )
    if backbone is not None and padding == "valid":
        raise errors.UsageError(
            "`padding` must be same with a backbone, which pads itself. Received "
            f"padding={padding!r} and backbone={backbone!r}.",
            "Leave one of them out.",
        )
    if upsampling == "max_unpooling" and (backbone is not None or padding == "valid"):
        raise errors.UsageError(
            "max_unpooling needs the encoder of the paper, and padding. Received "
            f"backbone={backbone!r} and padding={padding!r}.",
            "Choose another `upsampling`, such as transposed_convolution.",
        )
