"""SiLU and mish equal Keras's, in graphs and files too; tanh is the paper's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.layers import activations


def test_silu_by_hand():
    """At 1 it is 1 / (1 + 1/e) = 0.731059, and its slope 0.731059 * 1.268941."""
    x = tf.constant([-200.0, 0.0, 1.0, 200.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = activations.silu(x)
    np.testing.assert_allclose(y, [0.0, 0.0, 0.731059, 200.0], rtol=1e-6)
    slope = tape.gradient(y, x)
    np.testing.assert_allclose(slope, [0.0, 0.5, 0.927671, 1.0], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_silu_and_both_its_derivatives_equal_those_of_keras(dtype):
    x = tf.cast(tf.linspace(-30.0, 30.0, 601), dtype)
    found = []
    for function in (activations.silu, keras.activations.silu):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = function(x)
            slope = inner.gradient(y, x)
        found.append((y, slope, outer.gradient(slope, x)))
    limit = 2e-6 if dtype == "float32" else 0.02
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == dtype
        ours, theirs = (tf.cast(each, "float32") for each in (ours, theirs))
        np.testing.assert_allclose(ours, theirs, rtol=limit, atol=limit)


def test_a_file_with_silu_is_loaded(tmp_path):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Activation(activations.silu)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(loaded(x), model(x))


def test_mish_by_hand():
    """At 0 it is 0; at 1 it is tanh(log(1 + e)) = tanh(1.31326) = 0.865098."""
    np.testing.assert_allclose(
        activations.mish(np.array([0.0, 1.0, 100.0], np.float32)),
        [0.0, 0.865098, 100.0],
        rtol=1e-6,
    )


def test_mish_and_its_gradient_equal_those_of_keras():
    x = tf.linspace(-30.0, 30.0, 601)
    found = []
    for function in (activations.mish, keras.activations.mish):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        found.append((y, tape.gradient(y, x)))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=2e-6)


def test_mish_in_bfloat16_has_its_three_digits():
    x = tf.cast(tf.linspace(-8.0, 30.0, 381), "bfloat16")
    actual = activations.mish(x)
    assert actual.dtype == "bfloat16"
    expected = keras.activations.mish(tf.cast(x, "float32"))
    np.testing.assert_allclose(tf.cast(actual, "float32"), expected, rtol=0.02)


def test_mish_after_a_batch_norm_runs_in_a_graph(tmp_path):
    """TensorFlow 2.21 says of Keras's form that the fusion is not implemented."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=False)(inputs)
    x = keras.layers.BatchNormalization()(x)
    model = keras.Model(inputs, keras.layers.Activation(activations.mish)(x))
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    infer = tf.function(lambda images: model(images, training=False))
    np.testing.assert_allclose(infer(images), model(images), rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_scaled_tanh_is_that_of_appendix_a():
    """f(1) = 1, f(-1) = -1, and the second derivative is largest at 1."""
    np.testing.assert_allclose(
        activations.scaled_tanh(np.array([-100.0, -1.0, 0.0, 1.0], np.float32)),
        [-1.7159, -1.0, 0.0, 1.0],
        rtol=1e-5,
    )
    x = tf.linspace(0.0, 3.0, 301)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = activations.scaled_tanh(x)
        slope = inner.gradient(y, x)
    curvature = np.abs(outer.gradient(slope, x))
    assert x[curvature.argmax()].numpy() == pytest.approx(1, abs=0.02)
