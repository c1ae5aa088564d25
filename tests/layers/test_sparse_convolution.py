"""A sparse convolution: by hand, Keras's with zeros and with groups, what it counts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.layers import receptive_field, sparse_convolution

CONNECTIONS = [[0, 2], [1], [3, 0, 2], [0, 1, 2, 3]]


def _random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _layer(connections=CONNECTIONS, kernel_size=3, num_inputs=4, **options):
    layer = sparse_convolution.SparseConv2D(connections, kernel_size, **options)
    layer.build((None, None, None, num_inputs))
    layer.bias.assign(_random(layer.bias.shape, seed=1))
    return layer


def test_one_pixel_by_hand():
    """2 x 1 + 0.5, and 3 x 10 + 4 x 100 - 1; channel 1 of the first is not seen."""
    layer = _layer([[0], [1, 2]], 1, 3)
    layer.set_weights([np.array([[[2.0, 3.0, 4.0]]]), np.array([0.5, -1.0])])
    outputs = layer(np.array([[[[1.0, 10.0, 100.0]]]], "float32"))
    np.testing.assert_allclose(np.ravel(outputs), [2.5, 429.0])


def test_it_equals_kerass_with_zeros_between_the_others():
    layer = _layer()
    kernel = np.zeros((3, 3, 4, 4), "float32")
    number = 0
    for output, channels in enumerate(CONNECTIONS):
        for channel in channels:
            kernel[:, :, channel, output] = layer.kernel[..., number]
            number += 1
    theirs = keras.layers.Conv2D(4, 3)
    inputs = _random((2, 6, 5, 4))
    theirs.build(inputs.shape)
    theirs.set_weights([kernel, layer.bias])
    np.testing.assert_allclose(layer(inputs), theirs(inputs), rtol=1e-5, atol=1e-5)
    assert layer.count_params() == 9 * 10 + 4 < theirs.count_params()


def test_groups_are_a_case_of_it():
    layer = _layer([[0, 1], [0, 1], [0, 1], [2, 3], [2, 3], [2, 3]])
    theirs = keras.layers.Conv2D(6, 3, groups=2)
    inputs = _random((2, 6, 5, 4))
    theirs.build(inputs.shape)
    kernel = np.reshape(layer.kernel, (3, 3, 6, 2)).swapaxes(2, 3)
    theirs.set_weights([kernel, layer.bias])
    np.testing.assert_allclose(layer(inputs), theirs(inputs), rtol=1e-5, atol=1e-5)


def test_outputs_start_with_the_inputs_variance_whatever_they_see():
    keras.utils.set_random_seed(0)
    layer = _layer([[0]] * 50 + [list(range(16))] * 50, 5, 16)
    layer.bias.assign(np.zeros(100))
    variances = np.var(layer(_random((1, 40, 40, 16))), axis=(0, 1, 2))
    assert variances[:50].mean() == pytest.approx(1, rel=0.15)
    assert variances[50:].mean() == pytest.approx(1, rel=0.15)


def test_gradient_of_a_channel_comes_from_the_outputs_that_see_it():
    layer, inputs = _layer(), tf.constant(_random((1, 5, 5, 4)))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs)[..., 1])  # which sees channel 1 alone
    kernel, of_inputs = tape.gradient(loss, [layer.kernel.value, inputs])
    seen = np.abs(of_inputs).max(axis=(0, 1, 2)) > 0
    np.testing.assert_array_equal(seen, [False, True, False, False])
    trained = np.abs(kernel).max(axis=(0, 1)) > 0
    np.testing.assert_array_equal(trained, np.arange(10) == 2)


@pytest.mark.parametrize("connections", [[], [[0], []], [[0, 0]], [[0], [4]], [[-1]]])
def test_connections_that_make_no_sense_are_refused(connections):
    with pytest.raises(errors.UsageError, match="`connections` must"):
        _layer(connections)


def test_unknown_sizes_in_bfloat16_and_saved(tmp_path):
    inputs = keras.Input((None, None, 4))
    layer = _layer(dtype="mixed_bfloat16", name="sparse")
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, None, 4)
    outputs = tf.function(model)(_random((1, 5, 4, 4)))
    assert outputs.shape == (1, 3, 2, 4)
    assert outputs.dtype == "bfloat16"
    assert layer.kernel.dtype == "float32"

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded(_random((1, 5, 4, 4))), model(_random((1, 5, 4, 4)))
    )
    assert loaded.get_layer("sparse").get_config() == layer.get_config()


def test_its_receptive_field_is_that_of_its_kernel():
    inputs = keras.Input((9, 9, 4))
    model = keras.Model(inputs, _layer(kernel_size=5)(inputs))
    field = receptive_field.of_last_map(model)
    assert (field.size, field.stride, field.padding) == ((5, 5), (1, 1), (0, 0))
