"""A grouped convolution equals Keras's, and one convolution for each group."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.layers import grouped_convolution
from tfdl.training import precision

IMAGES = np.random.default_rng(0).normal(size=(2, 9, 8, 6)).astype("float32")


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"padding": "same", "strides": 2},
        {"padding": "valid", "dilation_rate": 2},
        {"padding": "same", "activation": "relu"},
    ],
)
def test_values_and_gradients_equal_those_of_keras(options):
    found = []
    for kind in (keras.layers.Conv2D, grouped_convolution.GroupedConv2D):
        layer = kind(12, 3, groups=3, kernel_initializer="ones", **options)
        layer.build(IMAGES.shape)
        random = np.random.default_rng(1)
        layer.set_weights([random.normal(size=w.shape) for w in layer.weights])
        images = tf.constant(IMAGES)
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images)
            loss = tf.reduce_sum(outputs**2)
        variables = [variable.value for variable in layer.trainable_variables]
        found.append([outputs, *tape.gradient(loss, [images, *variables])])
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-3)


def test_each_group_is_a_convolution_of_its_own():
    layer = grouped_convolution.GroupedConv2D(4, 3, groups=2, use_bias=False)
    outputs = layer(IMAGES)
    kernel = layer.get_weights()[0]
    for group in range(2):
        alone = keras.layers.Conv2D(2, 3, use_bias=False)
        alone.build((None, 9, 8, 3))
        alone.set_weights([kernel[..., 2 * group : 2 * group + 2]])
        np.testing.assert_allclose(
            outputs[..., 2 * group : 2 * group + 2],
            alone(IMAGES[..., 3 * group : 3 * group + 3]),
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.skipif(
    not precision.has_bfloat16(), reason="no gradient on this processor in bfloat16"
)
def test_in_bfloat16_it_trains_and_saves(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = keras.Input((9, 8, 6))
    layer = grouped_convolution.GroupedConv2D(6, 3, groups=3, padding="same")
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    model.fit(IMAGES, IMAGES, epochs=1, verbose=0)
    assert model(IMAGES).dtype == "bfloat16"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        tf.cast(loaded(IMAGES), "float32"), tf.cast(model(IMAGES), "float32")
    )
