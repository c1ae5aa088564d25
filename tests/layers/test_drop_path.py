"""Drop-path: identities in inference, and in training the frequencies asked for."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.layers import blocks, drop_path

NUM_PICTURES = 20_000
PATHS = (1.0, 10.0, 100.0)  # sums of any of them tell which they are
POLICIES = ["float32", "mixed_bfloat16"]


def _constant(value, num_pictures=NUM_PICTURES):
    return np.full((num_pictures, 1, 1, 1), value, "float32")


def _deviation(rate, num_pictures=NUM_PICTURES):
    """Five standard deviations of the frequency of an event."""
    return 5 * np.sqrt(rate * (1 - rate) / num_pictures)


def _numpy(tensor):
    return np.ravel(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")))


def _join(rate=0.15, *, columns=(), paths=PATHS, num_pictures=NUM_PICTURES, **options):
    """Join constant paths in training, one value for each picture."""
    layer = drop_path.DropPathJoin(rate, columns=columns, seed=3)
    inputs = [_constant(path, num_pictures) for path in paths]
    return _numpy(layer(inputs, training=True, **options))


def _means():
    """Mean of the surviving paths -> which they are, for all subsets."""
    return {
        np.float32(np.mean([PATHS[path] for path in kept])): kept
        for size in (1, 2, 3)
        for kept in itertools.combinations(range(3), size)
    }


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5])
def test_drop_path_drops_the_share_asked_for_and_keeps_the_mean(rate, policy):
    """Also in bfloat16, where a draw in that format would drop 1.5 % for 1 %."""
    keras.config.set_dtype_policy(policy)
    num_pictures = 200_000
    layer = drop_path.DropPath(rate, seed=5)
    values = _numpy(layer(_constant(1.0, num_pictures), training=True))
    dropped = np.mean(values == 0)
    tolerance = _deviation(rate, num_pictures)
    assert dropped == pytest.approx(rate, abs=tolerance)
    kept = np.unique(values)[1:]
    np.testing.assert_allclose(kept, [1 / (1 - rate)], rtol=4e-3)  # bfloat16's digits
    expectation = values.mean()
    assert expectation == pytest.approx(1, abs=tolerance / (1 - rate) + 4e-3)


@pytest.mark.parametrize("training", [False, True])
def test_drop_path_is_the_identity_in_inference_and_without_a_rate(training):
    image = np.random.default_rng(0).normal(size=(4, 3, 3, 2)).astype("float32")
    layer = drop_path.DropPath(0.0 if training else 0.5)
    np.testing.assert_array_equal(layer(image, training=training), image)


def test_drop_path_drops_whole_pictures():
    values = drop_path.DropPath(0.5, seed=1)(np.ones((64, 5, 4, 3)), training=True)
    per_picture = np.reshape(values, (64, -1))
    assert (per_picture == per_picture[:, :1]).all()
    assert set(per_picture[:, 0]) == {0.0, 2.0}


@pytest.mark.parametrize("policy", POLICIES)
def test_stochastic_depth_is_a_plain_sum_in_inference_and_on_average(policy):
    keras.config.set_dtype_policy(policy)
    branch, shortcut = keras.Input((1, 1, 1)), keras.Input((1, 1, 1))
    outputs = blocks.residual_sum(branch, shortcut, drop_path_rate=0.25, name="block")
    model = keras.Model([branch, shortcut], outputs)
    images = [_constant(3.0), _constant(1.0)]
    assert set(_numpy(model(images))) == {4.0}
    values = _numpy(model(images, training=True))
    assert set(values) == {1.0, 5.0}  # dropped, or 3 / 0.75 + 1
    assert np.mean(values == 1.0) == pytest.approx(0.25, abs=_deviation(0.25))
    assert values.mean() == pytest.approx(4.0, abs=4 * _deviation(0.25))


def test_rates_of_stochastic_depth_rise_to_the_last():
    assert blocks.drop_path_rates(0.5, 4) == [0.125, 0.25, 0.375, 0.5]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("rate", [0.0, 0.15])
def test_a_join_is_the_mean_in_inference(rate, policy):
    keras.config.set_dtype_policy(policy)
    layer = drop_path.DropPathJoin(rate)
    joined = layer([_constant(1.0, 2), _constant(2.0, 2), _constant(6.0, 2)])
    assert joined.dtype == ("float32" if policy == "float32" else "bfloat16")
    assert set(_numpy(joined)) == {3.0}


def test_a_join_without_a_rate_is_the_mean_in_training_whatever_the_choice():
    choice = np.zeros(8, "int32")
    values = _join(0.0, columns=(0, 1, 2), choice=choice, num_pictures=8)
    assert set(values) == {37.0}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("rate", [0.02, 0.15, 0.6])
def test_paths_survive_as_often_as_asked_and_one_always(rate, policy):
    """A path survives if it is not dropped, or as one of three where all would be."""
    keras.config.set_dtype_policy(policy)
    values, means = _join(rate), _means()
    nearest = [min(means, key=lambda mean: abs(mean - v)) for v in np.unique(values)]
    np.testing.assert_allclose(np.unique(values), nearest, rtol=4e-3)
    kept = dict(zip(np.unique(values), [means[mean] for mean in nearest], strict=True))
    expected = 1 - rate + rate**3 / 3
    for path in range(3):
        survives = np.mean([path in kept[value] for value in values])
        assert survives == pytest.approx(expected, abs=_deviation(expected))
    alone = [mean for mean, paths in means.items() if len(paths) == 1]
    share = np.mean(np.isin(values, alone))
    expected = 3 * (1 - rate) * rate**2 + rate**3
    assert share == pytest.approx(expected, abs=_deviation(expected))


@pytest.mark.parametrize("policy", POLICIES)
def test_expectation_of_a_join_is_the_mean(policy):
    keras.config.set_dtype_policy(policy)
    values = _join(0.4)
    tolerance = 5 * values.std() / np.sqrt(NUM_PICTURES)
    assert values.mean() == pytest.approx(np.mean(PATHS), abs=tolerance + 0.2)


def test_a_chosen_column_is_kept_alone_and_others_are_local():
    """In the third row the join has no such column, in the last none is chosen."""
    choice = np.array([2, 3, 0, drop_path.NO_COLUMN] * 2500, "int32")
    values = _join(
        0.5, columns=(1, 2, 3), choice=choice, num_pictures=len(choice)
    ).reshape(-1, 4)
    assert set(values[:, 0]) == {10.0}
    assert set(values[:, 1]) == {100.0}
    for column in (2, 3):
        assert len(np.unique(values[:, column])) == 7  # all subsets but the empty


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_columns_are_chosen_for_the_share_of_batches_each_as_often(rate):
    layer, num_batches = drop_path.ColumnChoice(4, rate=rate, seed=2), 1000
    draw = tf.function(lambda: layer(tf.zeros([3, 1]), training=True))
    choices = np.array([draw() for _ in range(num_batches)])
    assert choices.dtype == "int32"
    assert (choices == choices[:, :1]).all()  # one for the pictures of a batch
    counts = np.bincount(choices[:, 0] + 1, minlength=5) / num_batches
    assert counts[0] == pytest.approx(1 - rate, abs=_deviation(rate, num_batches))
    tolerance = _deviation(0.25, num_batches)
    np.testing.assert_allclose(counts[1:], rate / 4, atol=tolerance)


def test_no_column_is_chosen_in_inference():
    choice = drop_path.ColumnChoice(4)(_constant(0.0, 5))
    np.testing.assert_array_equal(choice, [drop_path.NO_COLUMN] * 5)


def test_gradient_goes_to_the_survivors_in_equal_parts():
    inputs = [tf.Variable(_constant(path, 500)) for path in PATHS]
    layer = drop_path.DropPathJoin(0.4, seed=0)
    with tf.GradientTape() as tape:
        joined = layer(inputs, training=True)
    gradients = np.stack([np.ravel(g) for g in tape.gradient(joined, inputs)])
    np.testing.assert_allclose(gradients.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_allclose((gradients * [[1], [10], [100]]).sum(0), _numpy(joined))
    np.testing.assert_allclose(np.unique(gradients), [0, 1 / 3, 1 / 2, 1], rtol=1e-6)


def _network():
    inputs = keras.Input((2, 2, 3))
    choice = drop_path.ColumnChoice(2)(inputs)
    paths = [inputs, -inputs]
    joined = drop_path.DropPathJoin(0.5, columns=(0, 1))(paths, choice=choice)
    branch = drop_path.DropPath(0.5)(joined)
    return keras.Model(inputs, keras.layers.Add()([branch, inputs]))


def test_draws_follow_seed_states_that_are_no_weights():
    """So a training loop can seed them, and a weights file does not hold them."""
    model = _network()
    images = np.ones((64, 2, 2, 3), "float32")
    assert model.weights == []
    assert len(model.variables) == 3
    draws = []
    for seed in (1, 1, 2):
        for variable in model.variables:
            variable.assign([seed, 0])
        draws.append(np.array(model(images, training=True)))
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()
    assert (model(images, training=True) != draws[2]).numpy().any()  # the state moves


def test_a_saved_network_loads_equal_and_trains(tmp_path):
    model = _network()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).random((8, 2, 2, 3), dtype="float32")
    np.testing.assert_array_equal(loaded(images), model(images))
    assert [layer.rate for layer in loaded.layers[1:3]] == [0.5, 0.5]
    assert np.isfinite(loaded(images, training=True)).all()
