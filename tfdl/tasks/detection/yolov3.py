"""YOLOv3: three scales of nine anchors over Darknet-53.

Counting traps: 61,949,149 for 80 classes and 61,626,049 for 20 are the trainable
parameters; only the last convolution of each scale has a bias, 255 and 75 numbers.
"""

import functools
import math
from collections.abc import Sequence

import keras
from keras import layers, ops

from tfdl.backbones import darknet, ends
from tfdl.layers import blocks
from tfdl.tasks.detection import detector as detectors, trunk, yolov3_grid, yolov3_loss

_LEVELS = ("c3", "c4", "c5")
_BOX = 4  # numbers of one
# Of the three scales, from stride 8: half the channels of the 3 x 3 convolutions.
_NECK_CHANNELS = {"c3": 128, "c4": 256, "c5": 512}


def network(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> keras.Model:
    """Build the network: image -> raw outputs of three candidates per cell.

    At every scale five convolutions, of 1 x 1 and 3 x 3 by turns, then one of 3 x 3 and
    the prediction; what leaves the five is enlarged and joined to the next finer map.

    Args:
        image_shape: (height, width, channels), sides multiples of 32; the input is
            float32 in [0, 1].
        num_classes: at least 1.
        backbone: None for Darknet-53, else a key of `BACKBONES` with maps of strides
            8, 16 and 32.
        weights: of the backbone, see `tfdl.backbones`.
        width: factor on all channels.

    Returns:
        The model, whose outputs are float32 under every dtype policy, with the
        candidates of `yolov3_grid.Grid`: {"boxes": (batch, candidates, 4), t_x, t_y,
        t_w, t_h of the paper, "objectness": (batch, candidates), "classes": (batch,
        candidates, num_classes)}, the last two logits.

    Raises:
        UsageError: the backbone has no such maps, or an argument is out of its range.

    Deviations from the paper: other backbones and widths are options. The prediction
    starts near zero, with a probability of 0.01 that there is an object [Lin 2017,
    3.3], so that the first steps are not spent on learning that there is none.

    Reference:
        Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018, with the layers
        of the authors' yolov3.cfg.
    """
    ends.check_classifier(num_classes)
    inputs, maps = trunk.feature_maps(
        backbone or "darknet53", image_shape, weights=weights, width=width
    )
    predictions, coarser = {}, None
    for level in reversed(_LEVELS):
        filters = blocks.scaled(_NECK_CHANNELS[level], width)
        x = maps[level]
        if coarser is not None:
            coarser = _convolution(coarser, filters, 1, name=f"neck_{level}_reduce")
            coarser = layers.UpSampling2D(2, name=f"neck_{level}_enlarge")(coarser)
            x = layers.Concatenate(name=f"neck_{level}_join")([coarser, x])
        coarser = x = _five_convolutions(x, filters, name=f"neck_{level}")
        x = _convolution(x, 2 * filters, 3, name=f"head_{level}")
        predictions[level] = _prediction(x, num_classes, name=f"head_{level}")
    outputs = layers.Concatenate(axis=1, dtype="float32", name="candidates")(
        [predictions[level] for level in _LEVELS]
    )
    named = {
        "boxes": outputs[..., :_BOX],
        "objectness": outputs[..., _BOX],
        "classes": outputs[..., _BOX + 1 :],
    }
    return keras.Model(inputs, named, name="yolov3")


def detector(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
    anchors: Sequence[tuple[float, float]] | None = None,
) -> detectors.Detector:
    """Build YOLOv3 with what it learns; see `network` and `yolov3_loss`.

    Args:
        image_shape: (height, width, channels), sides multiples of 32.
        num_classes: at least 1.
        backbone: as of `network`.
        weights: likewise.
        width: likewise.
        anchors: (width, height) of nine, pixels, as `anchor_fitting.fit_anchors` finds
            them; None for the published ones, scaled to the picture.

    Raises:
        UsageError: a side is no multiple of 32, or as of `network`.
    """
    grid = yolov3_grid.grid(image_shape, anchors)
    return detectors.Detector(
        network=network(
            image_shape, num_classes, backbone=backbone, weights=weights, width=width
        ),
        targets=functools.partial(yolov3_loss.targets, grid),
        losses=functools.partial(yolov3_loss.losses, grid),
        decode=functools.partial(_decode, grid),
        start_losses=functools.partial(
            yolov3_loss.start_losses, grid, num_classes=num_classes
        ),
        smallest_stride=yolov3_grid.STRIDES[0],
    )


def _decode(grid, outputs):
    """Read boxes; a class's score is its probability times that of an object."""
    objectness = ops.sigmoid(ops.cast(outputs["objectness"], "float32"))
    classes = ops.sigmoid(ops.cast(outputs["classes"], "float32"))
    return {
        "boxes": grid.boxes(outputs["boxes"]),
        "scores": objectness[..., None] * classes,
    }


def _five_convolutions(x, filters, *, name):
    for number in range(1, 6):
        size = 1 if number % 2 else 3
        x = _convolution(
            x, filters * (1 if size == 1 else 2), size, name=f"{name}_{number}"
        )
    return x


def _prediction(x, num_classes, *, name):
    """Predict three candidates per cell -> (batch, candidates, 5 + num_classes)."""
    numbers = _BOX + 1 + num_classes
    per_cell = yolov3_grid.ANCHORS_PER_CELL
    prior = yolov3_loss.OBJECTNESS_PRIOR
    per_candidate = [0.0] * _BOX + [math.log(prior / (1 - prior))] + [0.0] * num_classes
    x = layers.Conv2D(
        per_cell * numbers,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        bias_initializer=keras.initializers.Constant(per_candidate * per_cell),
        dtype="float32",
        name=f"{name}_prediction",
    )(x)
    candidates = x.shape[1] * x.shape[2] * per_cell
    return layers.Reshape((candidates, numbers), dtype="float32", name=f"{name}_flat")(
        x
    )


def _convolution(x, filters, kernel_size, *, name):
    x = blocks.conv_norm_activation(
        x, filters, kernel_size, epsilon=darknet.EPSILON, activation=None, name=name
    )
    return layers.LeakyReLU(darknet.LEAK, name=f"{name}_leaky_relu")(x)
