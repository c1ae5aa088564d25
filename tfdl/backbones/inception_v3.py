"""Inception V3: factorised convolutions, at 299 pixels [Szegedy 2016].

Counting traps: 23,817,352 trainable parameters with 1000 classes (23,851,784 with the
moving averages) belong to batch norms without scale, as in TensorFlow; with scales, as
in torchvision, there are 23,834,568, and 27,161,264 with its auxiliary head.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import keras

from tfdl import errors
from tfdl.backbones import ends, imagenet
from tfdl.backbones.weights import AUXILIARY, AUXILIARY_LAST, CLASSIFIER
from tfdl.layers import blocks, norms

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)  # TensorFlow's pictures are in [-1, 1]
EPSILON = 1e-3


class Unit(NamedTuple):
    """A convolution, followed by a norm and ReLU."""

    channels: int
    kernel_size: int | tuple[int, int]
    strides: int = 1
    padding: str = "same"


STEM = {
    "conv1": Unit(32, 3, 2, "valid"),
    "conv2": Unit(32, 3, 1, "valid"),
    "conv3": Unit(64, 3),  # then a pooling
    "conv4": Unit(80, 1),
    "conv5": Unit(192, 3, 1, "valid"),  # then a pooling
}


def _figure5(channels):
    return {
        "1x1": [Unit(64, 1)],
        "5x5": [Unit(48, 1), Unit(64, 5)],
        "double": [Unit(64, 1), Unit(96, 3), Unit(96, 3)],
        "pool": [Unit(channels, 1)],
    }


def _figure6(channels):
    row, column = Unit(channels, (1, 7)), Unit(channels, (7, 1))
    last_row, last_column = Unit(192, (1, 7)), Unit(192, (7, 1))
    return {
        "1x1": [Unit(192, 1)],
        "7x7": [Unit(channels, 1), row, last_column],
        "double": [Unit(channels, 1), column, row, column, last_row],
        "pool": [Unit(192, 1)],
    }


def _figure7():
    split = [Unit(384, (1, 3)), Unit(384, (3, 1))]  # side by side
    return {
        "1x1": [Unit(320, 1)],
        "3x3": [Unit(384, 1), split],
        "double": [Unit(448, 1), Unit(384, 3), split],
        "pool": [Unit(192, 1)],
    }


# Module -> branch -> steps. Where nothing follows the pooling, the module halves the
# map [section 5, figure 10].
MODULES = {
    "mixed0": _figure5(32),
    "mixed1": _figure5(64),
    "mixed2": _figure5(64),
    "mixed3": {
        "3x3": [Unit(384, 3, 2, "valid")],
        "double": [Unit(64, 1), Unit(96, 3), Unit(96, 3, 2, "valid")],
        "pool": [],
    },
    "mixed4": _figure6(128),
    "mixed5": _figure6(160),
    "mixed6": _figure6(160),
    "mixed7": _figure6(192),
    "mixed8": {
        "3x3": [Unit(192, 1), Unit(320, 3, 2, "valid")],
        "7x7": [
            Unit(192, 1),
            Unit(192, (1, 7)),
            Unit(192, (7, 1)),
            Unit(192, 3, 2, "valid"),
        ],
        "pool": [],
    },
    "mixed9": _figure7(),
    "mixed10": _figure7(),
}
# The last map of each stride.
LEVELS = {
    "conv3": "c1",
    "conv5": "c2",
    "mixed2": "c3",
    "mixed7": "c4",
    "mixed10": "c5",
}
MIN_SIZE = 75  # pixels, for 1 x 1 in the last map


def inception_v3(
    image_shape: Sequence[int | None],
    num_classes: int | None = 1000,
    weights: str | None = None,
    width: float = 1.0,
    output_stride: int = 32,
    *,
    normalization: str = "batch",
    dropout_rate: float = 0.2,
    spatial_dropout_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    auxiliary: bool = False,
    norm_scale: bool = False,
) -> keras.Model:
    """Build Inception V3 whose arithmetic is TensorFlow's and keras.applications'.

    Feature maps: c1 to c5 (strides 2, 4, 8, 16, 32) with 64, 192, 288, 768, 2048
    channels: after conv3, conv5, and the modules 2, 7, 10. Many convolutions do not
    pad, so the maps are smaller than picture / stride: 147, 71, 35, 17, 8 for 299
    pixels and 109, 52, 25, 12, 5 for 224. Pictures have at least 75 pixels.

    Deviations from the paper: conv4 is 1 x 1 and a pooling follows conv5, where table 1
    has a strided 3 x 3 between two others, and dropout is 0.2, both as in the authors'
    program, whose weights are published. He initialisation; dropout of channels, width
    and other norms are options.

    The arguments are those of every backbone, see `tfdl.backbones`; `output_stride` is
    32. With `auxiliary` the classifier has one more output, from module 7, for
    training: the authors add its loss with weight 0.4. It needs pictures of 107
    pixels or more. With `norm_scale` each batch norm has a scale, as in torchvision,
    whose count then is met; it is redundant, since the next convolution scales too.

    Returns:
        The model; logits float32 (batch, num_classes), with `auxiliary` {"logits",
        "auxiliary"} of such, or {"c1", ..., "c5"}.

    Raises:
        errors.UsageError: also if the picture is too small.

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
        2016.
    """
    ends.refuse_drop_path(drop_path_rate, name="inception_v3")
    ends.check_output_stride(output_stride, (32,))
    ends.check_size(image_shape, MIN_SIZE, name="inception_v3")
    inputs, x = ends.image_input(image_shape, mean=MEAN, std=STD)
    convolve = Convolution(width, normalization, has_scale=norm_scale)
    features = _features(x, convolve, spatial_dropout_rate)

    def classify():
        x = ends.pooled(features["c5"])
        logits = ends.classifier(x, num_classes, dropout_rate=dropout_rate)
        if not auxiliary:
            return logits
        head = _auxiliary(features["c4"], num_classes, convolve)
        return {"logits": logits, "auxiliary": head}

    if auxiliary and num_classes is None:
        raise errors.UsageError(
            "`auxiliary` must be False for feature maps. Received auxiliary=True.",
            "Give a number of classes, or leave `auxiliary` out.",
        )
    return ends.model(
        "inception_v3",
        inputs,
        features,
        classify,
        num_classes=num_classes,
        weights=weights,
        published=None if norm_scale else published(),
    )


def published() -> imagenet.Published:
    """Return where ImageNet's weights come from."""
    return imagenet.Published(
        keras.applications.InceptionV3,
        name_of=counted_names(MODULES, {CLASSIFIER: "predictions"}),
        stem="conv1_conv",
    )


def counted_names(
    modules: Mapping[str, Mapping], named: Mapping[str, str]
) -> Callable[[str], str]:
    """Return what maps our layers' names to those that Keras counted.

    Args:
        modules: as `MODULES`, those after `STEM` in the order of their creation.
        named: our name -> theirs, of the layers that have one.
    """
    number_of = {name: number for number, name in enumerate(_unit_names(modules))}
    kinds = {"conv": "conv2d", "norm": "batch_normalization"}

    def name_of(name):
        if name in named:
            return named[name]
        convolution, kind = name.rsplit("_", 1)
        number = number_of[convolution]
        return f"{kinds[kind]}_{number}" if number else kinds[kind]

    return name_of


class Convolution:
    """What adds a unit to the graph, with the same options each time.

    Args:
        width: factor on the number of channels.
        normalization: a kind of `norms.normalization`.
        has_scale: whether a batch norm has one; the other kinds have it always.
    """

    def __init__(self, width: float, normalization: str, *, has_scale: bool):
        self.width = width
        self.normalization = normalization
        self.has_scale = has_scale

    def __call__(
        self, x: keras.KerasTensor, unit: Unit, *, name: str
    ) -> keras.KerasTensor:
        """Add a unit to `x`, float (batch, height, width, channels)."""
        x = blocks.convolution(
            x,
            blocks.scaled(unit.channels, self.width),
            unit.kernel_size,
            strides=unit.strides,
            padding=unit.padding,
            use_bias=False,
            name=f"{name}_conv",
        )
        x = self._norm(f"{name}_norm")(x)
        return keras.layers.Activation("relu", name=f"{name}_relu")(x)

    def _norm(self, name):
        if self.normalization == "batch":
            return norms.BatchNormalization(
                scale=self.has_scale, epsilon=EPSILON, name=name
            )
        return norms.normalization(self.normalization, epsilon=EPSILON, name=name)


def stem(
    x: keras.KerasTensor, convolve: Convolution, *, spatial_dropout_rate: float
) -> tuple[keras.KerasTensor, dict[str, keras.KerasTensor]]:
    """Add the convolutions and poolings before the first module.

    Args:
        x: the normalised picture, float (batch, height, width, channels).
        convolve: adds a unit.
        spatial_dropout_rate: of the maps.

    Returns:
        float (batch, height / 8, width / 8, 192), and the maps {"c1", "c2"}.
    """
    features = {}
    for name, unit in STEM.items():
        x = convolve(x, unit, name=name)
        if level := LEVELS.get(name):
            x = blocks.spatial_dropout(x, spatial_dropout_rate, name=level)
            features[level] = x
            x = blocks.max_pool(x, 3, 2, padding="valid", name=f"{level}_pool")
    return x, features


def module(
    x: keras.KerasTensor,
    branches: Mapping[str, Sequence],
    convolve: Convolution,
    *,
    name: str,
) -> keras.KerasTensor:
    """Add the branches of a module side by side, and join their channels.

    Args:
        x: float (batch, height, width, channels).
        branches: branch -> steps, as in `MODULES`.
        convolve: adds a unit.
        name: prefix of the layers' names.

    Returns:
        float of the same height and width, or of half of them.
    """
    outputs = []
    for branch, steps in branches.items():
        start = x
        if branch == "pool":
            start = _pool(x, halves=not steps, name=f"{name}_pool")
        outputs.append(_branch(start, steps, convolve, name=f"{name}_{branch}"))
    return keras.layers.Concatenate(name=f"{name}_concat")(outputs)


def _features(x, convolve, spatial_dropout_rate):
    x, features = stem(x, convolve, spatial_dropout_rate=spatial_dropout_rate)
    for name, branches in MODULES.items():
        x = module(x, branches, convolve, name=name)
        if level := LEVELS.get(name):
            x = blocks.spatial_dropout(x, spatial_dropout_rate, name=level)
            features[level] = x
    return features


def _pool(x, *, halves, name):
    if halves:
        return blocks.max_pool(x, 3, 2, padding="valid", name=name)
    # TensorFlow's averages leave the padding out, torchvision's count its zeros.
    return keras.layers.AveragePooling2D(3, 1, padding="same", name=name)(x)


def _branch(x, steps, convolve, *, name):
    for units in _named_steps(steps, name):
        outputs = [convolve(x, unit, name=label) for label, unit in units.items()]
        x = outputs[0]
        if len(outputs) > 1:
            x = keras.layers.Concatenate(name=f"{name}_concat")(outputs)
    return x


def _named_steps(steps, name) -> Iterator[dict[str, Unit]]:
    """Each step as name -> unit: of one, or of two side by side."""
    for number, step in enumerate(steps, start=1):
        if isinstance(step, Unit):
            yield {f"{name}_{number}": step}
        else:
            yield {
                f"{name}_{number}{letter}": unit
                for letter, unit in zip("ab", step, strict=True)
            }


def _unit_names(modules) -> Iterator[str]:
    yield from STEM
    for name, branches in modules.items():
        for branch, steps in branches.items():
            for units in _named_steps(steps, f"{name}_{branch}"):
                yield from units


def _auxiliary(x, num_classes, convolve):
    """Logits of a smaller classifier [section 4, figure 8]."""
    name = AUXILIARY
    window = 5
    if any(size is not None and size < window for size in x.shape[1:3]):
        raise errors.UsageError(
            "`image_shape` must be at least 107 pixels high and wide for `auxiliary`. "
            f"Received one whose map before the last reduction is {x.shape[1:3]}.",
            "Enlarge the pictures, or leave `auxiliary` out.",
        )
    x = keras.layers.AveragePooling2D(window, 3, name=f"{name}_pool")(x)
    x = convolve(x, Unit(128, 1), name=f"{name}_projection")
    # The whole map at 299 pixels; smaller pictures give smaller ones.
    whole = tuple(min(window, size or window) for size in x.shape[1:3])
    x = convolve(x, Unit(768, whole, 1, "valid"), name=f"{name}_whole")
    x = keras.layers.GlobalAveragePooling2D(dtype="float32", name=f"{name}_mean")(x)
    return keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name=f"{name}{AUXILIARY_LAST}",
    )(x)
