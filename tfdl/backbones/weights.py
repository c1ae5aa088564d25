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
# Prefix of the layers of heads that serve training, such as "classifier_auxiliary1_fc",
# and suffix of each head's last layer.
AUXILIARY, AUXILIARY_LAST = f"{CLASSIFIER}_auxiliary", "_logits"


def load(model: keras.Model, path: str | os.PathLike) -> None:
    """Load a `.weights.h5` file, layer by layer, by name and shape.

    All layers must fit, with three exceptions. The last layer of a head, also of an
    auxiliary one, keeps its random weights if that of the file differs in the number of
    classes alone. An auxiliary head keeps all of them if the file has no layer of it.
    What the file has of a head and the model has not is left out.

    If `<path>.sha256` exists (a hexadecimal digest, what `sha256sum` writes), it is
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
        arrays = _read(model, stored_layers(file), path)
    for name, values in arrays.items():
        model.get_layer(name).set_weights(values)


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[h5py.File]:
    """Open an HDF5 file whose digest, if there is one beside it, is right.

    Raises:
        errors.ModelFileError: if it is missing, or damaged, also from within the `with`
            block.
    """
    try:
        if not path.exists():
            raise errors.ModelFileError(
                f"{path} does not exist.", "Give the path of an existing file."
            )
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


def stored_layers(file: h5py.File) -> dict[str, list[h5py.Dataset]]:
    """List layer name -> its datasets, in the order of the layer's weights.

    Args:
        file: of `keras.Model.save_weights`; see `opened`.

    Raises:
        ValueError: a dataset is a link to another place.
    """
    layers = {}

    def visit(place, group):
        # Keras writes each layer's variables as 0, 1, ... into a group "vars", and
        # those of a compiled model's optimizer beside them.
        if place.startswith("optimizer"):
            return
        if isinstance(group, h5py.Group) and "name" in group.attrs and len(group):
            layers[group.attrs["name"]] = [
                _linked(group, str(place)) for place in range(len(group))
            ]

    file.visititems(visit)  # follows no link out of the file
    return layers


def _linked(group, name):
    """Return a dataset of a group, which is no link to another place or file."""
    is_hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
    if not is_hard or not isinstance(group[name], h5py.Dataset):
        raise ValueError(
            f"{group.name}/{name} is a link or no array, which is not allowed"
        )
    return group[name]


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
        elif not _may_differ(layer.name, found, expected, stored):
            raise _misfit(
                path, model, f"layer {layer.name} has {found}, not {expected}"
            )
    surplus = stored.keys() - {layer.name for layer in layers}
    surplus = sorted(name for name in surplus if not name.startswith(CLASSIFIER))
    if surplus:
        raise _misfit(path, model, f"it has other layers, such as {surplus[0]}")
    return arrays


def _may_differ(name, found, expected, stored):
    """Whether a layer may keep its random weights: for other classes, or unused."""
    is_auxiliary = name.startswith(AUXILIARY)
    if is_auxiliary and not found:
        head = "_".join(name.split("_")[:2])  # classifier_auxiliary1
        return not any(other.startswith(f"{head}_") for other in stored)
    is_last = name == CLASSIFIER or (is_auxiliary and name.endswith(AUXILIARY_LAST))
    inputs = [[shape[:-1] for shape in shapes] for shapes in (found, expected)]
    return is_last and inputs[0] == inputs[1]


def _misfit(path, model, reason):
    return errors.ModelFileError(
        f"{path} does not fit {model.name}: {reason}.",
        "Give the weights of the same model, width and normalization.",
    )
