"""Faster R-CNN on a feature pyramid: proposals first, then what is in each."""

import functools
import math
from collections.abc import Sequence

import keras
import numpy as np

from tfdl.ops import anchors
from tfdl.tasks.detection import box_head, detector, region_proposals, trunk, two_stage


def faster_rcnn(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> detector.Detector:
    """Make Faster R-CNN; the arguments are those of `two_stage.stages`."""
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

    Args:
        image_shape: as of `two_stage.stages`, and so are the others.
        num_classes: of objects.
        backbone: None for ResNet-50.
        weights: of the backbone.
        width: factor on the number of channels.

    Returns:
        {"image": float32 (batch, height, width, channels) in [0, 1], "boxes", "labels",
        "weights", the objects as for `detector.Detector.targets`} -> {"anchors":
        answers of `region_proposals.head`, "drawn": of `SampledProposals`, "answers":
        of `box_head.layers`}, and image -> {"proposals": of `Proposals`, "answers"}.

    Raises:
        UsageError: an argument is out of range.

    Reference:
        Ren et al., "Faster R-CNN", 2015; for deviations see `two_stage.stages`.
    """
    stages = two_stage.stages(
        image_shape, num_classes, backbone=backbone, weights=weights, width=width
    )
    name = "faster_rcnn" if backbone is None else f"faster_rcnn_{backbone}"
    proposals, answers = stages.asked()
    asked = keras.Model(
        stages.image, {"proposals": proposals, "answers": answers}, name=name
    )
    objects = two_stage.objects_input()
    drawn, answers = stages.trained(objects)
    outputs = {"anchors": stages.anchors, "drawn": drawn, "answers": answers}
    return keras.Model({"image": stages.image, **objects}, outputs, name=name), asked


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
