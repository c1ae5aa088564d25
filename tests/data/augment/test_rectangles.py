import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.augment import rectangles

LOW, HIGH = tf.constant([1, 2]), tf.constant([4, 6])


@pytest.mark.parametrize(("shape", "first_axis"), [((7, 9, 3), 0), ((2, 7, 9), 1)])
def test_paste_replaces_the_rectangle_and_nothing_else(shape, first_axis):
    planes = np.arange(np.prod(shape)).reshape(shape)
    window = (slice(None),) * first_axis + np.s_[1:4, 2:6]
    patch = -planes[window]
    expected = planes.copy()
    expected[window] = patch
    pasted = rectangles.paste(
        tf.constant(planes), tf.constant(patch), LOW, HIGH, first_axis=first_axis
    )
    np.testing.assert_array_equal(pasted, expected)


@pytest.mark.parametrize(("shape", "first_axis"), [((7, 9, 3), 0), ((2, 7, 9), 1)])
def test_what_is_cut_out_and_pasted_back_changes_nothing(shape, first_axis):
    planes = tf.random.stateless_normal(shape, seed=[0, 1])
    patch = rectangles.cut(planes, LOW, HIGH, first_axis=first_axis)
    assert patch.shape[first_axis : first_axis + 2] == (3, 4)
    pasted = rectangles.paste(planes, patch, LOW, HIGH, first_axis=first_axis)
    np.testing.assert_array_equal(pasted, planes)


def test_a_rectangle_without_area_replaces_nothing():
    planes = tf.random.stateless_normal([7, 9], seed=[0, 1])
    empty = rectangles.cut(planes, LOW, LOW)
    np.testing.assert_array_equal(rectangles.paste(planes, empty, LOW, LOW), planes)


def test_a_rectangle_over_everything_replaces_everything():
    planes, size = tf.zeros([7, 9]), tf.constant([7, 9])
    pasted = rectangles.paste(planes, tf.ones([7, 9]), tf.zeros(2, tf.int32), size)
    np.testing.assert_array_equal(pasted, np.ones([7, 9]))
