"""One version of a model: its signatures, what they take and return, and running one.

What a signature takes is read from the SavedModel's own definition, as TensorFlow
Serving reads it, and not from Python's view of the loaded functions.
"""

import dataclasses
import logging
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format, message
from tensorflow.core.protobuf import saved_model_pb2

from tfdl import errors
from tfdl.serving import failures

DEFAULT_SIGNATURE = "serving_default"
MAX_VERSION = 2**63 - 1
_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Signature:
    """A function of a SavedModel.

    Args:
        inputs: name -> shape and dtype, in alphabetical order.
        function: takes tensors by these names and returns a dict of tensors.
    """

    inputs: Mapping[str, tf.TensorSpec]
    function: Callable[..., dict[str, tf.Tensor]]

    def run(self, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run it; TensorFlow releases Python's lock meanwhile.

        Args:
            tensors: one of each of `inputs`, of its dtype.

        Returns:
            name -> tensor, in alphabetical order.

        Raises:
            Failure: a shape does not fit.
            tf.errors.OpError: what the graph says of the values.
        """
        for name, spec in self.inputs.items():
            if not spec.shape.is_compatible_with(tensors[name].shape):
                raise failures.invalid(
                    f'Input "{name}" expects shape {_show(spec.shape)} but got: '
                    f"{_show(tensors[name].shape)}"
                )
        outputs = self.function(
            **{
                name: tf.constant(tensors[name], spec.dtype)
                for name, spec in self.inputs.items()
            }
        )
        return {name: _array(outputs[name]) for name in sorted(outputs)}


@dataclasses.dataclass(frozen=True)
class Servable:
    """A loaded version of a model.

    Args:
        name: what clients call the model.
        version: the number of its folder.
        signatures: name -> signature.
        definitions: name -> SignatureDef in JSON's form, for clients that ask.
        loaded: what TensorFlow loaded; the functions need it to live.
    """

    name: str
    version: int
    signatures: Mapping[str, Signature]
    definitions: Mapping[str, Any]
    loaded: Any


def newest_version(base: pathlib.Path, *, name: str) -> tuple[int, pathlib.Path]:
    """Find the version to serve.

    Args:
        base: folder of versions; in it, only folders named by a number count.
        name: what the model is called in a message.

    Returns:
        The largest number, and its folder.

    Raises:
        ModelFileError: there is no such folder, or no version in it.
    """
    if not base.is_dir():
        raise errors.ModelFileError(
            f"--model_base_path {base} is not a folder",
            "name the folder that holds the versions, savedmodels/NAME",
        )
    folders: dict[int, pathlib.Path] = {}
    for path in sorted(base.iterdir()):
        if re.fullmatch("[0-9]+", path.name) and path.is_dir():
            version = int(path.name)
            if version in folders:
                _LOGGER.warning("%s is version %d again, not served", path, version)
            elif version <= MAX_VERSION:
                folders[version] = path
    if not folders:
        raise errors.ModelFileError(
            f"No versions of servable {name} found under base path {base}. Did you "
            "forget to name your leaf directory as a number (eg. '/1/')?",
            "export a run first, or name the folder above the number",
        )
    return max(folders.items())


def load(folder: pathlib.Path, *, name: str, version: int) -> Servable:
    """Load a version.

    Args:
        folder: of a SavedModel.
        name: what clients call the model.
        version: its number.

    Returns:
        The version, ready to run.

    Raises:
        ModelFileError: there is no SavedModel, or it is damaged.
    """
    try:
        definitions = _read_definitions(folder)
        loaded = tf.saved_model.load(str(folder))
    except (OSError, ValueError, message.DecodeError, tf.errors.OpError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise errors.ModelFileError(
            f"{folder} cannot be loaded: {reason}", "export the run again"
        ) from error
    signatures = {
        signature: Signature(_inputs(definitions[signature]), function)
        for signature, function in loaded.signatures.items()
    }
    shown = {
        signature: json_format.MessageToDict(
            definition,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for signature, definition in definitions.items()
    }
    return Servable(name, version, signatures, shown, loaded)


def _read_definitions(folder: pathlib.Path) -> dict[str, Any]:
    """Read the SignatureDefs of the graph that is meant for serving."""
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    for graph in model.meta_graphs:
        if tf.saved_model.SERVING in graph.meta_info_def.tags:
            return dict(graph.signature_def)
    raise ValueError(f"none of its graphs has the tag {tf.saved_model.SERVING}")


def _inputs(definition) -> dict[str, tf.TensorSpec]:
    return {
        name: tf.TensorSpec(
            tf.TensorShape(info.tensor_shape), tf.dtypes.as_dtype(info.dtype)
        )
        for name, info in sorted(definition.inputs.items())
    }


def _array(tensor: tf.Tensor) -> np.ndarray:
    """Return a tensor's array; `numpy` alone makes `bytes` of a scalar string."""
    return np.asarray(tensor.numpy(), tensor.dtype.as_numpy_dtype)


def _show(shape) -> str:
    """Write a shape as TensorFlow Serving's messages do."""
    sizes = [-1 if size is None else size for size in tuple(shape)]
    return f"[{','.join(map(str, sizes))}]"
