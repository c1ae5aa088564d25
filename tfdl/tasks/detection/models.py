"""The detectors there are, by name.

Each is a function `(image_shape, num_classes, *, backbone=None, weights=None,
width=1.0) -> Detector`: `backbone` is a key of `tfdl.backbones.BACKBONES`, or None for
the published one, which starts from `weights`; `width` scales all channels.
"""

import functools
from collections.abc import Callable

from tfdl.tasks.detection import (
    faster_rcnn,
    localizer,
    retinanet,
    ssd,
    starting_weights,
    yolov1,
    yolov3,
    yolov8,
)
from tfdl.tasks.detection.detector import Detector as Detector

MODELS: dict[str, Callable[..., Detector]] = {
    **{f"yolov8_{v}": functools.partial(yolov8.detector, variant=v) for v in "nsmlx"},
    "yolov3": yolov3.detector,
    "yolov1": yolov1.detector,
    "ssd300": ssd.ssd300,
    "ssd512": ssd.ssd512,
    "retinanet": retinanet.retinanet,
    "faster_rcnn": faster_rcnn.faster_rcnn,
    "localizer": localizer.detector,
}


def make(
    name: str,
    image_size: int,
    num_classes: int,
    *,
    backbone: str,
    weights: str,
    width: float,
) -> Detector:
    """Make a detector of square RGB pictures, as flags name it.

    Args:
        name: a key of `MODELS`.
        image_size: height and width of the pictures, in pixels.
        num_classes: of objects.
        backbone: a key of `BACKBONES`, or "published".
        weights: of that backbone, or a file of the whole detector's, see
            `starting_weights.load`; or "none".
        width: factor on the number of channels.

    Raises:
        UsageError: size, backbone and model do not fit each other.
        ModelFileError: the weights cannot be loaded.
        NetworkError: they cannot be downloaded.
    """
    named = weights not in ("none", "imagenet")
    are_all = named and starting_weights.are_of_detector(weights)
    detector = MODELS[name](
        (image_size, image_size, 3),
        num_classes,
        backbone=None if backbone == "published" else backbone,
        weights=None if are_all or weights == "none" else weights,
        width=width,
    )
    if are_all:
        starting_weights.load(detector.network, weights)
    return detector
