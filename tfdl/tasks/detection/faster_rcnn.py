"""Faster R-CNN on a feature pyramid: proposals first, then what is in each."""

import functools
import math
from collections.abc import Sequence

import keras
import numpy as np

from tfdl import errors
from tfdl.backbones import ends
from tfdl.layers import blocks, pyramid
from tfdl.ops import anchors
from tfdl.tasks.detection import (
    box_head,
    detector,
    region_proposals,
    roi_sampling,
    trunk,
)

CHANNELS = 256  # of the pyramid
BOX_SIZE = 7  # bins of a side that the box head sees
SIDE_MULTIPLE = 32  # every map has twice the rows and columns of the next
DRAWN = 512  # proposals of a picture that the second stage is trained on
# Of each level, and proposals of a picture, in training and after, as in Detectron.
CANDIDATES, COUNT = 2000, 1000
ASKED_CANDIDATES, ASKED_COUNT = 1000, 1000


def faster_rcnn(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> detector.Detector:
    """Make Faster R-CNN; the arguments are those of `networks`."""
    trained, asked = networks(
        image_shape, num_classes, backbone=backbone, weights=weights, width=width
    )
    boxes = np.concatenate(anchors.proposals(tuple(image_shape[:2])))
    return detector.Detector(
        network=asked,
        training_network=trained,
        targets=functools.partial(region_proposals.targets, anchors=boxes),
        losses=losses,
        decode=decode,
        start_losses=functools.partial(start_losses, num_classes=num_classes),
        smallest_stride=trunk.FINER["c2"],
    )


def networks(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> tuple[keras.Model, keras.Model]:
    """Build the network that is trained and the one that is asked, of the same layers.

    Deviations from the papers: He initialisation where a ReLU follows; the backbone's
    batch norms train; region proposals are trained on all anchors, see
    `region_proposals`; half of the drawn proposals, and 512 of every picture, as in
    Detectron.

    Args:
        image_shape: (height, width, channels), multiples of `SIDE_MULTIPLE`.
        num_classes: of objects; the background has a logit of its own.
        backbone: None for ResNet-50 ("v1.5"), or a key of BACKBONES.
        weights: of the backbone: "imagenet", a file, or None.
        width: factor on the number of channels.

    Returns:
        {"image": float32 (batch, height, width, channels) in [0, 1], "boxes", "labels",
        "weights", the objects as for `detector.Detector.targets`} -> {"anchors":
        answers of `region_proposals.head`, "drawn": of `SampledProposals`, "answers":
        of `box_head.layers`}, and image -> {"proposals": of `Proposals`, "answers"}.

    Raises:
        UsageError: an argument is out of range.

    Reference:
        Ren et al., "Faster R-CNN", 2015; Lin et al., "Feature Pyramid Networks for
        Object Detection", 2017, 4.
    """
    _check(image_shape, num_classes)
    image, features = trunk.feature_maps(
        backbone or "resnet50",
        image_shape,
        weights=weights,
        width=width,
        strides=trunk.FINER,
    )
    levels = pyramid.feature_pyramid(features, blocks.scaled(CHANNELS, width))
    maps = list(levels.values())
    first = region_proposals.head([*maps, pyramid.pooled_level(levels["p5"])])
    read = box_head.AlignedRois(
        list(trunk.FINER.values()), size=BOX_SIZE, name="box_rois"
    )
    second = box_head.layers(num_classes, width=width)
    size = tuple(image_shape[:2])

    proposals = _proposals(size, ASKED_CANDIDATES, ASKED_COUNT, "asked_proposals")(
        first
    )
    answers = second(read(maps, proposals["boxes"]))
    name = "faster_rcnn" if backbone is None else f"faster_rcnn_{backbone}"
    outputs = {"proposals": proposals, "answers": answers}
    asked = keras.Model(image, outputs, name=name)

    objects = objects_input()
    sample = roi_sampling.SampledProposals(
        DRAWN, background=num_classes, dtype="float32", name="drawn"
    )
    proposals = _proposals(size, CANDIDATES, COUNT, "proposals")(first)
    drawn = sample(image, proposals, objects)
    outputs = {
        "anchors": first,
        "drawn": drawn,
        "answers": second(read(maps, drawn["boxes"])),
    }
    return keras.Model({"image": image, **objects}, outputs, name=name), asked


def losses(targets, outputs) -> dict[str, keras.KerasTensor]:
    """Compare the answers of both stages with the targets, float32 (batch,) each."""
    return {
        **region_proposals.losses(targets, outputs["anchors"]),
        **box_head.losses(outputs["drawn"], outputs["answers"]),
    }


def decode(outputs) -> dict[str, keras.KerasTensor]:
    """Read what the asked network answers, see `box_head.decode`."""
    return box_head.decode(outputs["proposals"], outputs["answers"])


def start_losses(targets, *, num_classes: int) -> dict[str, float]:
    """Tell the losses of networks that hold everything for equally likely."""
    return {
        **region_proposals.start_losses(targets),
        "class_loss": math.log(num_classes + 1),
    }


def objects_input() -> dict[str, keras.KerasTensor]:
    """Make the inputs of a picture's objects, as for `detector.Detector.targets`."""
    return {
        "boxes": keras.Input((None, 4), name="boxes"),
        "labels": keras.Input((None,), dtype="int32", name="labels"),
        "weights": keras.Input((None,), name="weights"),
    }


def _proposals(image_size, candidates, count, name):
    return region_proposals.Proposals(
        image_size, candidates=candidates, count=count, dtype="float32", name=name
    )


def _check(image_shape, num_classes):
    ends.check_known_size(image_shape[:2], reason="the anchors of Faster R-CNN")
    ends.check_classifier(num_classes)
    if any(side % SIDE_MULTIPLE for side in image_shape[:2]):
        raise errors.UsageError(
            f"--image-size must be a multiple of {SIDE_MULTIPLE} for faster_rcnn. "
            f"Received image_shape={tuple(image_shape)}.",
            "Give 512, or another multiple.",
        )
