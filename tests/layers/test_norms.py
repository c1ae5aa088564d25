"""Norms against Keras's own layers, by hand, and over two replicas."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.layers import norms

KINDS = ("batch", "layer", "instance", "group")


def _random(shape, seed=0, mean=0.5):
    values = np.random.default_rng(seed).normal(mean, 2.0, shape)
    return values.astype("float32")


def _randomize(layer, seed):
    """Give scale, offset and running averages values that are neither 0 nor 1."""
    layer.set_weights([np.abs(_random(w.shape, seed)) for w in layer.get_weights()])


def _step(layer, inputs, weights, training=True):
    """Output, gradients (input, then trainable weights) of sum(output * weights)."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        output = layer(inputs, training=training)
        loss = tf.reduce_sum(tf.cast(output, "float32") * weights)
    variables = [v.value for v in layer.trainable_variables]
    return output, tape.gradient(loss, [inputs, *variables])


def _assert_same(actual, expected, tolerance=1e-5):
    for left, right in zip(
        tf.nest.flatten(actual), tf.nest.flatten(expected), strict=True
    ):
        left, right = np.asarray(left), np.asarray(right)
        scale = max(1.0, np.abs(right).max())
        np.testing.assert_allclose(left / scale, right / scale, atol=tolerance)


def _pair(shape, **options):
    """Ours and Keras's batch norm, built, with the same random weights."""
    ours = norms.BatchNormalization(**options)
    keras_layer = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **options)
    for layer in (ours, keras_layer):
        layer.build(shape)
        _randomize(layer, seed=1)
    return ours, keras_layer


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("shape", [(4, 5, 6, 8), (16, 8), (4, 5, 8), (1, 3, 3, 8)])
def test_training_steps_equal_those_of_keras(shape, compiled):
    ours, keras_layer = _pair(shape)
    run = tf.function(_step) if compiled else _step
    for seed in range(3):
        inputs = tf.constant(_random(shape, seed))
        weights = _random(shape, seed + 10)
        actual = run(ours, inputs, weights)
        _assert_same(actual, _step(keras_layer, inputs, weights))
        _assert_same(ours.get_weights(), keras_layer.get_weights())


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}])
def test_without_scale_or_offset_it_equals_keras(options):
    shape = (4, 5, 6, 8)
    ours, keras_layer = _pair(shape, **options)
    inputs, weights = tf.constant(_random(shape)), _random(shape, 2)
    for training in (True, False):
        _assert_same(
            _step(ours, inputs, weights, training),
            _step(keras_layer, inputs, weights, training),
        )


@pytest.mark.parametrize("trainable", [False, True])
def test_inference_and_freezing_equal_keras_and_leave_the_averages(trainable):
    shape = (4, 5, 6, 8)
    ours, keras_layer = _pair(shape)
    ours.trainable = keras_layer.trainable = trainable
    before = ours.get_weights()
    inputs, weights = tf.constant(_random(shape)), _random(shape, 2)
    for training in (False, None) if trainable else (False, True):
        _assert_same(
            _step(ours, inputs, weights, training),
            _step(keras_layer, inputs, weights, training),
        )
    _assert_same(ours.get_weights(), before, tolerance=0)


def test_hand_computed_batch_of_two_pixels():
    layer = norms.BatchNormalization(momentum=0.5, epsilon=0.0)
    output = layer(tf.reshape([1.0, 3.0], (1, 1, 2, 1)), training=True)
    np.testing.assert_allclose(np.ravel(output), [-1.0, 1.0], atol=1e-6)
    # Mean 2 and biased variance 1 (unbiased: 2), half of the way from 0 and 1.
    np.testing.assert_allclose(layer.moving_mean, [1.0])
    np.testing.assert_allclose(layer.moving_variance, [1.0])


@pytest.mark.parametrize("compiled", [False, True])
def test_a_single_pixel_has_variance_zero(compiled):
    layer = norms.BatchNormalization(momentum=0.5)
    layer.build((1, 1, 1, 3))
    call = tf.function(layer) if compiled else layer
    output = call(tf.fill((1, 1, 1, 3), 7.0), training=True)
    np.testing.assert_allclose(output, np.zeros((1, 1, 1, 3)), atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, [0.5] * 3)


def test_large_mean_does_not_cost_digits():
    inputs = _random((8, 6, 6, 4)) + 1000.0
    layer = norms.BatchNormalization(epsilon=1e-5)
    output = layer(tf.constant(inputs), training=True)
    exact = inputs.astype("float64") - inputs.mean((0, 1, 2), dtype="float64")
    exact /= np.sqrt((exact**2).mean((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(output, exact, atol=2e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_keeps_float32_weights_and_the_result(kind, dtype):
    layer = norms.normalization(kind)
    layer.dtype_policy = keras.DTypePolicy(f"mixed_{dtype}")
    exact = norms.normalization(kind)
    inputs = tf.cast(_random((4, 5, 6, 8)), dtype)
    weights = _random(inputs.shape, 2)
    output, gradients = _step(layer, inputs, weights)
    expected, _ = _step(exact, tf.cast(inputs, "float32"), weights)
    assert output.dtype == dtype
    assert [w.dtype for w in layer.weights] == ["float32"] * len(layer.weights)
    np.testing.assert_allclose(tf.cast(output, "float32"), expected, atol=0.03)
    assert all(np.isfinite(tf.cast(g, "float32")).all() for g in gradients)


def _replicated_step(strategy, layer, inputs, weights):
    """One training step of `layer`; `inputs` and `weights` hold a part per replica."""

    def values(parts):
        def part(context):
            return tf.constant(parts[context.replica_id_in_sync_group])

        return strategy.experimental_distribute_values_from_function(part)

    @tf.function
    def run(inputs, weights):
        return strategy.run(_step, args=(layer, inputs, weights))

    output, (input_gradient, *gradients) = run(values(inputs), values(weights))
    outputs = strategy.experimental_local_results(output)
    input_gradients = strategy.experimental_local_results(input_gradient)
    return (
        tf.concat(outputs, axis=0),
        tf.concat(input_gradients, axis=0),
        [strategy.reduce("SUM", gradient, axis=None) for gradient in gradients],
    )


@pytest.mark.parametrize("shape", [(8, 5, 6, 4), (8, 4)])
@pytest.mark.parametrize("split", [4, 3])
def test_two_replicas_equal_one_device_with_the_global_batch(
    mirrored_strategy, shape, split
):
    with mirrored_strategy.scope():
        layer = norms.BatchNormalization()
        layer.build(shape)
        _randomize(layer, seed=1)
    single, _ = _pair(shape)

    for seed in range(2):
        inputs, weights = _random(shape, seed), _random(shape, seed + 10)
        output, input_gradient, gradients = _replicated_step(
            mirrored_strategy,
            layer,
            (inputs[:split], inputs[split:]),
            (weights[:split], weights[split:]),
        )
        expected, expected_gradients = _step(single, tf.constant(inputs), weights)
        _assert_same(
            [output, input_gradient, *gradients], [expected, *expected_gradients]
        )
        for mine, theirs in zip(layer.weights, single.weights, strict=True):
            for copy in mirrored_strategy.experimental_local_results(mine.value):
                _assert_same(copy, theirs.value)


def test_a_model_built_and_fitted_under_a_strategy_trains(mirrored_strategy):
    with mirrored_strategy.scope():
        inputs = keras.Input((8, 8, 3))
        x = norms.normalization("batch")(keras.layers.Conv2D(4, 3)(inputs))
        outputs = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(x))
        model = keras.Model(inputs, outputs)
        model.compile("sgd", "mse")
    history = model.fit(_random((8, 8, 8, 3)), _random((8, 1)), batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"][0])
    assert np.abs(model.layers[2].moving_mean.numpy()).max() > 0


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_saved_and_loaded_twice_is_equal(kind, policy, tmp_path):
    inputs = keras.Input((6, 6, 8))
    norm = norms.normalization(kind, name="norm")
    norm.dtype_policy = keras.DTypePolicy(policy)
    model = keras.Model(inputs, norm(inputs))
    _randomize(norm, seed=3)
    loaded = model
    for path in (tmp_path / "first.keras", tmp_path / "second.keras"):
        loaded.save(path)
        loaded = keras.models.load_model(path)
    batch = _random((2, 6, 6, 8))
    _assert_same(
        tf.cast(loaded(batch), "float32"), tf.cast(model(batch), "float32"), tolerance=0
    )
    assert loaded.get_layer("norm").get_config() == norm.get_config()


def test_inference_graph_holds_the_fused_kernel_so_that_it_can_be_folded():
    layer = norms.BatchNormalization()
    layer.build((None, 4, 4, 8))
    graph = (
        tf.function(lambda x: layer(x, training=False))
        .get_concrete_function(tf.TensorSpec((None, 4, 4, 8)))
        .graph
    )
    kernels = [op for op in graph.get_operations() if "FusedBatchNorm" in op.type]
    assert [op.get_attr("is_training") for op in kernels] == [False]


def test_other_backends_take_the_path_of_keras(monkeypatch):
    ours, keras_layer = _pair((4, 5, 6, 8))
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(tf.raw_ops, "FusedBatchNormV3", None)
    inputs = tf.constant(_random((4, 5, 6, 8)))
    _assert_same(ours(inputs, training=True), keras_layer(inputs, training=True))


@pytest.mark.parametrize(
    ("make", "groups", "shape"),
    [
        (norms.GroupNormalization, 24, (3, 4, 5, 24)),
        (norms.GroupNormalization, 24, (3, 7, 24)),
        (functools.partial(norms.GroupNormalization, max_groups=11), 8, (3, 4, 5, 24)),
        (functools.partial(norms.GroupNormalization, max_groups=11), 8, (3, 24)),
        (norms.InstanceNormalization, 24, (3, 4, 5, 24)),
        (norms.InstanceNormalization, 24, (1, 4, 5, 24)),
        (norms.InstanceNormalization, 24, (3, 7, 24)),
    ],
)
def test_group_norms_equal_those_of_keras(make, groups, shape):
    ours = make()
    keras_layer = keras.layers.GroupNormalization(groups, epsilon=1e-5)
    for layer in (ours, keras_layer):
        layer.build(shape)
        _randomize(layer, seed=1)
    inputs, weights = tf.constant(_random(shape)), _random(shape, 2)
    _assert_same(_step(ours, inputs, weights), _step(keras_layer, inputs, weights))


@pytest.mark.parametrize(
    ("channels", "groups"), [(64, 32), (48, 24), (6, 6), (1, 1), (37, 1), (100, 25)]
)
def test_groups_are_the_largest_divisor_up_to_32(channels, groups):
    layer = norms.normalization("group")
    layer.build((None, None, None, channels))
    assert layer.num_groups == groups


def test_layer_norm_acts_over_the_channels_of_a_pixel():
    output = norms.normalization("layer")(tf.constant([[[[1.0, 3.0], [5.0, 5.0]]]]))
    np.testing.assert_allclose(output, [[[[-1.0, 1.0], [0.0, 0.0]]]], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_unknown_size_build_and_run(kind):
    inputs = keras.Input((None, None, 8))
    model = keras.Model(inputs, norms.normalization(kind)(inputs))
    assert model.output.shape == (None, None, None, 8)
    assert model(_random((2, 3, 5, 8))).shape == (2, 3, 5, 8)


def test_an_unknown_kind_names_the_choices_and_the_nearest():
    with pytest.raises(
        errors.UsageError, match="batch, layer, instance, group"
    ) as info:
        norms.normalization("bacth")
    assert info.value.remedy == "Did you mean 'batch'?"
