"""Trained subsampling: by hand, its gradient, and what it is at the start."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.layers import subsampling


def _random(shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_two_channels_by_hand():
    """Means 2.5 and 25; times 2 and 0.1, plus -1 and 3."""
    layer = subsampling.Subsampling2D()
    layer.build((None, 2, 2, 2))
    layer.set_weights([np.array([2.0, 0.1]), np.array([-1.0, 3.0])])
    window = np.array([[[1, 10], [2, 20]], [[3, 30], [4, 40]]], "float32")
    np.testing.assert_allclose(np.ravel(layer(window[None])), [4.0, 5.5], rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"pool_size": 3, "strides": 2}])
@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_it_starts_as_kerass_average(size, options):
    inputs = _random((2, *size, 3))
    theirs = keras.layers.AveragePooling2D(**{"pool_size": 2} | options)
    outputs = subsampling.Subsampling2D(**options)(inputs)
    np.testing.assert_array_equal(outputs, theirs(inputs))


def test_gradients_are_the_sums_of_the_averages_and_of_the_positions():
    layer, inputs = subsampling.Subsampling2D(), _random((2, 4, 6, 3))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs))
    coefficient, bias = tape.gradient(loss, [layer.coefficient.value, layer.bias.value])
    np.testing.assert_allclose(coefficient, inputs.sum((0, 1, 2)) / 4, rtol=1e-4)
    np.testing.assert_array_equal(bias, [2 * 2 * 3] * 3)


def test_unknown_sizes_in_bfloat16_and_saved(tmp_path):
    inputs = keras.Input((None, None, 3))
    layer = subsampling.Subsampling2D(dtype="mixed_bfloat16", name="pool")
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([_random(3), _random(3)])
    assert model.output_shape == (None, None, None, 3)
    outputs = model(_random((1, 5, 4, 3)))
    assert outputs.shape == (1, 2, 2, 3)
    assert outputs.dtype == "bfloat16"
    assert layer.count_params() == 6

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(_random((1, 5, 4, 3))), outputs)
    assert loaded.get_layer("pool").get_config() == layer.get_config()
