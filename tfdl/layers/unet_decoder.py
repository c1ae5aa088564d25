"""U-Net's decoder: coarse maps are enlarged and joined with finer ones.

The maps may be those of any network, as long as each is finer than the next.
"""

from collections.abc import Mapping

import keras

from tfdl import errors
from tfdl.layers import blocks, upsampling as upsampling_layers

PADDINGS = ("same", "valid")


def decoder(
    features: Mapping[str, keras.KerasTensor],
    channels: Mapping[str, int],
    *,
    strides: Mapping[str, int],
    upsampling: str = "transposed_convolution",
    places: Mapping[str, keras.KerasTensor] | None = None,
    padding: str = "same",
    crops: Mapping[str, int] | None = None,
    normalization: str | None = None,
) -> dict[str, keras.KerasTensor]:
    """Add the expansive path, from the coarsest map to the finest.

    At each level what is coarser is enlarged to the level's channels, joined with the
    level's map and convolved twice.

    Args:
        features: {"c1": ..., "c5": ...} or another run of levels, finest first, float
            (batch, height, width, any channels).
        channels: of the outputs, for each level but the last.
        strides: of each level in the picture; each divides the next.
        upsampling: one of `upsampling.KINDS`.
        places: of the poolings that each level but the last went through, for
            "max_unpooling"; with as many channels as the level has here.
        padding: of the 3 x 3 convolutions. With "same" outputs have the sizes of the
            features, whatever those are. With "valid", the paper's, they have 4 rows
            and columns less than what is enlarged.
        crops: with "valid", how many pixels each level but the last is larger at every
            side than what is enlarged to it; the middle is taken.
        normalization: a kind of `norms.normalization` after each 3 x 3 convolution,
            which then has no bias; None for none, as in the paper.

    Returns:
        {"d1": ..., "d4": ...} or those of the levels given, finest first, float (batch,
        height, width, channels of the level).

    Raises:
        errors.UsageError: an argument is out of its range.

    Reference:
        Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image
        Segmentation", 2015, section 2.
    """
    check_padding(padding)
    if padding == "valid" and crops is None:
        raise errors.UsageError(
            "padding='valid' needs `crops`. Received crops=None.",
            "Say how much larger each map is than what is enlarged to it.",
        )
    options = {"padding": padding, "normalization": normalization}
    (coarser, x), *finer = reversed(features.items())
    outputs = {}
    for level, feature in finer:
        number = level.removeprefix("c")
        x = upsampling_layers.upsample(
            x,
            upsampling,
            filters=channels[level],
            factor=strides[coarser] // strides[level],
            like=feature if padding == "same" else None,
            places=None if places is None else places[level],
            name=f"up{number}",
        )
        if padding == "valid":
            crop = keras.layers.Cropping2D(crops[level], name=f"crop{number}")
            feature = crop(feature)
        x = keras.layers.Concatenate(name=f"join{number}")([feature, x])
        x = outputs[f"d{number}"] = two_convolutions(
            x, channels[level], name=f"up{number}", **options
        )
        coarser = level
    return dict(reversed(outputs.items()))


def two_convolutions(
    x: keras.KerasTensor,
    filters: int,
    *,
    padding: str,
    normalization: str | None,
    name: str,
) -> keras.KerasTensor:
    """Add two 3 x 3 convolutions with ReLUs, what every level of a U-Net consists of.

    Args:
        x: float (batch, height, width, channels).
        filters: number of output channels.
        padding: "same" or "valid".
        normalization: as of `decoder`.
        name: prefix of the layers' names.

    Returns:
        float (batch, height, width, filters); with "valid" 4 rows and columns less.
    """
    for number in (1, 2):
        options = {"padding": padding, "name": f"{name}_{number}"}
        if normalization is None:
            x = blocks.convolution(x, filters, 3, activation="relu", **options)
        else:
            x = blocks.conv_norm_activation(
                x, filters, 3, normalization=normalization, **options
            )
    return x


def check_padding(padding: str) -> None:
    """Refuse a padding that a U-Net does not offer.

    Raises:
        errors.UsageError: if it is none of `PADDINGS`.
    """
    if padding not in PADDINGS:
        raise errors.UsageError(
            f"`padding` must be same or valid. Received padding={padding!r}.",
            "Choose one of these.",
        )
