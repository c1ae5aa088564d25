"""Weights trained on ImageNet: those of keras.applications, for our models."""

import dataclasses
import re
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfdl import errors
from tfdl.backbones.weights import CLASSIFIER

WEIGHTS = "imagenet"  # the value of `weights` that asks for them
NUM_CLASSES = 1000


@dataclasses.dataclass(frozen=True)
class Published:
    """Where the weights of a model come from, and which layer takes which.

    Attributes:
        build: a function of keras.applications.
        name_of: our layer's name -> theirs; what Keras named itself ("conv2d_12") is
            counted from the model's first ("conv2d").
        stem: our layer that sees the normalised picture first.
        input_scale: their model -> what its normalised picture must be multiplied by
            to be ours, one factor for each channel; by default the two are equal.
        is_bgr: whether their pictures are blue, green, red.
    """

    build: Callable[..., keras.Model]
    name_of: Callable[[str], str]
    stem: str
    input_scale: Callable[[keras.Model], np.ndarray] = lambda theirs: np.ones(3)
    is_bgr: bool = False


def load(model: keras.Model, published: Published | None) -> None:
    """Download the weights, once, and give them to a model.

    Args:
        model: a backbone of the published width, whose pictures have three channels; a
            classifier of other than 1000 classes keeps its own last layer, and a model
            of feature maps takes no part of the head.
        published: where they come from, or None if there are none.

    Raises:
        errors.UsageError: if nobody publishes them, or the model has another width.
        errors.NetworkError: if they cannot be downloaded.
    """
    if published is None:
        raise errors.UsageError(
            f"`weights` cannot be {WEIGHTS!r} for {model.name}: keras.applications has "
            "none.",
            "Give the path of a .weights.h5 file, or choose vgg16 or resnet50_v1.",
        )
    try:
        theirs = published.build(weights=WEIGHTS, include_top=_needs_their_head(model))
    except Exception as error:
        if "URL fetch failure" not in str(error):
            raise
        raise errors.NetworkError(
            f"the ImageNet weights of {model.name} cannot be downloaded: {error}.",
            "Connect to the internet, or give the path of a .weights.h5 file.",
        ) from error
    transfer(theirs, model, published)


def transfer(theirs: keras.Model, model: keras.Model, published: Published) -> None:
    """Copy the weights of a model of keras.applications, layer by layer.

    The first kernel is adapted to our normalised picture; then both models give equal
    results, also at the padded edges, since both normalise their mean to zero.

    Args:
        theirs: a model of keras.applications.
        model: ours; takes all weights that it has, but for the classifier of another
            number of classes.
        published: as for `load`.

    Raises:
        errors.UsageError: if a layer has another shape, as it has at another width.
    """
    layers = _by_name(theirs)
    for layer in model.layers:
        if not layer.weights:
            continue
        if layer.name == CLASSIFIER and not _has_their_head(model):
            continue
        values = layers[published.name_of(layer.name)].get_weights()
        if layer.name == published.stem:
            scale = published.input_scale(theirs)
            values[0] = adapted(values[0], scale, is_bgr=published.is_bgr)
        _give(layer, values, model)


def adapted(kernel: np.ndarray, scale: Sequence[float], *, is_bgr: bool) -> np.ndarray:
    """Adapt a first kernel to pictures that are normalised in another way.

    Args:
        kernel: (height, width, 3, filters), of the published model.
        scale: what its normalised picture must be multiplied by to be ours, one factor
            for each channel in red, green, blue.
        is_bgr: whether its pictures are blue, green, red.

    Returns:
        The kernel that gives the same result from our normalised picture, likewise.
    """
    if is_bgr:
        kernel = kernel[:, :, ::-1]
    return kernel / np.asarray(scale, kernel.dtype)[:, np.newaxis]


def _needs_their_head(model):
    """Whether the last layer is theirs, or dense layers before it are."""
    hidden = [
        layer for layer in model.layers if layer.name.startswith(f"{CLASSIFIER}_")
    ]
    return _has_their_head(model) or any(layer.weights for layer in hidden)


def _has_their_head(model):
    classes = [layer.units for layer in model.layers if layer.name == CLASSIFIER]
    return classes == [NUM_CLASSES]


def _by_name(model):
    """Layers by name; those that Keras named are counted from the model's first.

    Keras counts "conv2d", "conv2d_1", ... through all models of a process.
    """
    layers, numbered = {}, {}
    for layer in model.layers:
        kind, number = re.fullmatch(r"(.*?)(?:_(\d+))?", layer.name).groups()
        if kind.replace("_", "") == type(layer).__name__.lower():
            numbered.setdefault(kind, {})[int(number or 0)] = layer
        else:
            layers[layer.name] = layer
    for kind, by_number in numbered.items():
        for place, number in enumerate(sorted(by_number)):
            layers[f"{kind}_{place}" if place else kind] = by_number[number]
    return layers


def _give(layer, values, model):
    # A dense layer over one pixel is a convolution, and the other way round.
    values = [
        value.reshape(weight.shape) if value.size == np.prod(weight.shape) else value
        for value, weight in zip(values, layer.weights, strict=True)
    ]
    found = [value.shape for value in values]
    expected = [tuple(weight.shape) for weight in layer.weights]
    if found != expected:
        raise errors.UsageError(
            f"the ImageNet weights do not fit {model.name}: layer {layer.name} has "
            f"{found}, not {expected}.",
            "Leave `width` and the picture's size and channels as published.",
        )
    layer.set_weights(values)
