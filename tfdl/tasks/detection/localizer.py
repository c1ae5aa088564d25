"""Localisation: what is the main object of a picture, and where? One box by regression.

The first step from classification to detection: beside the class the network answers
whether there is an object at all, p_c, and the four numbers of one box, trained towards
y = (p_c, b_x, b_y, b_h, b_w, c_1, ..., c_n), of which only p_c counts where there is
none. The main object is the one with the largest box.
"""

import functools
import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from tfdl.backbones import ends
from tfdl.layers import blocks
from tfdl.ops import boxes as box_ops, losses
from tfdl.tasks.detection import detector as detectors, trunk

DEFAULT_BACKBONE = "resnet18"
POSITION_CHANNELS, POSITION_UNITS = 64, 256
LAST_STDDEV = 0.001  # of first weights: nothing normalises what the last layers see
DISTANCE_WEIGHT, OVERLAP_WEIGHT = 5.0, 2.0  # Carion 2020, DETR, section 4


def network(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> keras.Model:
    """Build a backbone with three last layers: object or not, class, box.

    The class is read from the average over the backbone's last map, as in a classifier.
    An average no longer knows where anything was: the box and p_c are read from
    `position_vector`.

    Args:
        image_shape: (height, width, channels), all known.
        num_classes: at least 1.
        backbone: key of `tfdl.backbones.BACKBONES`, None for ResNet-18.
        weights: of the backbone: "imagenet", path of a file, or None for random ones.
        width: factor on the number of channels.

    Returns:
        image, float32 (batch, height, width, channels) in [0, 1] -> float32 {"object":
        logit of p_c, (batch,), "classes": logits (batch, num_classes), "boxes": logits
        of the box's centre and sides (x, y, width, height) as shares of the picture,
        (batch, 4)}.

    Raises:
        UsageError: a size is unknown, or there is no class.
    """
    ends.check_classifier(num_classes)
    inputs, features = last_map(
        image_shape, backbone=backbone, weights=weights, width=width
    )
    position = position_vector(features, width=width)
    outputs = {
        "object": ops.squeeze(_last_layer(position, 1, name="object"), axis=-1),
        "classes": _last_layer(ends.pooled(features), num_classes, name="classes"),
        "boxes": _last_layer(position, 4, name="boxes"),
    }
    return keras.Model(inputs, outputs, name="localizer")


def detector(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> detectors.Detector:
    """Make the detector of at most one object.

    The loss is cross-entropy of p_c and, where there is an object, cross-entropy of the
    class and of the box smooth L1 of its four shares with generalised IoU. An object's
    weight counts for its class and its box.

    Deviations from the course: smooth L1 and IoU for the squared error, whose pull on
    small boxes is small; the shares are sigmoids, so that every answer is a box.

    The arguments are those of `network`.

    Reference:
        Sermanet 2013, OverFeat, section 4; Carion 2020, DETR, section 3.1, for the
        loss of a box.
    """
    model = network(
        image_shape, num_classes, backbone=backbone, weights=weights, width=width
    )
    size = tuple(image_shape[:2])
    return detectors.Detector(
        network=model,
        targets=functools.partial(main_object, num_classes=num_classes),
        losses=functools.partial(localization_losses, size=size),
        decode=functools.partial(decode, size=size),
        start_losses=functools.partial(_start_losses, num_classes=num_classes),
        smallest_stride=trunk.STRIDES["c5"],
    )


def last_map(
    image_shape: Sequence[int],
    *,
    backbone: str | None,
    weights: str | None,
    width: float,
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Build a backbone -> its input, and its last feature map.

    The arguments are those of `network`.

    Raises:
        UsageError: a size is unknown.
    """
    ends.check_known_size(image_shape[:2], reason="the dense layers of a position")
    build = trunk.builder(backbone or DEFAULT_BACKBONE)
    model = build(tuple(image_shape), None, weights=weights, width=width)
    return model.input, list(model.output.values())[-1]


def position_vector(features: keras.KerasTensor, *, width: float) -> keras.KerasTensor:
    """Make a vector of a map that still knows where everything is.

    Every position has its own weights: a convolution of 1 x 1 leaves few channels, so
    that these do not become too many, then the map is flattened. Nothing normalises
    here: of ReLUs, all units of a picture could be 0, and it would teach no more.

    Args:
        features: float (batch, height, width, channels), the sizes known.
        width: factor on the number of channels.

    Returns:
        float (batch, units).
    """
    channels = blocks.scaled(POSITION_CHANNELS, width)
    x = blocks.convolution(features, channels, 1, name="position_conv")
    x = keras.layers.Flatten(name="position_flatten")(x)
    return keras.layers.Dense(
        blocks.scaled(POSITION_UNITS, width),
        activation="silu",
        kernel_initializer="he_normal",
        name="position_dense",
    )(x)


def main_object(objects: detectors.Tensors, *, num_classes: int) -> detectors.Tensors:
    """Choose the object with the largest box, the first of several.

    Args:
        objects: as `Detector.targets` takes them.
        num_classes: number of classes.

    Returns:
        {"object": float32 (batch,), 1 where there is one, "classes": float32 (batch,
        num_classes), one-hot, "boxes": float32 (batch, 4), pixels, "weights": float32
        (batch,)}, all 0 where there is none.
    """
    is_real = objects["weights"] > 0
    sizes = ops.where(is_real, box_ops.area(objects["boxes"]), -1.0)
    # A row of padding, so that a batch may have no room for objects.
    sizes = ops.pad(sizes, [(0, 0), (0, 1)], constant_values=-1.0)
    chosen = ops.one_hot(ops.argmax(sizes, axis=1), sizes.shape[1])[:, :-1]
    chosen = chosen * ops.cast(is_real, "float32")  # (batch, objects), one 1 or none
    classes = ops.one_hot(objects["labels"], num_classes)  # of -1: zeros
    return {
        "object": ops.sum(chosen, axis=1),
        "classes": ops.sum(chosen[..., None] * classes, axis=1),
        "boxes": ops.sum(chosen[..., None] * objects["boxes"], axis=1),
        "weights": ops.sum(chosen * objects["weights"], axis=1),
    }


def localization_losses(
    targets: detectors.Tensors, outputs: detectors.Tensors, *, size: tuple[int, int]
) -> detectors.Tensors:
    """Measure the parts of each picture's loss.

    Args:
        targets: of `main_object`.
        outputs: of the network.
        size: height and width of the network's input.

    Returns:
        {"object", "classes", "boxes"}, float32 (batch,); the last two are 0 where there
        is no object.
    """
    weights = targets["weights"]
    classes = ops.log_softmax(ops.cast(outputs["classes"], "float32"), axis=-1)
    predicted = _boxes(outputs["boxes"], size)
    shares = _shares(targets["boxes"], size) - _shares(predicted, size)
    distance = ops.sum(losses.smooth_l1(shares, beta=0.1), axis=-1)
    overlap = box_ops.giou(predicted, targets["boxes"])
    return {
        "object": losses.binary_cross_entropy(outputs["object"], targets["object"]),
        "classes": -weights * ops.sum(targets["classes"] * classes, axis=-1),
        "boxes": weights
        * (DISTANCE_WEIGHT * distance + OVERLAP_WEIGHT * (1 - overlap)),
    }


def decode(outputs: detectors.Tensors, *, size: tuple[int, int]) -> detectors.Tensors:
    """Read the answer: one candidate, whose scores are p_c times its classes'.

    Args:
        outputs: of the network.
        size: height and width of the network's input.

    Returns:
        {"boxes": float32 (batch, 1, 4), pixels, "scores": float32 (batch, 1, classes)
        in [0, 1]}.
    """
    is_object = ops.sigmoid(ops.cast(outputs["object"], "float32"))
    classes = ops.softmax(ops.cast(outputs["classes"], "float32"), axis=-1)
    return {
        "boxes": _boxes(outputs["boxes"], size)[:, None],
        "scores": (is_object[:, None] * classes)[:, None],
    }


def _start_losses(targets, *, num_classes) -> dict[str, float]:
    """Cross-entropy of equal logits: ln 2 of p_c, ln C of an object's class."""
    share = float(np.mean(ops.convert_to_numpy(targets["weights"])))
    return {"object": math.log(2), "classes": share * math.log(num_classes)}


def _last_layer(x, units, *, name):
    return keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomNormal(stddev=LAST_STDDEV),
        dtype="float32",
        name=name,
    )(x)


def _boxes(logits, size):
    """Pixels of shares: logits of (x, y, width, height) -> boxes, float32 (..., 4)."""
    shares = ops.sigmoid(ops.cast(logits, "float32"))
    return box_ops.from_cxcywh(shares * _scale(size))


def _shares(boxes, size):
    return box_ops.to_cxcywh(boxes) / _scale(size)


def _scale(size):
    height, width = size
    return ops.convert_to_tensor([width, height, width, height], "float32")
