"""The segmentation networks there are, by name.

Each is a function `(image_shape, num_classes, *, width=1.0, ...) -> keras.Model`. The
input is float32 (batch, height, width, channels) in [0, 1], the outputs are {"logits":
float32 (batch, height, width, num_classes)}, and of the same shape, under keys that
begin with "auxiliary", those of heads that only training needs. Most models take
`backbone`, a key of `tfdl.backbones.BACKBONES`, or None for the published one, which
starts from `weights`, and `upsampling`, a kind of `tfdl.layers.upsampling`.
"""

import functools
import inspect
from collections.abc import Callable

import keras

from tfdl import errors
from tfdl.tasks.segmentation import deeplab, fcn, plain, segnet, unet

MODELS: dict[str, Callable[..., keras.Model]] = {
    "fcn32s": functools.partial(fcn.fcn, 32),
    "fcn16s": functools.partial(fcn.fcn, 16),
    "fcn8s": functools.partial(fcn.fcn, 8),
    "fcn_resnet50": fcn.fcn_resnet,
    "segnet": segnet.segnet,
    "unet": unet.unet,
    "deeplabv3": deeplab.deeplabv3,
    "deeplabv3plus": deeplab.deeplabv3plus,
    "plain": plain.plain,
    "patch_classifier": plain.patch_classifier,
}


def make(
    name: str,
    image_size: int | None,
    num_classes: int,
    *,
    backbone: str,
    weights: str,
    width: float,
    upsampling: str,
    **options,
) -> keras.Model:
    """Make a network of square RGB pictures, as flags name it.

    Args:
        name: a key of `MODELS`.
        image_size: height and width of the pictures, in pixels; None for any.
        num_classes: of pixels.
        backbone: a key of `BACKBONES`, or "published".
        weights: of that backbone, or "none".
        width: factor on the number of channels.
        upsampling: a kind of `tfdl.layers.upsampling`, or "published".
        **options: further ones of that network, such as `padding` of "unet".

    Raises:
        UsageError: the network has no such option, or they do not fit each other.
    """
    function = MODELS[name]
    if backbone != "published":
        options["backbone"] = backbone
    if weights != "none":
        options["weights"] = weights
    if upsampling != "published":
        options["upsampling"] = upsampling
    _check_options(name, function, options)
    shape = (image_size, image_size, 3)
    return function(shape, num_classes, width=width, **options)


def _check_options(name, function, options):
    known = list(inspect.signature(function).parameters)[2:]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise errors.UsageError(
            f"{name} has no `{unknown[0]}`. Received "
            f"{unknown[0]}={options[unknown[0]]!r}.",
            f"Leave it out: {name} has {', '.join(known)}.",
        )
