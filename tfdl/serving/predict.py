"""How a predict request is answered: JSON object -> tensors -> signature -> JSON text.

A request gives its tensors by rows (`instances`, answered by `predictions`) or by
columns (`inputs`, answered by `outputs`). The words of the failures are TensorFlow
Serving's.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfdl.serving import documents, failures, pictures, servable, tensors

# The string inputs that hold encoded pictures, in every export of ours.
PICTURES = "image_bytes"
_BYTES_SUFFIX = "_bytes"

Specs = Mapping[str, tf.TensorSpec]


def answer(
    version: servable.Servable, document: Mapping[str, Any], *, max_pixels: int
) -> str:
    """Answer a request.

    Args:
        version: what answers.
        document: `instances` or `inputs`, and `signature_name` if it is not the default
            one. Other keys are ignored.
        max_pixels: most pixels of a picture among the inputs.

    Returns:
        The JSON text of the response.

    Raises:
        Failure: the request does not fit the signature.
        DataError: a picture is too large, or none.
        tf.errors.OpError: what the graph says of the values.
    """
    signature = _find_signature(version, document)
    by_rows = _is_by_rows(document)
    given = document["instances" if by_rows else "inputs"]
    inputs = (_read_rows if by_rows else _read_columns)(given, signature.inputs)
    _check_pictures(inputs, max_pixels)
    outputs = signature.run(inputs)
    if by_rows:
        response = {"predictions": _write_rows(outputs)}
    else:
        response = {"outputs": _single(_write_columns(outputs))}
    return json.dumps(response, ensure_ascii=False)


def _find_signature(version, document) -> servable.Signature:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise failures.invalid(
            f"JSON Value: {documents.excerpt(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    name = name or servable.DEFAULT_SIGNATURE
    if name not in version.signatures:
        raise failures.invalid(
            f'Serving signature name: "{failures.short(name)}" not found in signature '
            "def"
        )
    if not version.signatures[name].inputs:
        raise failures.invalid(f"Failed to get input map for signature: {name}")
    return version.signatures[name]


def _is_by_rows(document) -> bool:
    """Say whether a request is by rows, or refuse it if it has no right form."""
    if "instances" not in document:
        if "inputs" not in document:
            raise failures.invalid("Missing 'inputs' or 'instances' key")
        return False
    instances = document["instances"]
    fault = ""
    if "inputs" in document:
        fault = (
            "Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    elif not isinstance(instances, list):
        fault = "Expecting 'instances' to be an list/array"
    elif not instances:
        fault = "No values in 'instances' array"
    if fault:
        raise failures.invalid(f"JSON Value: {documents.excerpt(document)} {fault}")
    return True


def _read_rows(instances: list, specs: Specs) -> dict[str, np.ndarray]:
    """Read one tensor of each input from a list of values, or of objects of them."""
    has_names = _has_names(instances[0])
    if len(specs) > 1 and not has_names:
        raise failures.invalid(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    for number, instance in enumerate(instances):
        if _has_names(instance) != has_names:
            kinds = "object but got list" if has_names else "value/list but got object"
            raise failures.invalid(f"Expecting {kinds} at item {number} of input list")
    if not has_names:
        return {name: _read_row_tensor(instances, spec) for name, spec in specs.items()}
    for number, instance in enumerate(instances):
        _check_names(instance, specs, number)
    return {
        name: _read_row_tensor([row[name] for row in instances], spec, key=name)
        for name, spec in specs.items()
    }


def _has_names(instance: Any) -> bool:
    return isinstance(instance, dict) and not tensors.is_base64(instance)


def _check_names(instance: dict, specs: Specs, number: int) -> None:
    for name in instance:
        if name not in specs:
            raise failures.invalid(
                f"Failed to process element: {number} key: {failures.short(name)} of "
                "'instances' list. Error: INVALID_ARGUMENT: JSON object: does not have "
                f"named input: {failures.short(name)}"
            )
    if len(instance) < len(specs):
        raise failures.invalid(
            f"Failed to process element: {number} of 'instances' list. JSON object: "
            f"{documents.excerpt(instance)} keys must be equal to: {','.join(specs)}"
        )


def _read_row_tensor(rows: list, spec: tf.TensorSpec, *, key: str = "") -> np.ndarray:
    """Read a tensor; if that fails, row by row, to say which row is at fault."""
    try:
        return tensors.read(rows, spec.dtype)
    except failures.Failure as failure:
        whole = failure
    shape = None
    for number, row in enumerate(rows):
        try:
            tensor = tensors.read(row, spec.dtype)
            shape = tensor.shape if shape is None else shape
            _compare(shape, tensor.shape)
        except failures.Failure as failure:
            place = f"{number} key: {key}" if key else str(number)
            raise failures.Failure(
                failure.code,
                f"Failed to process element: {place} of 'instances' list. Error: "
                f"{failure.code}: {failure}",
            ) from None
    raise whole


def _compare(shape: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Raise a failure if two rows differ, by their sizes first."""
    expected, received = int(np.prod(shape)), int(np.prod(other))
    if expected != received:
        raise failures.invalid(f"Expecting tensor size: {expected} but got: {received}")
    if shape != other:
        shown = [f"[{','.join(map(str, sizes))}]" for sizes in (shape, other)]
        raise failures.invalid(f"Expecting shape {shown[0]} but got: {shown[1]}")


def _read_columns(given: Any, specs: Specs) -> dict[str, np.ndarray]:
    """Read one tensor of each input from an object, or the only one from its value."""
    if not _has_names(given):
        if len(specs) > 1:
            raise failures.invalid(
                "inputs is a plain value/list, but expecting an object as multiple "
                "input tensors required as per tensorinfo_map"
            )
        return {name: tensors.read(given, spec.dtype) for name, spec in specs.items()}
    for name in specs:
        if name not in given:
            raise failures.invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: tensors.read(given[name], spec.dtype) for name, spec in specs.items()}


def _check_pictures(inputs: Mapping[str, np.ndarray], max_pixels: int) -> None:
    array = inputs.get(PICTURES)
    if array is not None and array.dtype == np.object_:
        for content in array.ravel():
            pictures.check(content, max_pixels=max_pixels)


def _write_rows(outputs: Mapping[str, np.ndarray]) -> list:
    """Write one value for every row, or one object where there are several outputs."""
    batch_size = None
    for name, array in outputs.items():
        if not array.shape:
            raise failures.invalid(f"Tensor name: {name} has no shape information ")
        if batch_size not in (None, len(array)):
            raise failures.invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} "
                f"expecting: {batch_size}"
            )
        batch_size = len(array)
    columns = _write_columns(outputs)
    if len(columns) == 1:
        return _single(columns)
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _write_columns(outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        name: tensors.write(array, as_bytes=name.endswith(_BYTES_SUFFIX))
        for name, array in outputs.items()
    }


def _single(columns: dict[str, Any]) -> Any:
    """Return the value of an only output, or all of several."""
    return next(iter(columns.values())) if len(columns) == 1 else columns
