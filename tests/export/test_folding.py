import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.export import folding, freezing
from tfdl.layers import norms

PICTURES = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)


def randomized(model):
    random = np.random.default_rng(1)
    for weights in model.weights:
        weights.assign(random.uniform(0.2, 1.5, weights.shape))
    return model


def frozen(model):
    """Compile -> (the function in memory, the same frozen)."""
    spec = [tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)]
    infer = tf.function(lambda images: model(images, training=False), spec)
    return infer, tf.function(freezing.freeze(infer), spec)


def kinds(function):
    graph = function.get_concrete_function().graph.as_graph_def()
    return [node.op for f in graph.library.function for node in f.node_def]


def test_a_hand_computed_channel():
    """2 x, normalised by mean 1, variance 3 (epsilon 1), scale 4, offset 5: 4 x + 3."""
    inputs = keras.Input((1, 1, 1))
    x = keras.layers.Conv2D(1, 1, use_bias=False)(inputs)
    model = keras.Model(inputs, norms.BatchNormalization(epsilon=1.0)(x))
    model.set_weights([np.full((1, 1, 1, 1), 2.0), *np.array([[4], [5], [1], [3.0]])])
    _, function = frozen(model)
    assert "FusedBatchNormV3" not in kinds(function)
    answered = function(np.array([0.0, 1.0, 10.0], "float32").reshape(3, 1, 1, 1))
    np.testing.assert_allclose(np.ravel(answered), [3.0, 7.0, 43.0], rtol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Conv2D(5, 3, padding="same", use_bias=False),
        keras.layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False),
        keras.layers.Conv2D(5, 3, dilation_rate=2, use_bias=False),
        keras.layers.DepthwiseConv2D(3, use_bias=False),
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
    ],
    ids=["plain", "strided", "dilated", "depthwise", "multiplied"],
)
def test_a_norm_after_a_convolution_is_folded(layer):
    inputs = keras.Input((8, 8, 3))
    x = norms.BatchNormalization()(type(layer).from_config(layer.get_config())(inputs))
    infer, function = frozen(randomized(keras.Model(inputs, keras.layers.ReLU()(x))))
    np.testing.assert_allclose(function(PICTURES), infer(PICTURES), rtol=1e-5)
    if layer.dilation_rate == (1, 1):  # others are rearranged around the convolution
        assert "FusedBatchNormV3" not in kinds(function)


def test_a_norm_stays_where_others_need_what_comes_before_it():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(5, 3, use_bias=False)(inputs)
    outputs = keras.layers.add([norms.BatchNormalization()(x), x])
    infer, function = frozen(randomized(keras.Model(inputs, outputs)))
    assert "FusedBatchNormV3" in kinds(function)
    np.testing.assert_allclose(function(PICTURES), infer(PICTURES), rtol=1e-5)


def test_a_norm_without_a_convolution_stays():
    inputs = keras.Input((8, 8, 3))
    outputs = norms.BatchNormalization()(inputs)
    infer, function = frozen(randomized(keras.Model(inputs, outputs)))
    np.testing.assert_allclose(function(PICTURES), infer(PICTURES), rtol=1e-5)


def test_what_no_output_needs_is_left_out():
    with tf.Graph().as_default() as graph:
        needed = tf.constant(1.0, name="needed")
        tf.constant(2.0, name="left_over")
        tf.identity(needed, name="end")
    folded = folding.fold(graph.as_graph_def(), ends=["end"])
    assert [node.name for node in folded.node] == ["needed", "end"]
