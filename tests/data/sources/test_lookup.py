import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.sources import lookup, source


def make_objects(boxes, labels, is_crowd):
    return source.Objects(
        size=(10, 20),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int32),
        areas=np.ones(len(labels), np.float32),
        is_crowd=np.array(is_crowd, bool),
        is_difficult=np.zeros(len(labels), bool),
        places=["here"] * len(labels),
    )


@pytest.fixture
def known():
    return [
        make_objects([[1, 2, 3, 4], [5, 5, 9, 9]], [7, 8], [False, True]),
        make_objects([], [], []),
        make_objects([[0, 0, 2, 2], [1, 1, 4, 6]], [1, 2], [False, False]),
    ]


def test_each_picture_has_its_own_objects_without_crowds(known):
    find = lookup.objects(known)
    found = list(tf.data.Dataset.range(3).map(find).as_numpy_iterator())
    np.testing.assert_array_equal(found[0]["boxes"], [[1, 2, 3, 4]])
    assert found[0]["labels"].tolist() == [7]
    assert found[1]["boxes"].shape == (0, 4)
    assert found[1]["labels"].shape == (0,)
    np.testing.assert_array_equal(found[2]["boxes"], [[0, 0, 2, 2], [1, 1, 4, 6]])
    eager = find(tf.constant(2, tf.int64))
    np.testing.assert_array_equal(eager["labels"], [1, 2])


def test_boxes_are_scaled_with_their_picture(known):
    scales = np.array([[2, 3], [1, 1], [0.5, 1]], np.float32)  # height, width
    find = lookup.objects(known, scales=scales)
    first, last = (find(tf.constant(index, tf.int64)) for index in (0, 2))
    np.testing.assert_array_equal(first["boxes"], [[3, 4, 9, 8]])
    np.testing.assert_array_equal(last["boxes"], [[0, 0, 2, 1], [1, 0.5, 4, 3]])


def test_no_picture_at_all_has_objects(known):
    assert callable(lookup.objects([known[1]]))
