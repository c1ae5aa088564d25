import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.export import freezing
from tfdl.layers import fractional_pooling, local_response
from tfdl.training import inference


def nodes_of(function):
    graph = function.get_concrete_function().graph.as_graph_def()
    inner = [node for f in graph.library.function for node in f.node_def]
    return [*graph.node, *inner]


def test_the_bytes_of_the_variables_are_counted(network):
    # a kernel of 4 x 3 and a bias of 3; four vectors of 3 of the norm
    assert freezing.weight_bytes(network) == 4 * (12 + 3 + 4 * 3)


def test_the_lowest_precision_is_named(network):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def low(values):
        return tf.cast(2 * tf.cast(values, tf.bfloat16), tf.float32)

    assert freezing.precision(network) == "float32"
    assert freezing.precision(network, low) == "bfloat16"


def test_a_frozen_function_answers_alike_without_variables(network):
    spec = tf.TensorSpec([None, 4], tf.float32)
    frozen = tf.function(freezing.freeze(network), input_signature=[spec])
    rows = np.random.default_rng(1).random((3, 4), np.float32)
    np.testing.assert_allclose(frozen(rows), network(rows), atol=1e-6)
    assert not frozen.get_concrete_function().variables
    assert frozen.get_concrete_function().outputs[0].shape.as_list() == [None, 3]


def test_nests_of_outputs_keep_their_structure():
    scale = tf.Variable(3.0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def several(values):
        return {"b": (scale * values, values), "a": [values + scale]}

    frozen = tf.function(
        freezing.freeze(several), input_signature=[tf.TensorSpec([None], tf.float32)]
    )
    found = frozen(tf.constant([1.0, 2.0]))
    tf.nest.assert_same_structure(found, several(tf.constant([1.0, 2.0])))
    assert found["b"][0].numpy().tolist() == [3.0, 6.0]
    assert found["a"][0].numpy().tolist() == [4.0, 5.0]


def test_branches_and_loops_may_read_variables():
    scale, offset = tf.Variable([2.0, 3.0]), tf.Variable(10.0)
    spec = tf.TensorSpec([None, 2], tf.float32)

    @tf.function(input_signature=[spec])
    def branching(rows):
        def one(row):
            return tf.cond(row[0] > 0, lambda: row * scale, lambda: row + offset)

        return tf.map_fn(one, rows)

    frozen = tf.function(freezing.freeze(branching), input_signature=[spec])
    rows = tf.constant([[1.0, 1.0], [-1.0, 1.0]])
    assert frozen(rows).numpy().tolist() == [[2.0, 3.0], [9.0, 11.0]]
    scale.assign([0.0, 0.0])  # a constant by now
    assert frozen(rows).numpy().tolist() == [[2.0, 3.0], [9.0, 11.0]]
    assert not [node for node in nodes_of(frozen) if node.op == "ReadVariableOp"]


@pytest.mark.parametrize(
    "layer",
    [
        local_response.LocalResponseNormalization(),
        fractional_pooling.FractionalMaxPooling2D(),
    ],
    ids=lambda layer: layer.name,
)
def test_what_has_a_gradient_of_its_own_is_saved(layer, tmp_path):
    """To save such a gradient TensorFlow needs tensors of the network in memory."""
    inputs = keras.Input((8, 8, 4))
    x = layer(keras.layers.Conv2D(4, 3, padding="same")(inputs))
    infer = inference.compiled(keras.Model(inputs, x))
    frozen = freezing.freeze(infer)
    images = tf.random.stateless_uniform([2, 8, 8, 4], [0, 1])

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 4], tf.float32, "images")])
    def serve(images):
        return {"maps": frozen(images)}

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_default": serve})
    loaded = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    np.testing.assert_allclose(
        loaded(images=images)["maps"], infer(images), rtol=1e-5, atol=1e-6
    )
