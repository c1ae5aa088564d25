"""RetinaNet: a feature pyramid, and the same two subnets on all its levels [Lin 2017].

Counting traps: 34,014,999 parameters with 91 classes are without the scales and offsets
of the backbone's batch norms, which torchvision freezes (53,120), and p6 is made of p5.
The paper and Detectron make it of c5: 37,915,572 with 80 classes.
"""

import functools
import math
from collections.abc import Sequence

import keras
from keras import ops

from tfdl import errors
from tfdl.backbones import ends
from tfdl.layers import blocks, pyramid
from tfdl.ops import anchors, box_coding
from tfdl.tasks.detection import anchor_targets, dense_focal, detector, trunk

SIDE_MULTIPLE = 32  # so that each map of the pyramid is half of the one before it
POSITIVE_IOU, NEGATIVE_IOU = 0.5, 0.4  # 4, "Anchors"
VARIANCES = (1.0, 1.0, 1.0, 1.0)  # smooth L1's beta of 1/9 belongs to these
ANCHORS_PER_CELL = len(anchors.RETINANET_RATIOS) * len(anchors.RETINANET_SCALES)
CHANNELS, DEPTH = 256, 4  # of the subnets, 4
# The paper's 0.01 is of all layers of the subnets, whose answers so are nearly zero;
# after layers by He, which learn faster from the start, the last must be smaller.
HEAD_DEVIATION = 1e-4


def retinanet(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    coarser_from: str = "p5",
) -> detector.Detector:
    """Make RetinaNet with its 9 anchors per cell; the arguments are `network`'s."""
    built = network(
        image_shape,
        num_classes,
        backbone=backbone,
        weights=weights,
        width=width,
        coarser_from=coarser_from,
    )
    boxes = anchors.retinanet(tuple(image_shape[:2]))
    return detector.Detector(
        network=built,
        targets=functools.partial(
            anchor_targets.assign,
            anchors=boxes,
            positive=POSITIVE_IOU,
            negative=NEGATIVE_IOU,
            variances=VARIANCES,
        ),
        losses=dense_focal.losses,
        decode=functools.partial(_decode, boxes=boxes),
        start_losses=functools.partial(
            dense_focal.start_losses, num_classes=num_classes
        ),
        smallest_stride=trunk.STRIDES["c3"],
    )


def network(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    coarser_from: str = "p5",
) -> keras.Model:
    """Build the network of RetinaNet on ResNet-50, or on another backbone.

    Deviations from the paper: He initialisation in the subnets and a smaller one in
    their last layers; p6 is made of p5 by default; the backbone's batch norms train.
    The subnets have no normalisation, as in the paper.

    Args:
        image_shape: (height, width, channels), multiples of `SIDE_MULTIPLE`.
        num_classes: number of classes; there is none for the background.
        backbone: None for ResNet-50 ("v1.5"), or a key of BACKBONES. keras.applications
            has ImageNet weights for "resnet50_v1".
        weights: of the backbone: "imagenet", a file, or None.
        width: factor on the number of channels.
        coarser_from: "p5", as torchvision, or "c5", as the paper and Detectron.

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> {"classes": float32
        (batch, anchors, num_classes), logits, "deltas": float32 (batch, anchors, 4), of
        `box_coding`}.

    Raises:
        UsageError: an argument is out of range.

    Reference:
        Lin et al., "Focal Loss for Dense Object Detection", 2017.
    """
    _check(image_shape, num_classes, coarser_from)
    inputs, features = trunk.feature_maps(
        backbone or "resnet50", image_shape, weights=weights, width=width
    )
    channels = blocks.scaled(CHANNELS, width)
    levels = pyramid.feature_pyramid(features, channels)
    coarsest = levels["p5"] if coarser_from == "p5" else features["c5"]
    levels |= pyramid.coarser_levels(coarsest, channels)
    maps = list(levels.values())
    prior = -math.log((1 - dense_focal.PRIOR) / dense_focal.PRIOR)
    outputs = {
        "classes": _subnet(maps, num_classes, bias=prior, name="classes"),
        "deltas": _subnet(maps, 4, bias=0.0, name="deltas"),
    }
    name = "retinanet" if backbone is None else f"retinanet_{backbone}"
    return keras.Model(inputs, outputs, name=name)


def _check(image_shape, num_classes, coarser_from):
    ends.check_known_size(image_shape[:2], reason="the anchors of RetinaNet")
    ends.check_classifier(num_classes)
    if any(side % SIDE_MULTIPLE for side in image_shape[:2]):
        raise errors.UsageError(
            f"--image-size must be a multiple of {SIDE_MULTIPLE} for retinanet. "
            f"Received image_shape={tuple(image_shape)}.",
            "Give 640, or another multiple.",
        )
    if coarser_from not in ("p5", "c5"):
        raise errors.UsageError(
            f"`coarser_from` must be p5 or c5. Received coarser_from={coarser_from!r}.",
            "Choose one of these.",
        )


def _decode(outputs, *, boxes):
    deltas = ops.cast(outputs["deltas"], "float32")
    return {
        "boxes": box_coding.decode(deltas, boxes, variances=VARIANCES),
        "scores": ops.sigmoid(ops.cast(outputs["classes"], "float32")),
    }


def _subnet(maps, num_values, *, bias, name):
    """Predict `num_values` of every anchor, float32 (batch, anchors, num_values)."""
    convolutions = [
        keras.layers.Conv2D(
            maps[0].shape[-1],
            3,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            name=f"{name}_conv{number}",
        )
        for number in range(1, DEPTH + 1)
    ]
    last = keras.layers.Conv2D(
        ANCHORS_PER_CELL * num_values,
        3,
        padding="same",
        kernel_initializer=keras.initializers.RandomNormal(stddev=HEAD_DEVIATION),
        bias_initializer=keras.initializers.Constant(bias),
        dtype="float32",
        name=f"{name}_last",
    )
    levels = []
    for number, x in enumerate(maps, start=3):
        rows, columns = x.shape[1:3]
        for convolution in convolutions:
            x = convolution(x)
        shape = (rows * columns * ANCHORS_PER_CELL, num_values)
        listed = keras.layers.Reshape(shape, dtype="float32", name=f"{name}{number}")
        levels.append(listed(last(x)))
    return keras.layers.Concatenate(axis=1, dtype="float32", name=name)(levels)
