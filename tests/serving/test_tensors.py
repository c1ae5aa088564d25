import json
import math

import numpy as np
import pytest
import tensorflow as tf

from tfdl.serving import failures, tensors


def message_of(value, dtype):
    with pytest.raises(failures.Failure) as caught:
        tensors.read(value, dtype)
    return str(caught.value)


def test_lists_of_lists_are_an_array():
    array = tensors.read([[1, 2.5], [3, -4]], tf.float32)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [[1, 2.5], [3, -4]])


@pytest.mark.parametrize(
    ("value", "shape"),
    [(1, ()), ([], (0,)), ([[], []], (2, 0)), ([[[]]], (1, 1, 0)), ([[1]], (1, 1))],
)
def test_the_shape_is_the_sizes_of_the_lists(value, shape):
    assert tensors.read(value, tf.int32).shape == shape


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1], []], "Encountered list at unexpected size: 0 at level: 1 expected si"),
        ([[], [1]], "unexpected size: 1 at level: 1 expected size: 0"),
        ([1, [1]], "Encountered list at unexpected level: 1 expected < 1"),
        ([[1], 1], "JSON Value: 1 found at incorrect level: 2 in the JSON DOM."),
        ([[1], {"a": 1}], 'JSON Value: {"a": 1} found at incorrect level: 2'),
        ([1, {"b64": ""}], "Type: Object is not of expected type: int32"),
        ([None], "JSON Value: null Type: Null is not of expected type: int32"),
        ([True], "JSON Value: true Type: True is not of expected type: int32"),
        ([0.5], "JSON Value: 0.5 Type: Number is not of expected type: int32"),
    ],
)
def test_the_first_fault_is_named(value, message):
    assert message in message_of(value, tf.int32)


def test_deep_lists_are_a_failure():
    value = 1
    for _ in range(300):
        value = [value]
    assert "deeper than 64 levels" in message_of(value, tf.int32)


def test_a_large_integer_is_no_float():
    assert tensors.read([2**24 - 1, -(2**24) + 1], tf.float32)[0] == 2**24 - 1
    assert tensors.read([float(2**24)], tf.float32)[0] == 2**24
    for value in (2**24, -(2**24), 10**400):
        shown = message_of([1, value], tf.float32)
        assert "to float without loss of precision." in shown


def test_numbers_that_are_none_stay_so():
    array = tensors.read([math.nan, math.inf, -math.inf], tf.float64)
    np.testing.assert_array_equal(array, [math.nan, math.inf, -math.inf])


def test_half_cannot_be_read_or_written():
    with pytest.raises(failures.Failure) as caught:
        tensors.read([1.0], tf.float16)
    assert caught.value.status == 501
    assert str(caught.value) == "Conversion of JSON Value: [1.0] to type: half"
    for dtype in (tf.bfloat16, tf.complex64):
        with pytest.raises(failures.Failure, match="to type"):
            tensors.read([1.0], dtype)
        with pytest.raises(failures.Failure, match="Failed to write JSON value for"):
            tensors.write(np.zeros(1, dtype.as_numpy_dtype), as_bytes=False)


def test_half_of_a_character_is_a_failure():
    assert "surrogate" in message_of(["\ud800"], tf.string)


def test_every_float32_survives_json():
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, np.uint32)
    extremes = np.array([1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 1 << 31], np.uint32)
    array = np.concatenate([bits, extremes]).view(np.float32)
    array = array[np.isfinite(array)]
    text = json.dumps(tensors.write(array, as_bytes=False))
    back = tensors.read(json.loads(text), tf.float32)
    np.testing.assert_array_equal(back.view(np.uint32), array.view(np.uint32))
    tokens = text.strip("[]").split(", ")
    assert all("." in token or "e" in token for token in tokens)
    assert all(
        float(token) == float(str(number))  # NumPy's shortest, as oracle
        for token, number in zip(tokens, array, strict=True)
    )


@pytest.mark.parametrize("dtype", ["float64", "int8", "uint64", "bool"])
def test_other_numbers_are_themselves(dtype):
    array = np.array([[0, 1], [1, 3]]).astype(dtype)
    assert tensors.write(array, as_bytes=False) == array.tolist()


def test_strings_survive_as_bytes():
    array = np.array([[b"a", bytes(range(256))]], np.object_)
    written = tensors.write(array, as_bytes=True)
    assert written[0][0] == {"b64": "YQ=="}
    np.testing.assert_array_equal(tensors.read(written, tf.string), array)


def test_a_scalar_has_no_list():
    assert tensors.write(np.float32(0.2), as_bytes=False) == 0.2
    assert tensors.write(np.array(b"a", np.object_), as_bytes=False) == "a"


def test_base64_objects_have_one_key_and_a_string():
    assert tensors.is_base64({"b64": ""})
    for value in ({"b64": 1}, {"b64": "", "a": 1}, {}, "b64", ["b64"]):
        assert not tensors.is_base64(value)
