"""Deltas by hand, against keras-cv, and there and back."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from tfdl.ops import box_coding


def import_keras_cv():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras_cv")


def random_boxes(shape, seed):
    rng = np.random.default_rng(seed)
    low = rng.uniform(-50, 300, (*shape, 2))
    size = rng.uniform(4, 200, (*shape, 2))
    return np.concatenate([low, low + size], axis=-1).astype(np.float32)


def test_deltas_by_hand():
    """A box twice as wide, a quarter of the anchor's width to the right."""
    anchors, boxes = np.float32([[0, 0, 40, 20]]), np.float32([[-10, 0, 70, 20]])
    deltas = box_coding.encode(boxes, anchors)
    np.testing.assert_allclose(deltas, [[2.5, 0, np.log(2) / 0.2, 0]], rtol=1e-6)
    deltas = box_coding.encode(boxes, anchors, variances=(1, 1, 1, 1))
    np.testing.assert_allclose(deltas, [[0.25, 0, np.log(2), 0]], rtol=1e-6)


def test_deltas_equal_keras_cv():
    bounding_box = import_keras_cv().src.bounding_box
    anchors, boxes = random_boxes((50,), 0), random_boxes((3, 50), 1)
    # Theirs are (y, x, height, width).
    theirs = bounding_box._encode_box_to_deltas(
        anchors, boxes, "xyxy", "xyxy", variance=[0.1, 0.1, 0.2, 0.2]
    )
    ours = box_coding.encode(boxes, anchors)
    theirs = np.asarray(theirs)[..., [1, 0, 3, 2]]
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variances", [box_coding.VARIANCES, (1.0, 1.0, 1.0, 1.0)])
def test_decoding_inverts_encoding(variances):
    anchors, boxes = random_boxes((50,), 2), random_boxes((3, 50), 3)
    deltas = box_coding.encode(boxes, anchors, variances=variances)
    decoded = box_coding.decode(deltas, anchors, variances=variances)
    np.testing.assert_allclose(decoded, boxes, atol=1e-2)


def test_no_deltas_are_the_anchor():
    anchors = random_boxes((5,), 4)
    decoded = box_coding.decode(np.zeros((5, 4), np.float32), anchors)
    np.testing.assert_allclose(decoded, anchors, rtol=1e-5, atol=1e-4)


def test_a_huge_delta_is_cut():
    anchors = np.float32([[0, 0, 16, 16]])
    decoded = box_coding.decode(np.float32([[0, 0, 1e6, 1e6]]), anchors)
    np.testing.assert_allclose(decoded, [[-492, -492, 508, 508]], rtol=1e-5)


def test_padding_has_finite_deltas():
    deltas = box_coding.encode(np.zeros((1, 4), np.float32), random_boxes((1,), 5))
    assert np.isfinite(deltas).all()


def test_gradient_of_a_delta_by_hand():
    """A shift of 1 moves both sides by the anchor's width times the variance."""
    deltas = tf.zeros((1, 4))
    with tf.GradientTape() as tape:
        tape.watch(deltas)
        decoded = box_coding.decode(deltas, np.float32([[0, 0, 40, 20]]))
        side = decoded[0, 2]
    np.testing.assert_allclose(tape.gradient(side, deltas), [[4, 0, 4, 0]], rtol=1e-6)


def test_in_a_pipeline_as_eagerly():
    anchors, boxes = random_boxes((6,), 6), random_boxes((2, 6), 7)
    data = tf.data.Dataset.from_tensor_slices(boxes).batch(2)
    data = data.map(lambda some: box_coding.encode(some, anchors))
    (found,) = data
    np.testing.assert_allclose(found, box_coding.encode(boxes, anchors), rtol=1e-5)
