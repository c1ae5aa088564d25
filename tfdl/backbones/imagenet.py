"""Weights trained on ImageNet: those of keras.applications, for our models."""

import dataclasses
import re
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfdl import errors
from tfdl.backbones.weights import AUXILIARY, CLASSIFIER

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
            classifier of other than 1000 classes keeps its own last layer, auxiliary
            classifiers all of theirs, and a model of feature maps takes no part of the
            head.
        published: where they come from, or None if there are none.

    Raises:
        errors.UsageError: if nobody publishes them, or the model has another width,
            before anything is downloaded.
        errors.NetworkError: if they cannot be downloaded.
    """
    if published is None:
        raise errors.UsageError(
            f"`weights` cannot be {WEIGHTS!r} for {model.name}: keras.applications has "
            "none.",
            "Give the path of a .weights.h5 file, or choose vgg16 or resnet50_v1.",
        )
    include_top = _needs_their_head(model)
    _check(published.build(weights=None, include_top=include_top), model, published)
    try:
        theirs = published.build(weights=WEIGHTS, include_top=include_top)
    except Exception as error:
        # Keras raises a bare Exception for most failures; timeouts are an OSError.
        is_of_network = isinstance(error, OSError) or "URL fetch failure" in str(error)
        if not is_of_network:
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
            number of classes, and for auxiliary ones.
        published: as for `load`.

    Raises:
        errors.UsageError: if a layer has another shape, as it has at another width.
    """
    _check(theirs, model, published)
    for layer, source in _pairs(theirs, model, published):
        values = source.get_weights()
        if layer.name == published.stem:
            scale = published.input_scale(theirs)
            values[0] = adapted(values[0], scale, is_bgr=published.is_bgr)
        layer.set_weights(
            [
                value.reshape(weight.shape)
                for value, weight in zip(values, layer.weights, strict=True)
            ]
        )


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
        layer
        for layer in model.layers
        if layer.name.startswith(f"{CLASSIFIER}_")
        and not layer.name.startswith(AUXILIARY)
    ]
    return _has_their_head(model) or any(layer.weights for layer in hidden)


def _has_their_head(model):
    classes = [layer.units for layer in model.layers if layer.name == CLASSIFIER]
    return classes == [NUM_CLASSES]


def _pairs(theirs, model, published):
    """Each layer of ours that takes weights, with that of theirs which gives them."""
    layers = _by_name(theirs)
    for layer in model.layers:
        if not layer.weights or layer.name.startswith(AUXILIARY):
            continue
        if layer.name == CLASSIFIER and not _has_their_head(model):
            continue
        yield layer, layers[published.name_of(layer.name)]


def _check(theirs, model, published):
    for layer, source in _pairs(theirs, model, published):
        found, expected = _shapes(source), _shapes(layer)
        # A dense layer over one pixel is a convolution, and the other way round.
        if [_without_ones(shape) for shape in found] != [
            _without_ones(shape) for shape in expected
        ]:
            raise errors.UsageError(
                f"the ImageNet weights do not fit {model.name}: layer {layer.name} has "
                f"{found}, not {expected}.",
                "Leave `width`, `normalization` and the picture's size and channels as "
                "published.",
            )


def _shapes(layer):
    return [tuple(weight.shape) for weight in layer.weights]


def _without_ones(shape):
    return tuple(size for size in shape if size != 1)


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
