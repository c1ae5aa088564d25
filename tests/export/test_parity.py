import math

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.export import parity, warmup

SCORES = tf.constant([[0.5, 0.25], [2.0, 4.0]])
NAMES = tf.constant(["ant", "bee"])


def compare(together, singly=None, *, tolerance=1e-5):
    singly = together if singly is None else singly
    return parity.compare(
        "sums",
        {"scores": SCORES},
        {"scores": together},
        {"scores": singly},
        tolerance=tolerance,
    )


def test_the_largest_difference_is_found():
    first, second = np.array([1.0, -2.0, 3.0]), np.array([1.5, -2.25, 3.0])
    assert parity.difference(first, second) == 0.5
    assert parity.difference(np.array([1, 2, 3]), np.array([1, 5, 9])) == 2 / 3
    assert parity.difference(np.array([b"a", b"b"]), np.array([b"a", b"c"])) == 0.5
    assert parity.difference(np.zeros((0, 3)), np.zeros((0, 3))) == 0


def test_another_shape_or_dtype_differs_by_infinity():
    ones = np.ones((2, 2), np.float32)
    assert parity.difference(ones, np.ones((2, 1), np.float32)) == math.inf
    assert parity.difference(ones, np.ones((2, 2), np.float64)) == math.inf


def test_the_tolerance_grows_with_large_outputs_alone():
    report = compare(SCORES + 3e-5)["scores"]
    assert report["tolerance"] == pytest.approx(4e-5)
    assert report["max_abs_difference"] == pytest.approx(3e-5, rel=0.02)
    with pytest.raises(errors.ModelFileError) as caught:
        compare(SCORES + 5e-5)
    message = str(caught.value)
    assert "output scores of signature sums: max_abs_difference is 5" in message
    assert "more than 4e-05" in message


def test_rows_that_depend_on_their_batch_are_an_error():
    with pytest.raises(errors.ModelFileError, match="max_abs_difference_single is 1"):
        compare(SCORES, SCORES + 1)


def test_what_is_not_finite_never_agrees():
    with pytest.raises(errors.ModelFileError, match="is nan"):
        compare(SCORES * math.nan, tolerance=math.inf)


def test_a_missing_output_is_named():
    with pytest.raises(errors.ModelFileError, match="output a of signature s is miss"):
        parity.compare("s", {"a": SCORES}, {}, {}, tolerance=1.0)


def test_names_must_be_equal_unless_the_precision_is_low():
    answers = [{"name": NAMES}, {"name": NAMES[::-1]}, {"name": NAMES[::-1]}]
    with pytest.raises(errors.ModelFileError, match="output name of signature s"):
        parity.compare("s", *answers, tolerance=parity.TOLERANCES["float32"])
    report = parity.compare("s", *answers, tolerance=parity.TOLERANCES["bfloat16"])
    assert report["name"]["max_abs_difference"] == 1.0


def exported(folder, answer):
    """Save a function of `images` with one warm-up request."""
    module = tf.Module()
    module.answer = answer
    tf.saved_model.save(module, str(folder), signatures={"serve_tensor": answer})
    request = {"serve_tensor": {"images": SCORES}}
    warmup.write(folder / "assets.extra" / warmup.NAME, "model", request)


@tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "images")])
def double(images):
    return {"scores": 2 * images}


def test_a_graph_that_needs_python_is_an_error(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "images")])
    def python(images):
        doubled = tf.py_function(lambda rows: 2 * rows, [images], tf.float32)
        return {"scores": tf.ensure_shape(doubled, [None, 2])}

    exported(tmp_path, python)
    with pytest.raises(errors.ModelFileError, match="process without tfdl"):
        parity.prove(
            tmp_path,
            {"serve_tensor": python},
            {"serve_tensor": {"images": SCORES}},
            tolerance=1e-5,
        )


@pytest.mark.slow
def test_a_broken_warm_up_file_is_an_error(tmp_path):
    exported(tmp_path, double)
    requests = tmp_path / "assets.extra" / warmup.NAME
    requests.write_bytes(requests.read_bytes()[:-5])
    with pytest.raises(errors.ModelFileError, match="process without tfdl"):
        parity.prove(
            tmp_path,
            {"serve_tensor": double},
            {"serve_tensor": {"images": SCORES}},
            tolerance=1e-5,
        )


@pytest.mark.slow
def test_a_fixed_batch_is_an_error(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "images")])
    def fixed(images):
        return {"scores": tf.ensure_shape(images, [2, 2])}

    exported(tmp_path, fixed)
    with pytest.raises(errors.ModelFileError):
        parity.prove(
            tmp_path,
            {"serve_tensor": fixed},
            {"serve_tensor": {"images": SCORES}},
            tolerance=1e-5,
        )


@pytest.mark.slow
def test_the_number_format_of_a_gpu_is_given_back(tmp_path):
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    exported(tmp_path, double)
    report = parity.prove(
        tmp_path,
        {"serve_tensor": double},
        {"serve_tensor": {"images": SCORES}},
        tolerance=1e-5,
    )
    assert report["warmup_records"] == 2
    assert report["signatures"]["serve_tensor"]["num_examples"] == 2
    assert tf.config.experimental.tensor_float_32_execution_enabled() == before
