"""Targets of anchors by hand, there and back, with padding and without objects."""

import numpy as np
import tensorflow as tf

from tfdl.ops import box_coding
from tfdl.tasks.detection import anchor_targets

ANCHORS = np.float32([[0, 0, 10, 10], [2, 0, 12, 10], [4, 0, 14, 10], [50, 50, 60, 60]])
OPTIONS = {"positive": 0.5, "negative": 0.4, "variances": box_coding.VARIANCES}


def objects(boxes, labels, weights):
    return {
        "boxes": np.float32([boxes]),
        "labels": np.int32([labels]),
        "weights": np.float32([weights]),
    }


ONE_AND_PADDING = objects([[0, 0, 10, 10], [0, 0, 0, 0]], [3, -1], [0.7, 0])


def test_by_hand():
    """The overlaps are 1, 8 / 12, 6 / 14 and 0."""
    found = anchor_targets.assign(ONE_AND_PADDING, ANCHORS, **OPTIONS)
    np.testing.assert_array_equal(found["labels"], [[3, 3, -2, -1]])
    np.testing.assert_allclose(found["weights"], [[0.7, 0.7, 0, 0]])
    np.testing.assert_allclose(found["deltas"][0, :2], [[0] * 4, [-2, 0, 0, 0]])
    np.testing.assert_array_equal(found["deltas"][0, 2:], np.zeros((2, 4)))
    np.testing.assert_array_equal(
        anchor_targets.count_positives(found["labels"]), [2.0]
    )


def test_decoded_targets_are_the_objects():
    found = anchor_targets.assign(ONE_AND_PADDING, ANCHORS, **OPTIONS)
    boxes = box_coding.decode(found["deltas"], ANCHORS)
    np.testing.assert_allclose(boxes[0, :2], [[0, 0, 10, 10]] * 2, atol=1e-5)


def test_a_picture_without_objects_is_background():
    empty = objects([[0, 0, 0, 0]], [-1], [0])
    found = anchor_targets.assign(empty, ANCHORS, **OPTIONS)
    np.testing.assert_array_equal(found["labels"], [[-1] * 4])
    np.testing.assert_array_equal(found["deltas"], np.zeros((1, 4, 4)))
    np.testing.assert_array_equal(
        anchor_targets.count_positives(found["labels"]), [1.0]
    )


def test_padding_changes_nothing():
    alone = objects([[0, 0, 10, 10]], [3], [0.7])
    found = anchor_targets.assign(alone, ANCHORS, **OPTIONS)
    padded = anchor_targets.assign(ONE_AND_PADDING, ANCHORS, **OPTIONS)
    for name in found:
        np.testing.assert_array_equal(found[name], padded[name])


def test_in_a_pipeline_as_eagerly():
    data = tf.data.Dataset.from_tensor_slices(ONE_AND_PADDING).batch(1)
    data = data.map(lambda some: anchor_targets.assign(some, ANCHORS, **OPTIONS))
    (found,) = data
    expected = anchor_targets.assign(ONE_AND_PADDING, ANCHORS, **OPTIONS)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    assert found["labels"].dtype == "int32"
