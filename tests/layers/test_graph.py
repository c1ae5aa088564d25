import keras
import numpy as np
import pytest
from keras import layers

from tfdl.layers import graph


def test_calls_come_after_those_that_they_need():
    """A layer that several maps share is called at several depths."""
    inputs = keras.Input((8, 8, 2))
    shared = layers.Conv2D(2, 3, padding="same", name="shared")
    x = shared(inputs)
    x = layers.MaxPooling2D(2, name="pool")(x)
    x = shared(x)
    model = keras.Model(inputs, layers.ReLU(name="relu")(x))
    calls = list(graph.calls(model))
    assert [call.layer.name for call in calls] == ["shared", "pool", "shared", "relu"]
    assert [call.outputs[0].shape[1] for call in calls] == [8, 4, 4, 4]


def test_calls_of_other_models_that_share_a_layer_are_left_out():
    shared = layers.Dense(3)
    for size in (2, 2):
        inputs = keras.Input((size,))
        model = keras.Model(inputs, shared(inputs))
    assert len(list(graph.calls(model))) == 1


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_a_model_within_a_model_is_followed(kind):
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="inner")])
    if kind == "functional":
        inner = keras.Model(inner.inputs, inner.outputs[0])
    inputs = keras.Input((4,))
    x = layers.ReLU(name="before")(inputs)
    outer = keras.Model(inputs, layers.ReLU(name="after")(inner(x)))
    calls = list(graph.calls(outer))
    names = ["before", inner.name, "inner", inner.name, "after"]
    assert [call.layer.name for call in calls] == names
    assert [call.is_passage for call in calls] == [False, True, False, True, False]
    for before, after in zip(calls, calls[1:], strict=False):
        assert before.outputs[0] is after.inputs[0]


def test_running_the_calls_is_running_the_model():
    inputs = keras.Input((6,))
    x = layers.Dense(4, activation="tanh")(inputs)
    model = keras.Model(inputs, layers.Add()([x, layers.Dense(4)(x)]) * 2.0)
    values = {id(inputs): np.ones((3, 6), "float32")}
    for call in graph.calls(model):
        given = [values[id(tensor)] for tensor in call.inputs]
        if isinstance(call.layer, layers.Add):
            given = [given]
        elif not isinstance(call.layer, layers.Layer):
            given = [*given, 2.0]  # a constant is no tensor of the graph
        values[id(call.outputs[0])] = call.layer(*given)
    np.testing.assert_allclose(
        values[id(model.outputs[0])], model(np.ones((3, 6))), rtol=1e-6
    )
