"""Maxout against NumPy, by hand, and fitted to a function that no plain unit has."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.layers import maxout


def _random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_hand_computed_pairs():
    outputs = maxout.Maxout(2)(tf.constant([[1.0, -3.0, -2.0, 5.0]]))
    np.testing.assert_array_equal(outputs, [[1.0, 5.0]])


@pytest.mark.parametrize("num_pieces", [1, 2, 3, 6])
@pytest.mark.parametrize("shape", [(3, 12), (2, 4, 5, 12)])
def test_it_is_the_maximum_over_slices(shape, num_pieces):
    """The oracle takes piece k of every unit as a strided slice."""
    inputs = _random(shape)
    pieces = [inputs[..., piece::num_pieces] for piece in range(num_pieces)]
    np.testing.assert_array_equal(
        maxout.Maxout(num_pieces)(inputs), np.maximum.reduce(pieces)
    )


def test_gradient_flows_to_the_largest_piece_alone():
    inputs = tf.constant(_random((2, 3, 3, 4)))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = maxout.Maxout(2)(inputs)
        loss = tf.reduce_sum(outputs * 3.0)
    is_largest = np.equal(inputs, np.repeat(outputs, 2, axis=-1))
    np.testing.assert_array_equal(tape.gradient(loss, inputs), 3.0 * is_largest)


@pytest.mark.parametrize(("channels", "num_pieces"), [(5, 2), (4, 3)])
def test_channels_that_do_not_divide_are_refused(channels, num_pieces):
    with pytest.raises(errors.UsageError, match=f"channels={channels}"):
        maxout.Maxout(num_pieces)(_random((2, channels)))


def test_no_pieces_are_refused():
    with pytest.raises(errors.UsageError, match="num_pieces=0"):
        maxout.Maxout(0)


def test_unknown_sizes_and_bfloat16_in_a_graph():
    layer = maxout.Maxout(2, dtype="mixed_bfloat16")
    inputs = keras.Input((None, None, 6))
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, 3)
    outputs = tf.function(model)(_random((2, 3, 5, 6)))
    assert outputs.shape == (2, 3, 5, 3)
    assert outputs.dtype == "bfloat16"


def test_pairs_of_standard_normal_numbers_keep_the_mean_square():
    outputs = maxout.Maxout(2)(_random((1000, 200)))
    assert np.square(outputs).mean() == pytest.approx(1, rel=0.01)


def test_one_unit_learns_the_absolute_value(tmp_path):
    """|x| is the larger of two linear functions; a linear unit stays at its mean."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(2), maxout.Maxout(2)]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse")
    inputs = np.linspace(-1, 1, 64, dtype="float32")[:, None]
    steps = np.tile(inputs, (150, 1))
    model.fit(steps, np.abs(steps), batch_size=64, shuffle=False, verbose=0)
    assert model.evaluate(inputs, np.abs(inputs), verbose=0) < 1e-4

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
