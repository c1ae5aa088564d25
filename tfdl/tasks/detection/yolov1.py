"""YOLO, the first: one grid, whose cells tell boxes and a class in one look.

The last map has S x S cells of 5 B + C numbers: for each of B boxes x, y, the roots of
width and height, and a confidence, then a number for each of C classes.
"""

import functools
from collections.abc import Sequence

import keras
from keras import layers, ops

from tfdl import errors
from tfdl.backbones import darknet, ends
from tfdl.layers import blocks
from tfdl.tasks.detection import detector as detectors, trunk, yolov1_loss

_BOX = 4  # numbers of one, before its confidence
_HEAD_CHANNELS = 512
_HEAD_CONVOLUTIONS = 2
_PER_CELL = yolov1_loss.BOXES_PER_CELL


def network(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> keras.Model:
    """Build the network: image -> what the cells of a grid say.

    The grid is that of the backbone's last map: 7 x 7 for 224 pixels and stride 32, and
    14 x 14 for the paper's 448.

    Args:
        image_shape: (height, width, channels); the input is float32 in [0, 1].
        num_classes: at least 1.
        backbone: None for ResNet-18, else a key of `BACKBONES`.
        weights: of the backbone, see `tfdl.backbones`.
        width: factor on all channels.

    Returns:
        The model, whose outputs are float32 under every dtype policy, of cells row by
        row, with B = 2: {"boxes": (batch, cells, B, 4), see `yolov1_loss.Grid`,
        "confidence": (batch, cells, B), "classes": (batch, cells, num_classes)}. All
        are linear, as the paper's last layer.

    Raises:
        UsageError: the picture's size is not known, or an argument is out of its range.

    Deviations from the paper: a backbone of the zoo takes the place of its first 20
    layers, and ResNet-18 is the published one here. Of the head's four convolutions and
    two dense layers, which make up most of the paper's parameters, two convolutions of
    512 channels with batch normalisation stay, and one of 1 x 1 in place of the dense
    layers: every cell is answered by the same weights, and the grid can have any size.
    The prediction starts with all boxes in the middle of their cells, a quarter of the
    picture wide and high, confidences and classes 0.

    Reference:
        Redmon, Divvala, Girshick and Farhadi, "You Only Look Once: Unified, Real-Time
        Object Detection", 2016.
    """
    ends.check_classifier(num_classes)
    body = trunk.builder(backbone or "resnet18")(
        tuple(image_shape), None, weights=weights, width=width
    )
    x = _coarsest(body.output)
    if None in x.shape[1:3]:
        raise errors.UsageError(
            "--image-size must be known for YOLO's grid. Received "
            f"image_shape={tuple(image_shape)}.",
            "Give a height and a width, such as 448.",
        )
    for number in range(1, _HEAD_CONVOLUTIONS + 1):
        filters = blocks.scaled(_HEAD_CHANNELS, width)
        x = _convolution(x, filters, name=f"head_{number}")
    x = _prediction(x, num_classes)
    num_box_numbers = _PER_CELL * (_BOX + 1)
    boxes = layers.Reshape((-1, _PER_CELL, _BOX + 1), dtype="float32", name="per_box")(
        x[..., :num_box_numbers]
    )
    named = {
        "boxes": boxes[..., :_BOX],
        "confidence": boxes[..., _BOX],
        "classes": x[..., num_box_numbers:],
    }
    return keras.Model(body.input, named, name="yolov1")


def detector(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> detectors.Detector:
    """Build YOLO with what it learns; see `network` and `yolov1_loss`.

    Args:
        image_shape: (height, width, channels).
        num_classes: at least 1.
        backbone: as of `network`.
        weights: likewise.
        width: likewise.

    Raises:
        UsageError: as of `network`.
    """
    model = network(
        image_shape, num_classes, backbone=backbone, weights=weights, width=width
    )
    cells = model.get_layer("prediction").output.shape[1:3]
    grid = yolov1_loss.Grid(tuple(cells), tuple(image_shape[:2]))
    return detectors.Detector(
        network=model,
        targets=functools.partial(yolov1_loss.targets, grid),
        losses=functools.partial(yolov1_loss.losses, grid),
        decode=functools.partial(_decode, grid),
        start_losses=functools.partial(yolov1_loss.start_losses, grid),
        smallest_stride=image_shape[0] // cells[0],
    )


def _decode(grid, outputs):
    """Read boxes, cell by cell; a score is a confidence times a class's probability.

    What the linear outputs leave beyond [0, 1] is cut off.
    """
    raw = {name: ops.cast(values, "float32") for name, values in outputs.items()}
    confidence = ops.clip(raw["confidence"], 0.0, 1.0)[..., None]
    classes = ops.clip(raw["classes"], 0.0, 1.0)[:, :, None]
    num_candidates = grid.num_cells * _PER_CELL
    return {
        "boxes": ops.reshape(grid.boxes(raw["boxes"]), (-1, num_candidates, 4)),
        "scores": ops.reshape(
            confidence * classes, (-1, num_candidates, classes.shape[-1])
        ),
    }


def _coarsest(maps):
    """Return the last of a backbone's maps."""
    return maps[max(maps, key=lambda level: int(level[1:]))]


def _prediction(x, num_classes):
    """Predict 5 B + C numbers per cell -> (batch, cells, 5 B + C)."""
    start = [yolov1_loss.START_OFFSET] * _BOX + [0.0]  # a box, and no confidence
    start = start * _PER_CELL + [0.0] * num_classes
    x = layers.Conv2D(
        len(start),
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=1e-4),
        bias_initializer=keras.initializers.Constant(start),
        dtype="float32",
        name="prediction",
    )(x)
    cells = x.shape[1] * x.shape[2]
    return layers.Reshape((cells, len(start)), dtype="float32", name="cells")(x)


def _convolution(x, filters, *, name):
    x = blocks.conv_norm_activation(
        x, filters, 3, epsilon=darknet.EPSILON, activation=None, name=name
    )
    return layers.LeakyReLU(darknet.LEAK, name=f"{name}_leaky_relu")(x)
