"""How does a detector start from the weights of another one?"""

import os
import pathlib

import keras

from tfdl import errors
from tfdl.backbones import weights

# Layers with one output or more for each class: `classes8` of yolov8, `classes_last` of
# retinanet, `head_c3_prediction` of yolov3.
_OF_CLASSES = ("classes", "prediction")


def are_of_detector(path: str | os.PathLike) -> bool:
    """Tell whether a file has the layers of a detector, and not a backbone's alone.

    Args:
        path: a `.weights.h5` file; another kind is none of a detector.

    Raises:
        ModelFileError: the file is missing or damaged.
    """
    path = pathlib.Path(path)
    if not path.name.endswith(".weights.h5"):
        return False
    with weights.opened(path) as file:
        return any(_depends_on_classes(name) for name in weights.stored_layers(file))


def load(network: keras.Model, path: str | os.PathLike) -> None:
    """Load the weights of the same kind of detector, layer by layer, by name.

    The layers that depend on the classes keep their random weights where those of the
    file are of another shape; all others must fit.

    Args:
        network: of a `detector.Detector`.
        path: what `train` left as `best.weights.h5`, whose digest is beside it.

    Raises:
        ModelFileError: the file is missing, damaged or of another detector.
    """
    path = pathlib.Path(path)
    with weights.opened(path) as file:
        stored = {
            name: [weights.read_values(dataset) for dataset in datasets]
            for name, datasets in weights.stored_layers(file).items()
        }
    layers = {layer.name: layer for layer in network.layers if layer.weights}
    fitting = {n for n in layers.keys() & stored.keys() if _fits(layers[n], stored[n])}
    unlike = sorted(
        n
        for n in layers.keys() ^ stored.keys() | layers.keys() - fitting
        if not (n in layers.keys() & stored.keys() and _depends_on_classes(n))
    )
    if unlike:
        raise errors.ModelFileError(
            f"{path} does not fit {network.name}: layer {unlike[0]} is missing or has "
            "another shape.",
            "Give the weights of the same --model, --backbone and --width.",
        )
    for name in fitting:
        layers[name].set_weights(stored[name])


def _fits(layer: keras.layers.Layer, values) -> bool:
    expected = [tuple(weight.shape) for weight in layer.weights]
    return expected == [value.shape for value in values]


def _depends_on_classes(name: str) -> bool:
    return any(part in name for part in _OF_CLASSES)
