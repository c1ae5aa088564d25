"""Which network is trained, as flags say it."""

import dataclasses

import keras

from tfdl.tasks.segmentation import models

PUBLISHED = "published"
# What some of the networks have, under the names of their arguments.
_OWN = ("normalization", "padding", "auxiliary", "output_stride", "separable")


@dataclasses.dataclass(frozen=True)
class Network:
    """How the network differs from the published one."""

    backbone: str = PUBLISHED
    """A network of the zoo instead of the model's own, such as resnet18."""
    width: float = 1.0
    """Factor on the model's channels."""
    upsampling: str = PUBLISHED
    """nearest, bilinear, bed_of_nails, max_unpooling or transposed_convolution."""
    normalization: str = PUBLISHED
    """Of unet, which has none: batch, group, instance or layer."""
    padding: str = PUBLISHED
    """Of unet: same, or valid as in the paper."""
    auxiliary: bool = False
    """Of unet: training scores coarser maps as well."""
    output_stride: int = 0
    """Of deeplabv3, deeplabv3plus and fcn_resnet50: 8, 16 or 32; 0 is the published."""
    separable: bool = False
    """Of deeplabv3plus: each channel is convolved by itself first, as in the paper."""

    def make(
        self, name: str, num_classes: int, *, weights: str = "none"
    ) -> keras.Model:
        """Make it for pictures of any size, with its auxiliary heads.

        Args:
            name: a key of `models.MODELS`.
            num_classes: of pixels.
            weights: of the backbone: "imagenet", a file, or "none".

        Raises:
            UsageError: the model lacks what is asked for.
        """
        own = {option: getattr(self, option) for option in _OWN}
        return models.make(
            name,
            None,
            num_classes,
            backbone=self.backbone,
            weights=weights,
            width=self.width,
            upsampling=self.upsampling,
            **{n: value for n, value in own.items() if value != getattr(Network, n)},
        )
