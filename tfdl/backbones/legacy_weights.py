"""Loading weights that Keras 2 wrote, such as those of models converted from Caffe.

Such an `.h5` file has a group for each layer, in it "kernel:0", "bias:0" and so on.
Only names, shapes and numbers are read: no configuration of layers, which could hold
code, and no link out of the file.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import h5py
import keras

from tfdl import errors
from tfdl.backbones import imagenet, weights as weights_file


@dataclasses.dataclass(frozen=True)
class Legacy:
    """How a model's layers are named in such files, and what their pictures are.

    Attributes:
        name_of: our layer's name -> theirs.
        stem: our layer that sees the normalised picture first.
        input_scale: what their normalised picture must be multiplied by to be ours, one
            factor for each channel in red, green, blue.
        is_bgr: whether their pictures are blue, green, red.
    """

    name_of: Callable[[str], str]
    stem: str
    input_scale: Sequence[float] = (1.0, 1.0, 1.0)
    is_bgr: bool = False


def is_legacy(path: str | os.PathLike) -> bool:
    """Return whether this is the path of an `.h5` file that is no `.weights.h5`."""
    name = pathlib.Path(path).name
    return name.endswith(".h5") and not name.endswith(".weights.h5")


def load(model: keras.Model, path: str | os.PathLike, legacy: Legacy) -> None:
    """Load such a file, layer by layer, by name and shape: all that fit, or nothing.

    All layers must fit, except that a classifier keeps its random weights if the file
    has none ("notop") or one for another number of classes, and that a model of feature
    maps takes no classifier. A digest beside the file is verified as by `weights.load`.

    Args:
        model: a backbone whose normalised pictures have three channels.
        path: a file written by `save_weights` of Keras 2.
        legacy: how the file names the layers.

    Raises:
        errors.ModelFileError: if the file is missing, damaged or of another model.
    """
    path = pathlib.Path(path)
    layers = [layer for layer in model.layers if layer.weights]
    names = {layer.name: legacy.name_of(layer.name) for layer in layers}
    with weights_file.opened(path) as file:
        stored = _stored_layers(
            file, {*names.values(), legacy.name_of(weights_file.CLASSIFIER)}
        )
        if surplus := stored.pop(None, None):
            raise _misfit(path, model, f"it has other weights, such as {min(surplus)}")
        arrays = {
            layer.name: _read(layer, stored.get(names[layer.name], {}), path, model)
            for layer in layers
        }
    kernel = arrays[legacy.stem][0]
    if kernel.shape[2] != len(legacy.input_scale):
        raise _misfit(path, model, f"its pictures have {kernel.shape[2]} channels")
    arrays[legacy.stem][0] = imagenet.adapted(
        kernel, legacy.input_scale, is_bgr=legacy.is_bgr
    )
    for layer in layers:
        if arrays[layer.name]:
            layer.set_weights(arrays[layer.name])


def _stored_layers(file, names):
    """Layer name -> {"kernel": dataset, ...}; under None what belongs to no layer."""
    layers = {}

    def visit(place, item):
        if not isinstance(item, h5py.Dataset):
            return
        owners = [name for name in names if place.startswith(f"{name}/")]
        weight = place.rsplit("/", 1)[-1].removesuffix(":0")
        if len(owners) == 1 and weight not in layers.setdefault(owners[0], {}):
            layers[owners[0]][weight] = item
        else:
            layers.setdefault(None, {})[place] = item

    file.visititems(visit)  # follows no link out of the file
    return layers


def _read(layer, datasets, path, model):
    """Arrays in the order of the layer's weights; none for a classifier of its own."""
    expected = {weight.name: tuple(weight.shape) for weight in layer.weights}
    found = {name: dataset.shape for name, dataset in datasets.items()}
    if found == expected:
        return [_floats(datasets[name]) for name in expected]
    is_other_head = not found or found.keys() == expected.keys()
    if layer.name == weights_file.CLASSIFIER and is_other_head:
        return []
    raise _misfit(path, model, f"layer {layer.name} has {found}, not {expected}")


def _floats(dataset):
    if dataset.dtype.kind != "f":
        raise ValueError(f"{dataset.name} holds {dataset.dtype}, not numbers")
    return weights_file.read_values(dataset)


def _misfit(path, model, reason):
    return errors.ModelFileError(
        f"{path} does not fit {model.name}: {reason}.",
        "Give the weights of the same model, width and picture channels.",
    )
