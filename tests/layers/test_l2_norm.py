"""The scaled L2 normalisation by hand, against scikit-learn, and at zero."""

import keras
import numpy as np
import tensorflow as tf
from sklearn import preprocessing

from tfdl.layers import l2_norm


def test_by_hand():
    layer = l2_norm.ScaledL2Normalization()
    outputs = layer(np.float32([[[[3, 4]]]]))
    np.testing.assert_allclose(outputs, [[[[12, 16]]]], rtol=1e-6)
    assert [tuple(weight.shape) for weight in layer.weights] == [(2,)]


def test_it_equals_scikit_learn():
    inputs = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    outputs = l2_norm.ScaledL2Normalization(scale=2.0)(inputs)
    np.testing.assert_allclose(outputs, 2 * preprocessing.normalize(inputs), rtol=1e-5)


def test_pixels_of_zeros_stay_zero_with_a_finite_gradient():
    layer, inputs = l2_norm.ScaledL2Normalization(), tf.zeros((1, 2, 2, 8))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    np.testing.assert_array_equal(outputs, inputs)
    assert np.isfinite(tape.gradient(outputs, inputs)).all()


def test_bfloat16_is_normalised_in_float32():
    layer = l2_norm.ScaledL2Normalization(dtype="mixed_bfloat16")
    inputs = tf.fill((1, 1, 1, 1024), tf.constant(1.0, tf.bfloat16))
    outputs = layer(inputs)
    assert outputs.dtype == "bfloat16"
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), 20 / 32, rtol=1e-2)


def test_it_is_saved_with_its_scale(tmp_path):
    inputs = keras.Input((None, None, 3))
    layer = l2_norm.ScaledL2Normalization(scale=5.0)
    model = keras.Model(inputs, layer(inputs))
    layer.gamma.assign([1.0, 2.0, 3.0])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    picture = np.random.default_rng(0).normal(size=(2, 3, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded(picture), model(picture))
