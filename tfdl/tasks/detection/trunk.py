"""Which feature maps does a backbone give a detector?"""

from collections.abc import Callable, Mapping, Sequence

import keras

from tfdl import errors
from tfdl.backbones import BACKBONES, ends

STRIDES = {"c3": 8, "c4": 16, "c5": 32}
FINER = {"c2": 4, **STRIDES}


def feature_maps(
    backbone: str,
    image_shape: Sequence[int],
    *,
    weights: str | None,
    width: float,
    strides: Mapping[str, int] = STRIDES,
) -> tuple[keras.KerasTensor, dict[str, keras.KerasTensor]]:
    """Build a backbone and take its maps of the strides 8, 16 and 32, or of others.

    Args:
        backbone: a key of `BACKBONES`.
        image_shape: (height, width, channels), all known.
        weights: "imagenet", path of a `.weights.h5` file, or None.
        width: factor on the number of channels.
        strides: of the maps to take, by their names; `STRIDES` or `FINER`.

    Returns:
        The input, float32 (batch, height, width, channels) in [0, 1], and {"c3", "c4",
        "c5"}, float (batch, ceil(height / stride), ceil(width / stride), channels), or
        those that `strides` names.

    Raises:
        UsageError: there is no such backbone, or it has no such maps.
    """
    build = builder(backbone)
    ends.check_known_size(image_shape[:2], reason="the candidates of a detector")
    body = build(image_shape, None, weights=weights, width=width)
    maps = body.output
    for level, stride in strides.items():
        expected = tuple(-(-side // stride) for side in image_shape[:2])
        if level not in maps or maps[level].shape[1:3] != expected:
            raise errors.UsageError(
                f"`backbone` must have a map {level} of stride {stride}. Received "
                f"backbone={backbone!r}.",
                "Choose a network of larger pictures, such as resnet18 or darknet53.",
            )
    return body.input, {level: maps[level] for level in strides}


def builder(backbone: str) -> Callable[..., keras.Model]:
    """Find the function that builds a backbone.

    Args:
        backbone: a key of `BACKBONES`.

    Raises:
        UsageError: there is no such backbone.
    """
    if backbone not in BACKBONES:
        raise errors.UsageError(
            f"`backbone` must be a network of the zoo. Received backbone={backbone!r}.",
            "Choose resnet50, mobilenet_v2 or another one.",
        )
    return BACKBONES[backbone]
