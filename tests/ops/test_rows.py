import numpy as np
import pytest
import tensorflow as tf

from tfdl.ops import rows


@pytest.mark.parametrize("rest", [(), (4,), (3, 2)])
def test_rows_are_those_of_their_own_picture(rest):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 5, *rest)).astype(np.float32)
    places = rng.integers(0, 5, (3, 7)).astype(np.int32)
    expected = [some[own] for some, own in zip(values, places, strict=True)]
    np.testing.assert_array_equal(rows.take(values, places), expected)


def test_no_place_picks_nothing_and_sizes_may_come_late():
    @tf.function(
        input_signature=[tf.TensorSpec([None, None, 4]), tf.TensorSpec(None, tf.int32)]
    )
    def take(values, places):
        return rows.take(values, tf.ensure_shape(places, [None, None]))

    assert take(np.ones((2, 3, 4), "f4"), np.zeros((2, 0), "i4")).shape == (2, 0, 4)
    np.testing.assert_array_equal(
        take(np.arange(8, dtype="f4").reshape(1, 2, 4), [[1]]), [[[4, 5, 6, 7]]]
    )


def test_the_gradient_goes_back_to_the_rows_that_were_picked():
    values = tf.Variable(np.ones((1, 3, 2), "f4"))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(rows.take(values.value(), tf.constant([[2, 0, 2]])))
    gradient = tf.convert_to_tensor(tape.gradient(total, values))
    np.testing.assert_array_equal(gradient, [[[1, 1], [0, 0], [2, 2]]])
