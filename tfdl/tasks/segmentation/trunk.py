"""Which feature maps does a backbone give a segmentation network?"""

from collections.abc import Sequence
from typing import NamedTuple

import keras

from tfdl import errors
from tfdl.backbones import BACKBONES
from tfdl.layers import receptive_field


class Trunk(NamedTuple):
    """A backbone's input and maps.

    Attributes:
        image: float32 (batch, height, width, channels) in [0, 1].
        features: {"c1", "c2", ...}, finest first, float (batch, about height / stride,
            about width / stride, channels).
        strides: of each of them.
    """

    image: keras.KerasTensor
    features: dict[str, keras.KerasTensor]
    strides: dict[str, int]

    @property
    def by_stride(self) -> dict[int, keras.KerasTensor]:
        """The maps by their stride, finest first; of equal strides the last."""
        return {self.strides[name]: x for name, x in self.features.items()}


def build(
    backbone: str,
    image_shape: Sequence[int | None],
    *,
    weights: str | None,
    width: float,
    output_stride: int = 32,
) -> Trunk:
    """Build a backbone of feature maps.

    Args:
        backbone: a key of `BACKBONES`.
        image_shape: (height, width, channels); height and width may be None.
        weights: "imagenet", path of a `.weights.h5` file, or None.
        width: factor on the number of channels.
        output_stride: as of `tfdl.backbones`.

    Raises:
        UsageError: there is no such backbone, or an argument is out of its range.
    """
    if backbone not in BACKBONES:
        raise errors.UsageError(
            f"`backbone` must be a network of the zoo. Received backbone={backbone!r}.",
            "Choose resnet50, mobilenet_v2 or another one.",
        )
    body = BACKBONES[backbone](
        image_shape, None, weights, width, output_stride=output_stride
    )
    fields = receptive_field.of_outputs(body)
    strides = {level: round(field.stride[0]) for level, field in fields.items()}
    return Trunk(body.input, dict(body.output), strides)


def check_strides(trunk: Trunk, strides: Sequence[int], *, backbone: str) -> None:
    """Refuse a backbone that lacks maps.

    Args:
        trunk: of the backbone.
        strides: that are needed.
        backbone: its name.

    Raises:
        UsageError: if it has no map of one of the strides.
    """
    missing = [stride for stride in strides if stride not in trunk.by_stride]
    if missing:
        raise errors.UsageError(
            f"`backbone` must have a map of stride {missing[0]}. Received "
            f"backbone={backbone!r}.",
            "Choose a network of larger pictures, such as resnet18 or mobilenet_v2.",
        )
