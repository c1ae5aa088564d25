"""How do JSON values become tensors, and tensors JSON values?

The rules and the words are those of TensorFlow Serving's `util/json_tensor.cc`. It
visits every value; here all values of a tensor are checked together, and visited one by
one only to name the first that is wrong.
"""

import base64
import itertools
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf

from tfdl.serving import documents, failures

# NumPy's limit; TensorFlow's is 254.
_MAX_RANK = 64
# Names of types in TensorFlow Serving's messages, where they are not NumPy's.
_TYPE_NAMES = {"float32": "float", "float64": "double", "float16": "half"}
_JSON_NAMES = {
    type(None): "Null",
    dict: "Object",
    list: "Array",
    str: "String",
    int: "Number",
    float: "Number",
}


def read(value: Any, dtype: tf.DType) -> np.ndarray:
    """Make a tensor of a JSON value.

    Args:
        value: a value, or lists of lists of equal lengths of values.
        dtype: float, double, bool, string or a kind of integer. Floats are made of any
            numbers, integers and bools of their own kind only, strings of strings and
            of `{"b64": "..."}`.

    Returns:
        dtype (sizes of the lists...); strings are `bytes` in an array of objects.

    Raises:
        Failure: the lists are ragged, or a value does not fit the type.
    """
    shape, leaves = _flatten(value)
    if len(shape) > _MAX_RANK:
        raise failures.invalid(f"Lists are nested deeper than {_MAX_RANK} levels")
    packed = None if leaves is None else _pack(leaves, dtype)
    if packed is None:
        _raise_first_fault(value, 0, _shape_of_firsts(value), dtype)
    return packed.reshape(shape)


def write(array: np.ndarray, *, as_bytes: bool) -> Any:
    """Make a JSON value of a tensor.

    Args:
        array: float32, float64, bool, a kind of integer, or objects that are `bytes`.
        as_bytes: whether strings are written as `{"b64": "..."}`. Others should be
            UTF-8; what is not is written as the replacement character.

    Returns:
        Nested lists. A float32 is the double that has the fewest digits of all that
        round to it, so that JSON shows 0.2 and not 0.20000000298.

    Raises:
        Failure: JSON has no such type.
    """
    if array.dtype == np.object_:
        texts = [_text(content, as_bytes) for content in array.ravel().tolist()]
        written = np.empty(len(texts), np.object_)
        written[:] = texts
        return written.reshape(array.shape).tolist()
    if array.dtype == np.float32:
        shortest = [float(str(number)) for number in array.ravel()]
        return np.array(shortest, np.float64).reshape(array.shape).tolist()
    if array.dtype == np.float64 or array.dtype.kind in "biu":
        return array.tolist()
    raise failures.invalid(
        f"Failed to write JSON value for tensor type: {type_name(array.dtype)}"
    )


def type_name(dtype: tf.DType | np.dtype) -> str:
    """Name a type as TensorFlow Serving's messages do."""
    return _TYPE_NAMES.get(dtype.name, dtype.name)


def is_base64(value: Any) -> bool:
    """Say whether a JSON value is `{"b64": "..."}` and nothing else."""
    is_alone = isinstance(value, dict) and len(value) == 1
    return is_alone and isinstance(value.get("b64"), str)


def _flatten(value: Any) -> tuple[list[int], list | None]:
    """Return (sizes of the lists, the values in them or None where sizes differ)."""
    shape, values = [], [value]
    while values and type(values[0]) is list:
        sizes = {len(item) if type(item) is list else -1 for item in values}
        if len(sizes) > 1:
            return shape, None
        shape.append(sizes.pop())
        values = list(itertools.chain.from_iterable(values))
    return shape, values


def _shape_of_firsts(value: Any) -> list[int]:
    """Return the sizes that the first of each list promise."""
    shape = []
    while type(value) is list:
        shape.append(len(value))
        value = value[0] if value else None
    return shape


def _pack(values: list, dtype: tf.DType) -> np.ndarray | None:
    """Return a flat tensor of the values, or None if one does not fit."""
    types = set(map(type, values))
    if dtype in (tf.float32, tf.float64):
        return _pack_floats(values, dtype) if types <= {int, float} else None
    if dtype == tf.bool:
        return np.array(values, np.bool_) if types <= {bool} else None
    if dtype == tf.string:
        return _pack_strings(values) if types <= {str, dict} else None
    if dtype.is_integer and not dtype.is_quantized:
        fits = types <= {int} and (
            not values or (dtype.min <= min(values) and max(values) <= dtype.max)
        )
        return np.array(values, dtype.as_numpy_dtype) if fits else None
    raise failures.Failure(
        "UNIMPLEMENTED",
        f"Conversion of JSON Value: {documents.excerpt(values[:1])} to type: "
        f"{type_name(dtype)}",
    )


def _pack_floats(values: list, dtype: tf.DType) -> np.ndarray | None:
    """Pack numbers, unless an integer is not exact or a float leaves the range."""
    try:
        array = np.array(values, np.float64)
    except OverflowError:
        return None
    largest_exact = 2 ** (np.finfo(dtype.as_numpy_dtype).nmant + 1) - 1
    is_large = np.abs(array) > largest_exact
    if is_large.any() and any(
        type(values[number]) is int for number in np.flatnonzero(is_large)
    ):
        return None
    with np.errstate(over="ignore"):
        packed = array.astype(dtype.as_numpy_dtype)
    return None if (np.isinf(packed) & np.isfinite(array)).any() else packed


def _pack_strings(values: list) -> np.ndarray | None:
    if not all(type(value) is str or is_base64(value) for value in values):
        return None
    packed = np.empty(len(values), np.object_)
    packed[:] = [_bytes(value) for value in values]
    return packed


def _bytes(value: str | dict) -> bytes:
    try:
        if isinstance(value, str):
            return value.encode()
        encoded = "".join(value["b64"].split())
        padding = "=" * (-len(encoded) % 4)
        return base64.b64decode(encoded + padding, validate=True)
    except UnicodeEncodeError:
        message = "JSON Parse error: The surrogate pair in string is invalid."
        raise failures.invalid(message) from None
    except ValueError:
        raise failures.invalid("Unable to base64 decode") from None


def _text(content: bytes, as_bytes: bool) -> str | dict[str, str]:
    if as_bytes:
        return {"b64": base64.b64encode(content).decode()}
    return content.decode(errors="replace")


def _raise_first_fault(value, level: int, shape: list[int], dtype) -> None:
    """Raise what is wrong with the first value that does not fit, if one does not."""
    if type(value) is not list:
        if level != len(shape):
            raise failures.invalid(
                f"JSON Value: {documents.excerpt(value)} found at incorrect level: "
                f"{level + 1} in the JSON DOM. Expected at level: {len(shape)}"
            )
        if _pack([value], dtype) is None:
            _raise_misfit(value, dtype)
        return
    if level >= len(shape):
        raise failures.invalid(
            f"Encountered list at unexpected level: {level} expected < {len(shape)}"
        )
    if len(value) != shape[level]:
        raise failures.invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for item in value:
        _raise_first_fault(item, level + 1, shape, dtype)


def _raise_misfit(value: Any, dtype: tf.DType) -> NoReturn:
    shown, name = documents.excerpt(value), type_name(dtype)
    if type(value) in (int, float) and dtype.is_floating:
        raise failures.invalid(
            f"Cannot convert JSON value: {shown} to {name} without loss of precision."
        )
    if type(value) is dict and dtype == tf.string:
        raise failures.invalid(
            f"JSON Value: {shown} not formatted correctly for base64 data"
        )
    kind = _JSON_NAMES.get(type(value), str(value))  # true is of type True
    raise failures.invalid(
        f"JSON Value: {shown} Type: {kind} is not of expected type: {name}"
    )
