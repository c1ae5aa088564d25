"""What do the R-CNNs on a feature pyramid have in common? Both of their stages."""

import dataclasses
from collections.abc import Callable, Sequence

import keras

from tfdl import errors
from tfdl.backbones import ends
from tfdl.layers import blocks, pyramid
from tfdl.tasks.detection import box_head, region_proposals, roi_sampling, trunk

CHANNELS = 256  # of the pyramid
BOX_SIZE = 7  # bins of a side that the box head sees
SIDE_MULTIPLE = 32  # every map has twice the rows and columns of the next
DRAWN = 512  # proposals of a picture that the second stage is trained on
# Of each level, and proposals of a picture, in training and after, as in Detectron.
CANDIDATES, COUNT = 2000, 1000
ASKED_CANDIDATES, ASKED_COUNT = 1000, 1000

Answers = dict[str, keras.KerasTensor]


@dataclasses.dataclass(frozen=True)
class Stages:
    """Layers of both stages, to be asked and to be trained.

    Attributes:
        image: input, float32 (batch, height, width, channels) in [0, 1].
        maps: of the pyramid, p2 to p5.
        anchors: answers of `region_proposals.head`.
        in_boxes: (maps, boxes) -> answers of `box_head.layers`.
        num_classes: of objects.
        drawn: proposals of a picture that the second stage is trained on.
    """

    image: keras.KerasTensor
    maps: Sequence[keras.KerasTensor]
    anchors: Answers
    in_boxes: Callable[[Sequence[keras.KerasTensor], keras.KerasTensor], Answers]
    num_classes: int
    drawn: int

    def asked(self) -> tuple[Answers, Answers]:
        """Propose boxes and look into them -> (of `Proposals`, answers)."""
        proposals = self._proposals(ASKED_CANDIDATES, ASKED_COUNT, "asked_proposals")
        return proposals, self.in_boxes(self.maps, proposals["boxes"])

    def trained(self, objects: Answers) -> tuple[Answers, Answers]:
        """Draw of the proposals and look into them -> (of `SampledProposals`, answers).

        Args:
            objects: as `objects_input` makes them.
        """
        # From few that are drawn, few have to be told apart.
        candidates, count = min(CANDIDATES, 4 * self.drawn), min(COUNT, 2 * self.drawn)
        proposals = self._proposals(candidates, count, "proposals")
        sample = roi_sampling.SampledProposals(
            self.drawn, background=self.num_classes, dtype="float32", name="drawn"
        )
        drawn = sample(self.image, proposals, objects)
        return drawn, self.in_boxes(self.maps, drawn["boxes"])

    def _proposals(self, candidates: int, count: int, name: str) -> Answers:
        propose = region_proposals.Proposals(
            self.image.shape[1:3],
            candidates=candidates,
            count=count,
            dtype="float32",
            name=name,
        )
        return propose(self.anchors)


def stages(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None,
    weights: str | None,
    width: float,
    drawn: int = DRAWN,
) -> Stages:
    """Build the layers of both stages.

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
        drawn: proposals of a picture that the second stage is trained on.

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
    read = box_head.AlignedRois(
        list(trunk.FINER.values()), size=BOX_SIZE, name="box_rois"
    )
    answer = box_head.layers(num_classes, width=width)
    return Stages(
        image,
        maps,
        anchors=region_proposals.head([*maps, pyramid.pooled_level(levels["p5"])]),
        in_boxes=lambda maps, boxes: answer(read(maps, boxes)),
        num_classes=num_classes,
        drawn=drawn,
    )


def objects_input() -> Answers:
    """Make the inputs of a picture's objects, as for `detector.Detector.targets`."""
    return {
        "boxes": keras.Input((None, 4), name="boxes"),
        "labels": keras.Input((None,), dtype="int32", name="labels"),
        "weights": keras.Input((None,), name="weights"),
    }


def most_with_object(drawn: Answers) -> int:
    """Count the drawn boxes that may have an object; they are the first."""
    return roi_sampling.room(drawn["boxes"].shape[1])[0]


def _check(image_shape, num_classes):
    ends.check_known_size(image_shape[:2], reason="the anchors of an R-CNN")
    ends.check_classifier(num_classes)
    if any(side % SIDE_MULTIPLE for side in image_shape[:2]):
        raise errors.UsageError(
            f"--image-size must be a multiple of {SIDE_MULTIPLE} for an R-CNN. "
            f"Received image_shape={tuple(image_shape)}.",
            "Give 512, or another multiple.",
        )
