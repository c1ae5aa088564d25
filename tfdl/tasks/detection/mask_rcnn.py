"""Mask R-CNN: Faster R-CNN, and the mask of what is in each box."""

import functools
from collections.abc import Sequence

import keras
import numpy as np

from tfdl.ops import anchors, boxes as boxes_of, nms
from tfdl.tasks.detection import (
    box_head,
    detector,
    faster_rcnn,
    mask_head,
    postprocess,
    region_proposals,
    trunk,
    two_stage,
)


def mask_rcnn(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    thresholds: postprocess.Thresholds,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    drawn: int = two_stage.DRAWN,
) -> detector.Detector:
    """Make Mask R-CNN; the arguments are those of `networks`.

    Its objects have "outlines" as well, (batch, objects, cells, cells) in [0, 1], the
    object within its box; the decoded answers are those of the asked network.
    """
    trained, asked = networks(
        image_shape,
        num_classes,
        thresholds=thresholds,
        backbone=backbone,
        weights=weights,
        width=width,
        drawn=drawn,
    )
    known = np.concatenate(anchors.proposals(tuple(image_shape[:2])))
    return detector.Detector(
        network=asked,
        training_network=trained,
        targets=functools.partial(targets, anchors=known),
        losses=losses,
        decode=dict,
        start_losses=functools.partial(start_losses, num_classes=num_classes),
        smallest_stride=trunk.FINER["c2"],
    )


def networks(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    thresholds: postprocess.Thresholds,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    drawn: int = two_stage.DRAWN,
) -> tuple[keras.Model, keras.Model]:
    """Build the network that is trained and the one that is asked, of the same layers.

    Masks are asked of the boxes that remain, as in the paper, so that the asked network
    drops what overlaps by itself.

    Args:
        image_shape: as of `two_stage.stages`, and so are the others.
        num_classes: of objects.
        thresholds: what is answered.
        backbone: None for ResNet-50.
        weights: of the backbone.
        width: factor on the number of channels.
        drawn: proposals of a picture that are trained on, a quarter with masks.

    Returns:
        As `faster_rcnn.networks`, the first with "masks", of `mask_head.layers`, for
        those of the drawn boxes that may have an object; the second is image ->
        {"boxes": float32 (batch, detections, 4), pixels, within the picture, "scores",
        "labels", "num_detections", as of `nms.suppress`, "masks": float32 (batch,
        detections, rows, columns) in [0, 1], each over its box}.

    Raises:
        UsageError: an argument is out of range.

    Reference:
        He et al., "Mask R-CNN", 2017; for deviations see `two_stage.stages`.
    """
    stages = two_stage.stages(
        image_shape,
        num_classes,
        backbone=backbone,
        weights=weights,
        width=width,
        drawn=drawn,
    )
    read = box_head.AlignedRois(
        list(trunk.FINER.values()), size=mask_head.READ_SIZE, name="mask_rois"
    )
    answer_masks = mask_head.layers(num_classes, width=width)
    name = "mask_rcnn" if backbone is None else f"mask_rcnn_{backbone}"

    proposals, answers = stages.asked()
    choose = Remaining(
        image_shape[:2], **vars(thresholds), dtype="float32", name="remaining"
    )
    found = choose(box_head.decode(proposals, answers))
    logits = answer_masks(read(stages.maps, found["boxes"]))
    own = mask_head.OwnMasks(dtype="float32", name="own_masks")
    masks = own(logits, found["labels"])
    asked = keras.Model(stages.image, {**found, "masks": masks}, name=name)

    objects = two_stage.objects_input()
    chosen, answers = stages.trained(objects)
    with_object = chosen["boxes"][:, : two_stage.most_with_object(chosen)]
    outputs = {
        "anchors": stages.anchors,
        "drawn": chosen,
        "answers": answers,
        "masks": answer_masks(read(stages.maps, with_object)),
    }
    return keras.Model({"image": stages.image, **objects}, outputs, name=name), asked


@keras.saving.register_keras_serializable(package="tfdl")
class Remaining(keras.layers.Layer):
    """Drops boxes that show an object again, see `nms.suppress`.

    Args:
        image_size: (height, width) of the pictures.
        score_threshold: as of `postprocess.Thresholds`, and so are the others.
        iou_threshold: of boxes of one class.
        max_detections: of a picture.
        **kwargs: name, dtype, which should be float32, and so on.
    """

    def __init__(
        self,
        image_size: Sequence[int],
        *,
        score_threshold: float,
        iou_threshold: float,
        max_detections: int,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.image_size = tuple(image_size)
        self.score_threshold = score_threshold
        self.iou_threshold = iou_threshold
        self.max_detections = max_detections

    def call(self, candidates: detector.Tensors) -> dict[str, keras.KerasTensor]:
        """Choose among {"boxes", "scores"} of `box_head.decode`."""
        height, width = self.image_size
        return nms.suppress(
            boxes_of.clip(candidates["boxes"], height=height, width=width),
            candidates["scores"],
            score_threshold=self.score_threshold,
            iou_threshold=self.iou_threshold,
            max_detections=self.max_detections,
        )


def targets(objects, anchors) -> dict[str, keras.KerasTensor]:
    """Tell what anchors should answer, and keep what masks are compared with.

    Args:
        objects: as for `detector.Detector.targets`, with "outlines".
        anchors: float32 (anchors, 4), pixels.
    """
    return {
        **region_proposals.targets(objects, anchors),
        "object_boxes": objects["boxes"],
        "outlines": objects["outlines"],
    }


def losses(targets, outputs) -> dict[str, keras.KerasTensor]:
    """Compare all three answers with the targets, float32 (batch,) each."""
    masks = mask_head.losses(outputs["drawn"], outputs["masks"], _objects(targets))
    return faster_rcnn.losses(targets, outputs) | masks


def start_losses(targets, *, num_classes: int) -> dict[str, float]:
    """Tell the losses of networks that hold everything for equally likely."""
    return {
        **faster_rcnn.start_losses(targets, num_classes=num_classes),
        "mask_loss": mask_head.start_loss(_objects(targets)),
    }


def _objects(targets):
    return {"boxes": targets["object_boxes"], "outlines": targets["outlines"]}
