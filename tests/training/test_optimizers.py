import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.training import optimizers

IMAGES = np.random.RandomState(0).rand(8, 6).astype("float32")
TARGETS = np.random.RandomState(1).rand(8, 3).astype("float32")


def linear_model(optimizer, *, seed=0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, keras.layers.Dense(3, name="dense")(inputs))
    model.compile(optimizer, "mse")
    optimizers.build(model)
    return model


def train_on(strategy, steps=4, **options):
    """Return the weights after some steps on the same global batch."""
    with strategy.scope():
        model = linear_model(optimizers.optimizer("momentum", 0.1, **options))
    size = len(IMAGES) // strategy.num_replicas_in_sync
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, TARGETS)).batch(size)
    batches = strategy.distribute_datasets_from_function(lambda _: dataset.repeat())
    iterator = iter(batches)

    @tf.function
    def step():
        strategy.run(model.train_step, args=(next(iterator),))

    for _ in range(steps):
        step()
    return model


def descent(name, rate, curvatures, *, steps):
    """Minimize sum(curvatures * point^2) / 2 from ones -> points, one in each row."""
    point = keras.Variable(np.ones(len(curvatures), "float32"))
    optimizer = optimizers.optimizer(name, rate)
    optimizer.build([point])
    path = [point.numpy().astype(float)]
    for _ in range(steps):
        optimizer.apply([tf.constant(curvatures * path[-1], tf.float32)], [point])
        path.append(point.numpy().astype(float))
    return np.array(path)


@pytest.mark.parametrize("options", [{"clip_norm": 0.05}, {"accumulation": 2}, {}])
def test_two_replicas_update_as_one_device_does(mirrored_strategy, options):
    one = train_on(tf.distribute.OneDeviceStrategy("CPU:0"), **options)
    two = train_on(mirrored_strategy, **options)
    for ours, theirs in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_accumulators_are_the_same_on_every_replica(mirrored_strategy):
    model = train_on(mirrored_strategy, steps=1, accumulation=2)
    for variable in model.optimizer.variables:
        values = [
            v.numpy()
            for v in mirrored_strategy.experimental_local_results(variable.value)
        ]
        np.testing.assert_array_equal(values[0], values[-1])


def test_the_gradient_norm_is_the_one_before_clipping():
    one = tf.distribute.OneDeviceStrategy("CPU:0")
    model = train_on(one, steps=1, clip_norm=1e-6)
    fresh = linear_model("sgd")
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((fresh(IMAGES) - TARGETS) ** 2)
    expected = tf.linalg.global_norm(tape.gradient(loss, fresh.trainable_variables))
    assert float(model.optimizer.gradient_norm) == pytest.approx(float(expected), 1e-5)


def test_one_step_of_each_optimizer_equals_keras():
    peers = {
        "sgd": keras.optimizers.SGD(0.01),
        "momentum": keras.optimizers.SGD(0.01, momentum=0.9),
        "nesterov": keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        "adagrad": keras.optimizers.Adagrad(0.01),
        "rmsprop": keras.optimizers.RMSprop(0.01),
        "adam": keras.optimizers.Adam(0.01),
        "adamw": keras.optimizers.AdamW(0.01, weight_decay=0.0),
        "lion": keras.optimizers.Lion(0.01),
    }
    assert peers.keys() == optimizers.OPTIMIZERS.keys()
    for name, peer in peers.items():
        ours = linear_model(optimizers.optimizer(name, 0.01))
        theirs = linear_model(peer)
        for model in (ours, theirs):
            model.fit(IMAGES, TARGETS, batch_size=8, epochs=3, verbose=0)
        np.testing.assert_allclose(
            ours.get_weights()[0], theirs.get_weights()[0], atol=1e-6
        )


@pytest.mark.parametrize("condition", [10.0, 100.0])
def test_the_best_sgd_shrinks_a_quadratic_by_the_factor_of_its_condition(condition):
    # Curvatures 1 and kappa, rate 2 / (L + mu) [Polyak 1987, 1.4].
    rate, factor = 2 / (1 + condition), (condition - 1) / (condition + 1)
    path = descent("sgd", rate, np.array([1.0, condition]), steps=20)
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(lengths[1:] / lengths[:-1], factor, rtol=1e-4)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
def test_momentum_shrinks_a_quadratic_by_its_square_root(name):
    # Each coordinate follows z^2 = (m + shrink) z - m, with Nesterov's
    # z^2 = (1 + m) shrink z - m shrink, where shrink = 1 - rate * curvature. The roots
    # are complex here, and |z|^2 is their product [Polyak 1964; Lessard 2016, 4].
    curvatures, rate, momentum = np.array([1.0, 2.0]), 0.1, 0.9
    path = descent(name, rate, curvatures, steps=12)
    # The determinant of successive values shrinks by the product of the roots.
    areas = path[2:] * path[:-2] - path[1:-1] ** 2
    shrink = 1 - rate * curvatures if name == "nesterov" else np.ones(2)
    expected = np.tile(np.sqrt(momentum * shrink), (len(areas) - 1, 1))
    np.testing.assert_allclose(np.sqrt(areas[1:] / areas[:-1]), expected, rtol=1e-3)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(errors.UsageError, match="--optimizer adma"):
        optimizers.optimizer("adma", 0.1)


def test_weight_decay_shrinks_kernels_and_leaves_biases():
    model = linear_model(optimizers.optimizer("sgd", 0.5, weight_decay=0.1))
    model.layers[-1].bias.assign([1.0, 1.0, 1.0])
    kernel = model.layers[-1].kernel.numpy()
    zeros = [tf.zeros_like(v) for v in model.trainable_variables]
    model.optimizer.apply(zeros, model.trainable_variables)
    np.testing.assert_allclose(model.layers[-1].kernel, kernel * (1 - 0.5 * 0.1), 1e-5)
    np.testing.assert_array_equal(model.layers[-1].bias, [1, 1, 1])


def test_the_elastic_net_adds_both_norms_of_kernels_to_the_loss():
    model = linear_model("sgd")
    optimizers.penalize(model, l1=0.1, l2=0.2)
    kernel = model.layers[-1].kernel.numpy()
    expected = 0.1 * np.abs(kernel).sum() + 0.2 * (kernel**2).sum()
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_averaged_weights_come_and_go_exactly():
    model = linear_model(optimizers.optimizer("adam", 0.1, average=0.9))
    for _ in range(5):  # `fit` would end by overwriting the weights
        model.train_on_batch(IMAGES, TARGETS)
    before = [weight.copy() for weight in model.get_weights()]
    with optimizers.averaged_weights(model):
        averaged = model.get_weights()
    assert not np.allclose(averaged[0], before[0])
    for kept, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_the_average_of_one_weight_is_the_hand_computed_one():
    model = linear_model(optimizers.optimizer("sgd", 1.0, average=0.5))
    ones = [tf.ones_like(v) for v in model.trainable_variables]
    model.layers[-1].bias.assign([0.0, 0.0, 0.0])
    for _ in range(3):  # the bias becomes -1, -2, -3
        model.optimizer.apply(ones, model.trainable_variables)
    with optimizers.averaged_weights(model):
        # -1, then 0.1 of it and 0.9 of -2, then 2/11 of -1.9 and 9/11 of -3
        np.testing.assert_allclose(model.layers[-1].bias, [-2.8] * 3, rtol=1e-6)


def test_the_average_reaches_its_momentum():
    model = linear_model(optimizers.optimizer("sgd", 1.0, average=0.5))
    zeros = [tf.zeros_like(v) for v in model.trainable_variables]
    bias = model.layers[-1].bias
    for _ in range(20):
        model.optimizer.apply(zeros, model.trainable_variables)
    bias.assign(bias + 1)  # then every step halves the distance
    for _ in range(3):
        model.optimizer.apply(zeros, model.trainable_variables)
    now = bias.numpy()
    with optimizers.averaged_weights(model):
        np.testing.assert_allclose(bias, now - 1 / 8, rtol=1e-6)


def test_freezing_stops_at_the_named_layer():
    inputs = keras.Input((6,))
    x = keras.layers.Dense(4, name="first")(inputs)
    x = keras.layers.Dense(4, name="second")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="third")(x))
    optimizers.freeze(model, until="second")
    assert [layer.trainable for layer in model.layers[1:]] == [False, False, True]
    with pytest.raises(errors.UsageError, match="--freeze fourth"):
        optimizers.freeze(model, until="fourth")
