"""Loading a backbone from a weights file: what must fit and what may differ."""

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterator

import h5py
import keras
import numpy as np

from tfdl import errors

# The layer that depends on the number of classes; a head's other layers that a feature
# extractor does not have are named with it as prefix.
CLASSIFIER = "classifier"


def load(model: keras.Model, path: str | os.PathLike) -> None:
    """Load a `.weights.h5` file, layer by layer, by name and shape.

    All layers must fit, except that a classifier for another number of classes keeps
    its random weights, as do auxiliary ones that are not in the file, and that a model
    of feature maps takes no part of the head. If
    `<path>.sha256` exists (a hexadecimal digest, what `sha256sum` writes), it is
    verified first: HDF5 itself does not notice a flipped bit.

    Args:
        model: a backbone; its layers have unique names.
        path: a file written by `keras.Model.save_weights`.

    Raises:
        errors.ModelFileError: if the file is missing, damaged or of another model.
    """
    path = pathlib.Path(path)
    if not path.name.endswith(".weights.h5"):
        raise errors.ModelFileError(
            f"`weights` must be a `.weights.h5` file. Received weights={path}.",
            "Write one with `model.save_weights`.",
        )
    with opened(path) as file:
        arrays = _read(model, _stored_layers(file), path)
    for name, values in arrays.items():
        model.get_layer(name).set_weights(values)


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[h5py.File]:
    """Open an HDF5 file whose digest, if there is one beside it, is right.

    Raises:
        errors.ModelFileError: if it is damaged, also from within the `with` block.
    """
    try:
        _verify_digest(path)
        with h5py.File(path, "r") as file:
            yield file
    # What h5py raises, by where in the file the damage lies.
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise errors.ModelFileError(
            f"{path} cannot be read: {error}.", "Copy or download the file again."
        ) from error


def read_values(dataset: h5py.Dataset) -> np.ndarray:
    """Read a dataset that lies in the file itself.

    Raises:
        ValueError: if it lies in another one.
    """
    if dataset.external or dataset.is_virtual:
        raise ValueError("it keeps its values in other files, which is not allowed")
    return dataset[()]


def _verify_digest(path):
    sidecar = path.with_name(path.name + ".sha256")
    if not sidecar.exists():
        return
    expected = sidecar.read_text().split()
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if expected[:1] != [actual]:
        raise errors.ModelFileError(
            f"{path} is damaged: its digest is not that of {sidecar.name}.",
            "Copy or download both files again.",
        )


def _stored_layers(file):
    """Layer name -> its datasets in the order of the layer's weights."""
    layers = {}

    def visit(place, group):
        # Keras writes each layer's variables as 0, 1, ... into a group "vars", and
        # those of a compiled model's optimizer beside them.
        if place.startswith("optimizer"):
            return
        if isinstance(group, h5py.Group) and "name" in group.attrs and len(group):
            layers[group.attrs["name"]] = [
                group[str(place)] for place in range(len(group))
            ]

    file.visititems(visit)  # follows no link out of the file
    return layers


def _read(model, stored, path):
    """Layer name -> arrays, for all layers of the model that the file must fill."""
    arrays = {}
    layers = [layer for layer in model.layers if layer.weights]
    for layer in layers:
        datasets = stored.get(layer.name, [])
        found = [dataset.shape for dataset in datasets]
        expected = [tuple(weight.shape) for weight in layer.weights]
        if found == expected:
            arrays[layer.name] = [read_values(dataset) for dataset in datasets]
        elif not _may_differ(layer.name, found):
            raise _misfit(
                path, model, f"layer {layer.name} has {found}, not {expected}"
            )
    surplus = stored.keys() - {layer.name for layer in layers}
    surplus = sorted(name for name in surplus if not name.startswith(CLASSIFIER))
    if surplus:
        raise _misfit(path, model, f"it has other layers, such as {surplus[0]}")
    return arrays


def _may_differ(name, found):
    """Whether a layer may keep its random weights: for other classes, or unused."""
    if name.startswith(f"{CLASSIFIER}_auxiliary"):
        return True
    return name == CLASSIFIER and found


def _misfit(path, model, reason):
    return errors.ModelFileError(
        f"{path} does not fit {model.name}: {reason}.",
        "Give the weights of the same model, width and normalization.",
    )
