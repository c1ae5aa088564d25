"""DropConnect: its moments against the paper's, its masks, and what inference is."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.layers import drop_connect


def _random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _layer(units, num_inputs, **options):
    layer = drop_connect.DropConnect(units, **{"rate": 0.5, "seed": 1, **options})
    layer.build((None, num_inputs))
    return layer


def _kernels(layer, num_examples):
    """Return each example's masked kernel: inputs are unit vectors, one at a time."""
    num_inputs = layer.kernel.shape[0]
    inputs = np.broadcast_to(
        np.eye(num_inputs, dtype="float32"), (num_examples, num_inputs, num_inputs)
    )
    return np.array(layer(inputs, training=True))


def test_inference_is_the_dense_layer_and_draws_nothing():
    layer = _layer(3, 4, activation="relu")
    dense = keras.layers.Dense(3, activation="relu")
    dense.build((None, 4))
    dense.set_weights(layer.get_weights())
    state = np.array(layer.seed_generator.state)
    inputs = _random((5, 4))
    for options in ({"training": False}, {}):
        np.testing.assert_array_equal(layer(inputs, **options), dense(inputs))
    np.testing.assert_array_equal(layer.seed_generator.state, state)


def test_weights_are_dropped_at_the_rate_and_the_kept_ones_scaled():
    layer = _layer(30, 20, rate=0.25)
    kernels = _kernels(layer, 50)
    kept = kernels != 0
    expected = np.broadcast_to(layer.kernel / 0.75, kernels.shape)
    np.testing.assert_allclose(kernels[kept], expected[kept], rtol=1e-6)
    # 30,000 draws: the deviation of their mean is 0.0025.
    assert kept.mean() == pytest.approx(0.75, abs=0.01)


def test_every_example_and_every_call_has_its_own_mask():
    layer = _layer(30, 20)
    first, second = _kernels(layer, 2), _kernels(layer, 2)
    masks = [kernel != 0 for kernel in (*first, *second)]
    for i in range(4):
        for j in range(i):
            # Independent masks of rate 0.5 agree in half of the 600 weights.
            assert np.mean(masks[i] == masks[j]) == pytest.approx(0.5, abs=0.1)


def test_outputs_have_the_moments_that_the_paper_samples_from():
    """Mean W v and, in our scale, variance rate / (1 - rate) * W^2 v^2."""
    rate, num_draws = 0.3, 20_000
    layer = _layer(3, 8, rate=rate)
    layer.bias.assign([0.5, 0.0, -0.5])
    example = _random((8,))
    outputs = np.array(layer(np.tile(example, (num_draws, 1)), training=True))
    kernel = np.array(layer.kernel)
    mean = example @ kernel + np.array(layer.bias)
    variance = rate / (1 - rate) * example**2 @ kernel**2
    error = np.abs(outputs.mean(0) - mean) / np.sqrt(variance / num_draws)
    assert (error < 4).all()
    np.testing.assert_allclose(outputs.var(0), variance, rtol=0.05)


def test_gradient_flows_through_kept_weights_alone():
    layer = _layer(4, 5, rate=0.5)
    inputs = tf.constant(_random((1, 5)))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs, training=True))
    gradient, input_gradient = tape.gradient(loss, [layer.kernel.value, inputs])
    is_kept = np.array(gradient) != 0
    assert 0 < is_kept.sum() < is_kept.size
    expected = np.where(is_kept, np.transpose(inputs) / 0.5, 0)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    kernel = np.where(is_kept, layer.kernel / 0.5, 0)
    np.testing.assert_allclose(input_gradient[0], kernel.sum(1), rtol=1e-5)


def test_a_rate_of_zero_is_the_dense_layer_in_training():
    layer = _layer(3, 4, rate=0.0)
    inputs = _random((5, 4))
    np.testing.assert_array_equal(layer(inputs, training=True), layer(inputs))


def test_without_bias_and_with_activation():
    layer = _layer(40, 6, use_bias=False, activation="relu")
    outputs = layer(_random((3, 6)), training=True)
    assert len(layer.weights) == 1
    assert np.min(outputs) == 0


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(errors.UsageError, match=f"rate={rate}"):
        drop_connect.DropConnect(3, rate=rate)


def test_bfloat16_of_unknown_batch_in_a_graph():
    layer = _layer(3, 4, dtype="mixed_bfloat16")
    call = tf.function(lambda x: layer(x, training=True))
    concrete = call.get_concrete_function(tf.TensorSpec((None, 4)))
    outputs = concrete(tf.constant(_random((5, 4))))
    assert outputs.shape == (5, 3)
    assert outputs.dtype == "bfloat16"
    assert layer.kernel.dtype == "float32"


def test_it_runs_on_two_replicas(mirrored_strategy):
    with mirrored_strategy.scope():
        layer = _layer(3, 4)

    @tf.function
    def run(inputs):
        return mirrored_strategy.run(lambda x: layer(x, training=True), args=(inputs,))

    outputs = run(tf.constant(_random((2, 4))))
    for output in mirrored_strategy.experimental_local_results(outputs):
        assert np.isfinite(output).all()


def test_it_learns_and_a_saved_model_loads_equal(tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    x = drop_connect.DropConnect(64, rate=0.5, activation="relu", seed=3)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    model.compile(keras.optimizers.Adam(0.02), "mse")
    features = _random((64, 8))
    targets = np.maximum(features[:, :1], features[:, 1:2])
    before = model.evaluate(features, targets, verbose=0)
    steps = [np.tile(values, (60, 1)) for values in (features, targets)]
    model.fit(*steps, batch_size=64, shuffle=False, verbose=0)
    assert model.evaluate(features, targets, verbose=0) < before / 5

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(features), model(features))
    # What it draws next is a variable of the model: checkpoints hold it.
    for mine, theirs in zip(loaded.variables, model.variables, strict=True):
        mine.assign(theirs)
    np.testing.assert_array_equal(
        loaded(features, training=True), model(features, training=True)
    )
    assert loaded.layers[1].get_config() == model.layers[1].get_config()
