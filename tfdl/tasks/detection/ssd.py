"""SSD: boxes of many sizes, predicted from maps of many resolutions [Liu 2016].

Counting traps: the paper's heads have a class for the background, `num_classes` is
without it; 26,285,486 parameters of SSD300 for the 20 classes of VOC contain the 512
scales of the L2 normalisation.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from tfdl.backbones import BACKBONES, ends
from tfdl.layers import blocks, l2_norm
from tfdl.ops import anchors, box_coding
from tfdl.tasks.detection import anchor_targets, detector, multibox, trunk

LEAST_SIDE = 32  # pixels of the picture
POSITIVE_IOU = 0.5  # 2.2; below it is background
# The paper's is Xavier's. These answer with equal probabilities, so that the hardest
# negatives of the first step are any negatives.
HEAD_DEVIATION = 1e-4


class Extra(NamedTuple):
    """A 3 x 3 or 4 x 4 convolution that makes the next map, after a 1 x 1 of half."""

    channels: int
    kernel_size: int
    strides: int
    padding: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """What distinguishes SSD300 and SSD512.

    Attributes:
        box_sizes: of the squares on each map, shares of the picture's shorter side,
            and one more; those of the models released for VOC.
        ratios: of the other boxes on each map, see `anchors.ssd_shapes`.
        extras: the convolutions that make the third map and those after it.
    """

    box_sizes: tuple[float, ...]
    ratios: tuple[tuple[int, ...], ...]
    extras: tuple[Extra, ...]


SSD300 = Layout(
    box_sizes=(0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05),
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    extras=(
        Extra(512, 3, 2, 1),
        Extra(256, 3, 2, 1),
        Extra(256, 3, 1, 0),
        Extra(256, 3, 1, 0),
    ),
)
SSD512 = Layout(
    box_sizes=(0.07, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.05),
    ratios=((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
    extras=(
        Extra(512, 3, 2, 1),
        Extra(256, 3, 2, 1),
        Extra(256, 3, 2, 1),
        Extra(256, 3, 2, 1),
        Extra(256, 4, 1, 1),
    ),
)


class Level(NamedTuple):
    """A feature map: (rows, columns), and (height, width) of a cell in pixels."""

    size: tuple[int, int]
    stride: tuple[float, float]


def ssd300(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> detector.Detector:
    """Make SSD300, whose 8732 boxes suit pictures of 300 pixels; see `network`."""
    return _detector(
        SSD300,
        "ssd300",
        image_shape,
        num_classes,
        backbone=backbone,
        weights=weights,
        width=width,
    )


def ssd512(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> detector.Detector:
    """Make SSD512, whose 24564 boxes suit pictures of 512 pixels; see `network`."""
    return _detector(
        SSD512,
        "ssd512",
        image_shape,
        num_classes,
        backbone=backbone,
        weights=weights,
        width=width,
    )


def network(
    layout: Layout,
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    name: str = "ssd",
) -> keras.Model:
    """Build the network of SSD on VGG16, or on another backbone.

    Of VGG16 the first map is conv4_3, normalised; the second is what the dense layers
    become as convolutions, the first of them with dilation. Another backbone gives c3,
    c4 and c5 instead of these and of the first of the layout's further maps.

    Deviations from the paper: He initialisation, and a small one in the heads; the
    dense layers of VGG16 are not taken from the published weights. Pictures of other
    sizes than 300 or 512 have as many maps as do not vanish: SSD300 has 5 at 160
    (20, 10, 5, 3, 1) and 4 at 128, and then lacks the largest boxes.

    Args:
        layout: `SSD300` or `SSD512`.
        image_shape: (height, width, channels), at least `LEAST_SIDE` pixels.
        num_classes: without the background.
        backbone: None for VGG16, or a key of BACKBONES.
        weights: of the backbone: "imagenet", a file, or None.
        width: factor on the number of channels.
        name: of the model.

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> {"classes": float32
        (batch, boxes, 1 + num_classes), logits, the background's first, "deltas":
        float32 (batch, boxes, 4), of `box_coding`}.

    Raises:
        UsageError: an argument is out of range.

    Reference:
        Liu et al., "SSD: Single Shot MultiBox Detector", 2016.
    """
    ends.check_known_size(image_shape[:2], reason="the default boxes of SSD")
    ends.check_size(image_shape, LEAST_SIDE, name="ssd")
    ends.check_classifier(num_classes)
    if backbone is None:
        inputs, maps = _vgg_maps(image_shape, weights=weights, width=width)
    else:
        inputs, features = trunk.feature_maps(
            backbone, image_shape, weights=weights, width=width
        )
        maps = list(features.values())
    x = maps[-1]
    wanted = _levels(layout, image_shape, num_maps=len(maps))
    extras = _further(layout, num_maps=len(maps))[: len(wanted) - len(maps)]
    for number, extra in enumerate(extras, start=8):  # after fc6 and fc7
        x = _extra_map(x, extra, width=width, name=f"conv{number}")
        maps.append(x)
    outputs = {
        "classes": _head(maps, layout.ratios, 1 + num_classes, name="classes"),
        "deltas": _head(maps, layout.ratios, 4, name="deltas"),
    }
    return keras.Model(inputs, outputs, name=name)


def default_boxes(
    layout: Layout, image_shape: Sequence[int], *, backbone: str | None = None
) -> np.ndarray:
    """Lay out the boxes that the network of the same arguments corrects.

    The cells of a map that strides make are as large as its stride, also those that the
    edge cuts off; otherwise the map's cells divide the picture.

    Returns:
        float32 (boxes, 4), pixels, not cut to the picture.
    """
    levels = _levels(layout, image_shape, num_maps=2 if backbone is None else 3)
    shorter = min(image_shape[:2])
    return anchors.ssd(
        [level.size for level in levels],
        [level.stride for level in levels],
        box_sizes=[share * shorter for share in layout.box_sizes[: len(levels) + 1]],
        ratios=layout.ratios[: len(levels)],
    )


def _detector(layout, name, image_shape, num_classes, **options):
    backbone = options["backbone"]
    name = name if backbone is None else f"{name}_{backbone}"
    built = network(layout, image_shape, num_classes, name=name, **options)
    boxes = default_boxes(layout, image_shape, backbone=backbone)
    return detector.Detector(
        network=built,
        targets=functools.partial(
            anchor_targets.assign,
            anchors=boxes,
            positive=POSITIVE_IOU,
            negative=POSITIVE_IOU,
            variances=box_coding.VARIANCES,
        ),
        losses=multibox.losses,
        decode=functools.partial(_decode, boxes=boxes),
        start_losses=functools.partial(multibox.start_losses, num_classes=num_classes),
        smallest_stride=trunk.STRIDES["c3"],
    )


def _decode(outputs, *, boxes):
    probabilities = ops.softmax(ops.cast(outputs["classes"], "float32"), axis=-1)
    deltas = ops.cast(outputs["deltas"], "float32")
    return {
        "boxes": box_coding.decode(deltas, boxes, variances=box_coding.VARIANCES),
        "scores": probabilities[..., 1:],
    }


def _levels(layout, image_shape, *, num_maps):
    """List the maps: the first `num_maps` from stride 8 on, then those of extras."""
    image_size = tuple(image_shape[:2])
    levels = []
    for stride in (8, 16, 32)[:num_maps]:
        size = tuple(-(-side // stride) for side in image_size)
        levels.append(Level(size, (stride, stride)))
    for extra in _further(layout, num_maps=num_maps):
        last = levels[-1]
        size = tuple(
            (cells + 2 * extra.padding - extra.kernel_size) // extra.strides + 1
            for cells in last.size
        )
        if min(size) < 1 or min(last.size) == 1:
            break
        levels.append(Level(size, _stride(extra, last, size, image_size)))
    return levels


def _stride(extra, last, size, image_size):
    """Tell (height, width) of a cell; a map's only cell is the whole picture."""
    if extra.strides == 1:
        return tuple(np.divide(image_size, size).tolist())
    return tuple(
        extra.strides * side if cells > 1 else whole
        for side, cells, whole in zip(last.stride, size, image_size, strict=True)
    )


def _further(layout, *, num_maps):
    """List the convolutions that a backbone of two maps, or of three, leaves to add."""
    return layout.extras[num_maps - 2 :]


def _vgg_maps(image_shape, *, weights, width):
    body = BACKBONES["vgg16"](image_shape, None, weights=weights, width=width)
    first = l2_norm.ScaledL2Normalization(name="conv4_3_norm")(
        body.get_layer("conv4_3").output
    )
    x = body.get_layer("conv5_3").output
    x = blocks.max_pool(x, 3, 1, padding="same", name="pool5_unstrided")
    channels = blocks.scaled(1024, width)
    x = blocks.convolution(
        x, channels, 3, dilation_rate=6, activation="relu", name="fc6"
    )
    x = blocks.convolution(x, channels, 1, activation="relu", name="fc7")
    return body.input, [first, x]


def _extra_map(x, extra, *, width, name):
    narrow = blocks.scaled(extra.channels // 2, width)
    x = blocks.convolution(x, narrow, 1, activation="relu", name=f"{name}_1")
    if extra.padding:
        x = keras.layers.ZeroPadding2D(extra.padding, name=f"{name}_pad")(x)
    return blocks.convolution(
        x,
        blocks.scaled(extra.channels, width),
        extra.kernel_size,
        strides=extra.strides,
        padding="valid",
        activation="relu",
        name=f"{name}_2",
    )


def _head(maps, ratios, num_values, *, name):
    """Predict `num_values` of every box, float32 (batch, boxes, num_values)."""
    levels = []
    for number, x in enumerate(maps, start=1):
        boxes_per_cell = 2 + 2 * len(ratios[number - 1])
        x = keras.layers.Conv2D(
            boxes_per_cell * num_values,
            3,
            padding="same",
            kernel_initializer=keras.initializers.RandomNormal(stddev=HEAD_DEVIATION),
            dtype="float32",
            name=f"{name}{number}",
        )(x)
        rows, columns = x.shape[1:3]
        shape = (rows * columns * boxes_per_cell, num_values)
        listed = keras.layers.Reshape(
            shape, dtype="float32", name=f"{name}{number}_listed"
        )
        levels.append(listed(x))
    return keras.layers.Concatenate(axis=1, dtype="float32", name=name)(levels)
