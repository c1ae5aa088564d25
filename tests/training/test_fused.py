import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.training import fused

PAIRS = {
    "sgd": (fused.SGD, keras.optimizers.SGD, {}),
    "momentum": (fused.SGD, keras.optimizers.SGD, {"momentum": 0.9}),
    "nesterov": (
        fused.SGD,
        keras.optimizers.SGD,
        {"momentum": 0.9, "nesterov": True},
    ),
    "adam": (fused.Adam, keras.optimizers.Adam, {}),
    "amsgrad": (fused.Adam, keras.optimizers.Adam, {"amsgrad": True}),
}
every = pytest.mark.parametrize("name", PAIRS)


def updated(kind, gradients, *, learning_rate=0.1, **options):
    """Apply gradients one after another -> the weight after each, and the optimizer."""
    start = np.ones(np.shape(gradients[0]), np.float32)
    weight = keras.Variable(start, name="weight")
    optimizer = kind(learning_rate, **options)
    optimizer.build([weight])
    apply = tf.function(lambda gradient: optimizer.apply([gradient], [weight]))
    values = []
    for gradient in gradients:
        apply(tf.constant(gradient, tf.float32))
        values.append(weight.numpy())
    return np.array(values), optimizer


def test_momentum_is_the_hand_computed_one():
    weights, _ = updated(fused.SGD, [[1.0], [1.0], [0.0]], momentum=0.5)
    # Velocities -0.1, -0.15, -0.075.
    np.testing.assert_allclose(weights[:, 0], [0.9, 0.75, 0.675], rtol=1e-6)


def test_the_first_step_of_adam_is_the_rate_whatever_the_gradient():
    weights, _ = updated(fused.Adam, [[0.5, 5.0, -70.0]])
    np.testing.assert_allclose(weights[0], [0.9, 0.9, 1.1], atol=1e-5)


@every
def test_weights_and_variables_are_those_of_keras(name):
    ours, theirs, options = PAIRS[name]
    gradients = np.random.RandomState(0).normal(size=(20, 3, 4))
    weights, optimizer = updated(ours, gradients, **options)
    expected, peer = updated(theirs, gradients, **options)
    np.testing.assert_allclose(weights, expected, rtol=2e-5, atol=2e-5)
    for own, other in zip(optimizer.variables, peer.variables, strict=True):
        assert (own.name, own.shape) == (other.name, other.shape)
        np.testing.assert_allclose(own, other, rtol=2e-5, atol=2e-5)


@every
def test_a_schedule_is_followed(name):
    ours, theirs, options = PAIRS[name]
    schedule = functools.partial(keras.optimizers.schedules.ExponentialDecay, 0.1, 1)
    gradients = np.ones([4, 2])
    options = options | {"learning_rate": schedule(0.5)}
    np.testing.assert_allclose(
        updated(ours, gradients, **options)[0],
        updated(theirs, gradients, **options)[0],
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
def test_a_sparse_gradient_is_applied_as_by_keras(name):
    results = []
    for kind in PAIRS[name][:2]:
        weight = keras.Variable(np.ones([3, 2], np.float32))
        optimizer = kind(0.1, **PAIRS[name][2])
        optimizer.build([weight])
        gradient = tf.IndexedSlices(tf.ones([1, 2]), tf.constant([1]), [3, 2])
        optimizer.apply([gradient], [weight])
        results.append(weight.numpy())
    np.testing.assert_allclose(*results)
    assert (results[0][[0, 2]] == 1).all()
