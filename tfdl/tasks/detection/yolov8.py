"""YOLOv8: every cell says what is there, how sure it is, and how far its sides are.

There are no anchors: the network looks at strides 8, 16 and 32, joins the three maps
upwards and downwards, and each of their cells is a candidate for one object. Which
cells learn which object is decided from the predictions, see `task_aligned`.

Counting traps: the published counts (3,157,200 parameters of "n" with 80 classes) hold
16 frozen ones, the numbers 0 to 15 as a convolution, which are a constant here. They
count norm scales and offsets, not the moving averages. The head's hidden channels
depend on the number of classes: up to 100 of them, one channel each at least.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import keras
from keras import ops

from tfdl import errors
from tfdl.backbones import ends
from tfdl.layers import blocks
from tfdl.tasks.detection import detector as detection, distances, task_aligned, trunk

STRIDES = (8, 16, 32)
PRIOR = 0.01  # of every class, before anything is learned [Lin 2017, 4.1]

_MEAN, _STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)  # about those of photographs
_CHANNELS = (64, 128, 256, 512, 1024)  # of c1 to c5
_REPEATS = (3, 6, 6, 3)  # bottlenecks of c2 to c5
_NECK_REPEATS = 3
_DIVISOR = 16  # of channels; others are slower than they are small
_EPSILON = 1e-3
_POOL = 5
_MOST_CLASS_CHANNELS = 100
_BOX_CHANNELS = distances.SIDES * distances.BINS
# Small enough that the first loss is that of the prior and of equal bins.
_LAST_STDDEV = 0.01


@dataclasses.dataclass(frozen=True)
class Variant:
    """How much of the full network is taken.

    Attributes:
        depth: factor on the number of bottlenecks.
        width: factor on the number of channels.
        most_channels: limit of channels, before that factor.
    """

    depth: float
    width: float
    most_channels: int


VARIANTS = {
    "n": Variant(depth=1 / 3, width=0.25, most_channels=1024),
    "s": Variant(depth=1 / 3, width=0.5, most_channels=1024),
    "m": Variant(depth=2 / 3, width=0.75, most_channels=768),
    "l": Variant(depth=1.0, width=1.0, most_channels=512),
    "x": Variant(depth=1.0, width=1.25, most_channels=512),
}


def detector(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    variant: str = "n",
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> detection.Detector:
    """Build the network, with what it is trained towards and how it is read.

    Args:
        image_shape: (height, width, channels), sides multiples of 32.
        num_classes: number of classes, at least 1.
        variant: a key of `VARIANTS`.
        backbone: a key of `BACKBONES`, or None for YOLOv8's own.
        weights: of that backbone, "imagenet" or a file, or None for random ones.
        width: factor on the number of channels, of that backbone, too.

    Raises:
        UsageError: a side, the variant or the backbone does not fit.
        ModelFileError: the weights cannot be loaded.
        NetworkError: they cannot be downloaded.
    """
    built = network(
        image_shape,
        num_classes,
        variant=variant,
        backbone=backbone,
        weights=weights,
        width=width,
    )
    known = distances.candidates(tuple(image_shape[:2]), strides=STRIDES)
    return detection.Detector(
        network=built,
        targets=_targets,
        losses=functools.partial(task_aligned.losses, known=known),
        decode=functools.partial(_decode, known=known),
        start_losses=functools.partial(
            task_aligned.start_losses, known=known, num_classes=num_classes, prior=PRIOR
        ),
        smallest_stride=STRIDES[0],
    )


def network(
    image_shape: Sequence[int],
    num_classes: int,
    *,
    variant: str = "n",
    backbone: str | None = None,
    weights: str | None = None,
    width: float = 1.0,
) -> keras.Model:
    """Build the network: image -> logits of every candidate's sides and classes.

    The arguments are those of `detector`.

    Returns:
        A model from float32 (batch, height, width, channels) in [0, 1] to {"boxes":
        float32 (batch, candidates, 64), logits of the distances as `distances.by_side`
        takes them apart, "classes": float32 (batch, candidates, num_classes), logits}.
        Candidates are the cells of strides 8, 16 and 32, level by level, row by row.

    Deviations from the published model: the picture is normalised first; with a stride
    it is padded at the far sides alone; the norms' momentum is 0.9 (0.97); the class
    prior is 0.01 at every stride; another backbone comes without the pyramid of
    poolings behind its last map.

    Reference:
        Jocher et al., "YOLOv8", 2023 (no paper); its parts: Wang 2020, CSPNet; He
        2015, Spatial Pyramid Pooling; Liu 2018, Path Aggregation Network; Ge 2021,
        YOLOX (decoupled head); Li 2020, Generalized Focal Loss (distances).
    """
    _check(
        image_shape,
        num_classes,
        variant=variant,
        backbone=backbone,
        weights=weights,
    )
    chosen = VARIANTS[variant]
    channels = [
        blocks.scaled(
            min(full, chosen.most_channels), chosen.width * width, divisor=_DIVISOR
        )
        for full in _CHANNELS
    ]
    if backbone is None:
        inputs, features = _backbone(image_shape, channels, depth=chosen.depth)
    else:
        inputs, features = trunk.feature_maps(
            backbone, image_shape, weights=weights, width=width
        )
    maps = _neck(
        [features[level] for level in ("c3", "c4", "c5")],
        channels[2:],
        num_blocks=round(_NECK_REPEATS * chosen.depth),
    )
    box_channels = blocks.scaled(_BOX_CHANNELS, width, divisor=_DIVISOR)
    hidden = {
        "boxes": max(box_channels, channels[2] // 4),
        "classes": max(channels[2], min(num_classes, _MOST_CLASS_CHANNELS)),
    }
    biases = {"boxes": 0.0, "classes": -math.log((1 - PRIOR) / PRIOR)}
    sizes = {"boxes": _BOX_CHANNELS, "classes": num_classes}
    outputs = {
        name: _head(maps, hidden[name], sizes[name], bias=biases[name], name=name)
        for name in sizes
    }
    return keras.Model(inputs, outputs, name=f"yolov8{variant}")


def _check(image_shape, num_classes, *, variant, backbone, weights):
    ends.check_known_size(image_shape[:2], reason="the candidates of yolov8")
    if any(side % STRIDES[-1] for side in image_shape[:2]):
        raise errors.UsageError(
            f"--image-size must be a multiple of {STRIDES[-1]} for yolov8. Received "
            f"image_shape={tuple(image_shape)}.",
            "Give --image-size 640, or another multiple.",
        )
    ends.check_classifier(num_classes)
    if variant not in VARIANTS:
        raise errors.UsageError(
            f"`variant` must be one of {', '.join(VARIANTS)}. Received "
            f"variant={variant!r}.",
            "Choose one of these.",
        )
    if weights is not None and backbone is None:
        raise errors.UsageError(
            "`weights` are those of a backbone of the zoo, and yolov8's own has none. "
            f"Received weights={weights!r}.",
            "Choose a backbone, or leave the weights out.",
        )


def _backbone(image_shape, channels, *, depth):
    """Look at the picture -> its input and {"c2", ..., "c5"}."""
    inputs, x = ends.image_input(image_shape, mean=_MEAN, std=_STD)
    x = _convolution(x, channels[0], 3, strides=2, name="c1")
    features = {}
    for index, (filters, repeats) in enumerate(
        zip(channels[1:], _REPEATS, strict=True)
    ):
        level = f"c{index + 2}"
        x = _convolution(x, filters, 3, strides=2, name=f"{level}_down")
        x = _c2f(x, filters, round(repeats * depth), has_shortcut=True, name=level)
        features[level] = x
    features["c5"] = _pooled_pyramid(x, name="c5_pyramid")
    return inputs, features


def _neck(features, channels, *, num_blocks):
    """Join three maps, from the coarsest to the finest and back [Liu 2018]."""
    c3, c4, c5 = features
    join = functools.partial(_join, num_blocks=num_blocks)
    down = functools.partial(_convolution, kernel_size=3, strides=2)
    middle = join([_doubled(c5, name="p5_up"), c4], channels[1], name="p4_up")
    p3 = join([_doubled(middle, name="p4_doubled"), c3], channels[0], name="p3")
    p4 = join([down(p3, channels[0], name="p3_down"), middle], channels[1], name="p4")
    p5 = join([down(p4, channels[1], name="p4_down"), c5], channels[2], name="p5")
    return p3, p4, p5


def _head(maps, hidden, num_outputs, *, bias, name):
    """Predict from every cell of every map -> float32 (batch, candidates, outputs)."""
    outputs = []
    for stride, x in zip(STRIDES, maps, strict=True):
        prefix = f"{name}{stride}"
        x = _convolution(x, hidden, 3, name=f"{prefix}_1")
        x = _convolution(x, hidden, 3, name=f"{prefix}_2")
        x = keras.layers.Conv2D(
            num_outputs,
            1,
            kernel_initializer=keras.initializers.RandomNormal(stddev=_LAST_STDDEV),
            bias_initializer=keras.initializers.Constant(bias),
            dtype="float32",
            name=prefix,
        )(x)
        flat = keras.layers.Reshape(
            (-1, num_outputs), dtype="float32", name=f"{prefix}_flat"
        )
        outputs.append(flat(x))
    return keras.layers.Concatenate(axis=1, dtype="float32", name=name)(outputs)


def _c2f(x, filters, num_blocks, *, has_shortcut, name):
    """Add bottlenecks to half of the channels, and join all that they pass on."""
    half = filters // 2
    x = _convolution(x, 2 * half, 1, name=f"{name}_split")
    passed = list(ops.split(x, 2, axis=-1))
    for index in range(num_blocks):
        x = passed[-1]
        for step in (1, 2):
            x = _convolution(x, half, 3, name=f"{name}_block{index + 1}_{step}")
        if has_shortcut:
            x = keras.layers.Add(name=f"{name}_block{index + 1}_add")([x, passed[-1]])
        passed.append(x)
    x = keras.layers.Concatenate(name=f"{name}_concat")(passed)
    return _convolution(x, filters, 1, name=f"{name}_join")


def _pooled_pyramid(x, *, name):
    """Let each cell know its 5, 9 and 13 neighbours' largest values [He 2015]."""
    channels = x.shape[-1]
    pooled = [_convolution(x, channels // 2, 1, name=f"{name}_reduce")]
    for index in range(3):
        pool = keras.layers.MaxPooling2D(
            _POOL, 1, padding="same", name=f"{name}_pool{index + 1}"
        )
        pooled.append(pool(pooled[-1]))
    x = keras.layers.Concatenate(name=f"{name}_concat")(pooled)
    return _convolution(x, channels, 1, name=f"{name}_join")


def _join(maps, filters, *, num_blocks, name):
    x = keras.layers.Concatenate(name=f"{name}_in")(maps)
    return _c2f(x, filters, num_blocks, has_shortcut=False, name=name)


def _doubled(x, *, name):
    return keras.layers.UpSampling2D(2, interpolation="nearest", name=name)(x)


def _convolution(x, filters, kernel_size, *, strides=1, name):
    return blocks.conv_norm_activation(
        x,
        filters,
        kernel_size,
        strides=strides,
        padding="same",  # as far off a cell's centre as symmetric, without a copy
        epsilon=_EPSILON,
        activation="silu",
        name=name,
    )


def _targets(objects):
    """Leave the objects as they are: who learns what is known with the outputs."""
    return {name: objects[name] for name in ("boxes", "labels", "weights")}


def _decode(outputs, *, known):
    return {
        "boxes": distances.decode(outputs["boxes"], known),
        "scores": ops.sigmoid(outputs["classes"]),
    }
