import math
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.ops import losses


def random_logits(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 4, shape).astype(np.float32)


def random_targets(*shape, high=1.0, seed=1):
    return np.random.default_rng(seed).uniform(0, high, shape).astype(np.float32)


def slope(function, value):
    variable = tf.Variable(value)
    with tf.GradientTape() as tape:
        result = function(variable)
    return tape.gradient(result, variable).numpy()


def keras_cv():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, at import
        return pytest.importorskip("keras_cv")


def test_binary_cross_entropy_of_an_undecided_logit_is_ln_2():
    result = losses.binary_cross_entropy(tf.zeros([3]), tf.constant([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(result, [math.log(2)] * 3, rtol=1e-6)


def test_binary_cross_entropy_equals_its_definition():
    logits, targets = random_logits(5, 7), random_targets(5, 7)
    sure = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = -targets * np.log(sure) - (1 - targets) * np.log(1 - sure)
    result = losses.binary_cross_entropy(tf.constant(logits), tf.constant(targets))
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)


def test_binary_cross_entropy_grows_with_the_logit_without_end():
    logits, targets = tf.constant([-1e4, 1e4, 1e4]), tf.constant([1.0, 0.0, 1.0])
    result = losses.binary_cross_entropy(logits, targets)
    np.testing.assert_allclose(result, [1e4, 1e4, 0])


def test_the_slope_of_binary_cross_entropy_is_the_error():
    logits = np.float32([-200, -3, 0, 2, 200])
    found = slope(lambda x: losses.binary_cross_entropy(x, tf.fill([5], 0.25)), logits)
    np.testing.assert_allclose(found, tf.sigmoid(logits) - 0.25, atol=1e-6)


def test_focal_loss_is_hand_computed():
    # p 0.75, so that p_t is 0.75 for target 1 and 0.25 for target 0.
    logits = tf.fill([2], math.log(3))
    result = losses.sigmoid_focal(logits, tf.constant([1.0, 0.0]))
    expected = [
        -0.25 * 0.25**2 * math.log(0.75),
        -0.75 * 0.75**2 * math.log(0.25),
    ]
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_focal_loss_equals_keras():
    logits = random_logits(6, 5)
    targets = np.round(random_targets(6, 5))
    ours = losses.sigmoid_focal(logits, targets, alpha=0.3, gamma=1.5)
    theirs = keras.losses.BinaryFocalCrossentropy(
        apply_class_balancing=True,
        alpha=0.3,
        gamma=1.5,
        from_logits=True,
        reduction=None,
    )(targets, logits)
    np.testing.assert_allclose(np.mean(ours, axis=-1), theirs, rtol=1e-4)


def test_focal_loss_equals_keras_cv():
    logits = random_logits(6, 5)
    targets = np.round(random_targets(6, 5))
    theirs = keras_cv().losses.FocalLoss(from_logits=True, reduction="none")
    ours = losses.sigmoid_focal(logits, targets)
    np.testing.assert_allclose(
        tf.reduce_sum(ours, axis=-1), theirs(targets, logits), rtol=1e-4
    )


def test_focal_loss_without_fading_is_half_of_cross_entropy():
    logits, targets = tf.constant(random_logits(9)), tf.constant(random_targets(9))
    result = losses.sigmoid_focal(logits, targets, alpha=0.5, gamma=0.0)
    expected = losses.binary_cross_entropy(logits, targets) / 2
    np.testing.assert_allclose(result, expected, rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_focal_loss_is_finite_for_any_logit(gamma, target):
    logits = np.float32([-1e4, -100, -20, 0, 20, 100, 1e4])
    targets = tf.fill([7], target)
    found = losses.sigmoid_focal(tf.constant(logits), targets, gamma=gamma)
    assert np.isfinite(found).all()
    slopes = slope(lambda x: losses.sigmoid_focal(x, targets, gamma=gamma), logits)
    assert np.isfinite(slopes).all()


def test_a_uniform_distribution_costs_ln_bins():
    result = losses.distribution_focal(tf.zeros([3, 16]), tf.constant([0.0, 3.4, 15.0]))
    np.testing.assert_allclose(result, [math.log(16)] * 3, rtol=1e-6)


def test_distribution_focal_is_the_neighbours_cross_entropy():
    logits, targets = random_logits(9, 16), random_targets(9, high=14.99)
    left = np.floor(targets).astype(int)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction=None
    )
    expected = cross_entropy(left, logits) * (left + 1 - targets)
    expected += cross_entropy(left + 1, logits) * (targets - left)
    result = losses.distribution_focal(tf.constant(logits), tf.constant(targets))
    np.testing.assert_allclose(result, expected, rtol=1e-4)


def test_distribution_focal_moves_targets_beyond_the_ends():
    logits = tf.constant(random_logits(2, 5))
    beyond = losses.distribution_focal(logits, tf.constant([-3.0, 99.0]))
    at_ends = losses.distribution_focal(logits, tf.constant([0.0, 4.0]))
    np.testing.assert_array_equal(beyond, at_ends)


def test_distribution_focal_is_least_where_the_mean_is_the_target():
    logits = tf.Variable(tf.zeros([1, 8]))
    optimizer = keras.optimizers.Adam(0.3)
    for _ in range(60):
        with tf.GradientTape() as tape:
            loss = losses.distribution_focal(logits, tf.constant([2.7]))
        optimizer.apply([tape.gradient(loss, logits)], [logits])
    mean = tf.reduce_sum(tf.nn.softmax(logits) * tf.range(8.0))
    assert mean.numpy() == pytest.approx(2.7, abs=0.05)


def test_smooth_l1_is_hand_computed():
    result = losses.smooth_l1(tf.constant([-3.0, -0.5, 0.0, 0.5, 1.0, 2.0]))
    np.testing.assert_allclose(result, [2.5, 0.125, 0, 0.125, 0.5, 1.5])


@pytest.mark.parametrize("beta", [1.0, 1 / 9, 2.5])
def test_smooth_l1_is_huber_over_beta(beta):
    differences = random_logits(20)
    huber = keras.losses.Huber(delta=beta, reduction=None)
    expected = huber(np.zeros([20, 1]), differences[:, None]) / beta
    result = losses.smooth_l1(tf.constant(differences), beta=beta)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-6)


def test_the_slope_of_smooth_l1_is_cut_at_one():
    found = slope(losses.smooth_l1, np.float32([-3, -1, -0.5, 0, 0.5, 1, 9]))
    np.testing.assert_allclose(found, [-1, -1, -0.5, 0, 0.5, 1, 1])


def test_smooth_l1_without_a_parabola_is_refused():
    with pytest.raises(errors.UsageError, match="beta=0"):
        losses.smooth_l1(tf.zeros([1]), beta=0)


def test_half_precision_gives_float32():
    half = tf.cast(random_logits(4, 8), tf.bfloat16)
    ones = tf.ones([4, 8], tf.bfloat16)
    results = [
        losses.binary_cross_entropy(half, ones),
        losses.sigmoid_focal(half, ones),
        losses.distribution_focal(half, ones[:, 0]),
        losses.smooth_l1(half),
    ]
    assert all(result.dtype == tf.float32 for result in results)


@pytest.mark.parametrize("count", [0, 1])
def test_shapes_are_kept(count):
    logits = tf.zeros([2, count, 3])
    assert losses.binary_cross_entropy(logits, logits).shape == (2, count, 3)
    assert losses.sigmoid_focal(logits, logits).shape == (2, count, 3)
    assert losses.distribution_focal(logits, logits[..., 0]).shape == (2, count)
    assert losses.smooth_l1(logits).shape == (2, count, 3)
