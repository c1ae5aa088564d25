import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.training import optimizers, steps

ONE = tf.distribute.OneDeviceStrategy("CPU:0")
NUM_UNITS = 10


def one_weight(weight, **options):
    """A model of one weight that is trained towards 0 by SGD with rate 0.1."""
    inputs = keras.Input((1,))
    outputs = keras.layers.Dense(1, use_bias=False)(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(optimizers.optimizer("sgd", 0.1, **options), "mse")
    optimizers.build(model)
    model.set_weights([np.array([[weight]])])
    return model


def run(model, inputs, *, count):
    """Run steps of one example each, whose target is 0."""
    data = np.array(inputs, "float32").reshape(-1, 1, 1)
    dataset = tf.data.Dataset.from_tensor_slices((data, np.zeros_like(data)))
    run_steps = steps.compile_steps(model, ONE, seed=0)
    return run_steps(iter(dataset), tf.constant(0, tf.int64), count)


def test_a_step_measures_itself_as_computed_by_hand():
    results = run(one_weight(2.0), [1, 1], count=2)
    # w = 2: loss 4, gradient 4, step 0.4; w = 1.6: loss 2.56, gradient 3.2, step 0.32
    np.testing.assert_allclose(results["loss"], [4, 2.56], rtol=1e-6)
    np.testing.assert_allclose(results["gradient_norm"], [4, 3.2], rtol=1e-6)
    np.testing.assert_allclose(results["update_ratio"], [0, 0.2], rtol=1e-5)
    np.testing.assert_allclose(results["learning_rate"], [0.1, 0.1], rtol=1e-6)


def test_the_gradient_norm_is_that_before_clipping_and_the_update_that_after():
    results = run(one_weight(2.0, clip_norm=1.0), [1], count=1)
    np.testing.assert_allclose(results["gradient_norm"], [4], rtol=1e-6)
    np.testing.assert_allclose(results["update_ratio"], [0.1 / 2], rtol=1e-5)


def test_weights_that_start_at_zero_do_not_look_like_divergence():
    inputs = keras.Input((1,))
    outputs = keras.layers.Dense(1, kernel_initializer="zeros")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(optimizers.optimizer("sgd", 0.1), lambda y, p: (p - 1) ** 2)
    optimizers.build(model)
    results = run(model, [1, 1], count=2)
    assert len(results["loss"]) == 2
    assert np.isfinite(results["update_ratio"]).all()


def test_steps_end_at_the_first_that_is_not_finite():
    results = run(one_weight(1.0), [1, np.inf, 1, 1], count=4)
    assert {name: len(values) for name, values in results.items()} == {
        "loss": 2,
        "learning_rate": 2,
        "gradient_norm": 2,
        "update_ratio": 2,
    }
    assert np.isfinite(results["loss"][0])
    assert not np.isfinite(results["loss"][1])


class NoLoss(keras.Model):
    @property
    def metrics(self):
        return [keras.metrics.Mean("total")]


def test_a_model_without_a_metric_of_the_loss_is_refused():
    inputs = keras.Input((1,))
    model = NoLoss(inputs, keras.layers.Dense(1)(inputs))
    with pytest.raises(ValueError, match=r"one named loss.*Received \['total'\]"):
        steps.compile_steps(model, ONE, seed=0)


class Masks(keras.Model):
    """Its loss is the sum of 4 ** k over the units k that dropout keeps."""

    def train_step(self, batch):
        kept = self.layers[-1](tf.ones([1, NUM_UNITS]), training=True) / 2
        powers = tf.constant([[4.0**k for k in range(NUM_UNITS)]])
        weights = self.trainable_variables
        self.optimizer.apply([tf.zeros_like(w) for w in weights], weights)
        self._loss_tracker.update_state(tf.reduce_sum(kept * powers))
        return {"loss": self._loss_tracker.result()}


def masks(where, *, seed, first=0, count=3):
    """Count, for each of some steps, how many replicas keep each unit."""
    with where.scope():
        inputs = keras.Input((NUM_UNITS,))
        x = keras.layers.Dense(NUM_UNITS)(inputs)
        model = Masks(inputs, keras.layers.Dropout(0.5)(x))
        model.compile(optimizers.optimizer("sgd", 0.1))
        optimizers.build(model)
    dataset = tf.data.Dataset.from_tensors(0).repeat()
    batches = where.distribute_datasets_from_function(lambda _: dataset)
    run_steps = steps.compile_steps(model, where, seed)
    losses = run_steps(iter(batches), tf.constant(first, tf.int64), count)["loss"]
    sums = np.round(losses * where.num_replicas_in_sync).astype(int)
    return [[int(total) // 4**k % 4 for k in range(NUM_UNITS)] for total in sums]


def test_dropout_is_keyed_by_seed_and_step():
    drawn = masks(ONE, seed=0)
    assert drawn[0] != drawn[1] != drawn[2]
    assert masks(ONE, seed=0) == drawn
    assert masks(ONE, seed=0, first=2, count=1) == drawn[2:]
    assert masks(ONE, seed=1) != drawn


def test_dropout_differs_on_the_two_replicas(mirrored_strategy):
    drawn = masks(mirrored_strategy, seed=0)
    for kept_by in drawn:
        assert 1 in kept_by, "both replicas drew the same mask"
    assert masks(mirrored_strategy, seed=0, first=1, count=1) == drawn[1:2]


def test_metrics_exist_and_are_zero_before_the_first_step():
    model = one_weight(1.0)
    model.compile(optimizers.optimizer("sgd", 0.1), "mse", metrics=["mae"])
    batch = (tf.ones([2, 1]), tf.zeros([2, 1]))
    steps.build_metrics(model, [batch], ONE)
    assert len(model.metrics_variables) == 4  # totals and counts of loss and error
    assert not np.any([variable.numpy() for variable in model.metrics_variables])
