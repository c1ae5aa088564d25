import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.ops import overlap_losses

# A picture of 2 x 2 pixels and two classes; the first pixel alone is of the first.
PROBABILITIES = np.float32([[[[0.9, 0.1], [0.5, 0.5]], [[0.2, 0.8], [0.4, 0.6]]]])
TARGETS = np.float32([[[[1, 0], [0, 1]], [[0, 1], [0, 1]]]])
ONES = np.ones((1, 2, 2), np.float32)


def random_case(*, seed=0, shape=(3, 5, 7), num_classes=4, absent=()):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(*shape, num_classes)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    present = [index for index in range(num_classes) if index not in absent]
    targets = np.eye(num_classes)[rng.choice(present, shape)]
    weights = rng.uniform(0.5, 2, shape) * (rng.uniform(size=shape) > 0.2)
    return [values.astype(np.float32) for values in (probabilities, targets, weights)]


def sorted_oracle(probabilities, targets, weights):
    """The Lovász extension by its definition, one set of mistakes after the other."""
    result = np.zeros((len(targets), targets.shape[-1]))
    for picture, index in itertools.product(*map(range, result.shape)):
        truth = targets[picture, ..., index].ravel()
        errors = np.abs(truth - probabilities[picture, ..., index].ravel())
        own = weights[picture].ravel().astype(np.float64)
        mistaken, before = np.zeros(len(truth), bool), 0.0
        for pixel in np.argsort(-errors):
            mistaken[pixel] = True
            union = own[(truth > 0) | mistaken].sum()
            right = own[(truth > 0) & ~mistaken].sum()
            loss = 1 - right / union if union > 0 else 0.0
            result[picture, index] += errors[pixel] * (loss - before)
            before = loss
    return result


def numeric_slope(function, value, step=1e-2):
    """Central differences of the sum of a function."""
    slope = np.zeros(value.shape)
    for place in np.ndindex(value.shape):
        ends = []
        for sign in (1, -1):
            moved = value.copy()
            moved[place] += sign * step
            ends.append(np.sum(function(moved), dtype=np.float64))
        slope[place] = (ends[0] - ends[1]) / (2 * step)
    return slope


def slope(function, value):
    variable = tf.Variable(value)
    with tf.GradientTape() as tape:
        result = function(variable)
    return tape.gradient(result, variable).numpy()


def tversky(probabilities, targets, weights):
    return overlap_losses.tversky(
        probabilities,
        targets,
        weights,
        false_positive_weight=0.3,
        false_negative_weight=0.7,
    )


LOSSES = {
    "tversky": tversky,
    "dice": overlap_losses.dice,
    "jaccard": overlap_losses.jaccard,
    "lovasz": overlap_losses.lovasz,
}
over_losses = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def test_losses_are_hand_computed():
    # The first class: 0.9 hit, 1.1 alarms, 0.1 missed; the second: 1.9, 0.1 and 1.1.
    case = (PROBABILITIES, TARGETS, ONES)
    dice = [1 - 1.8 / 3, 1 - 3.8 / 5]
    np.testing.assert_allclose(overlap_losses.dice(*case), [dice], rtol=1e-5)
    jaccard = [1 - 0.9 / 2.1, 1 - 1.9 / 3.1]
    np.testing.assert_allclose(overlap_losses.jaccard(*case), [jaccard], rtol=1e-5)
    expected = [1 - 0.9 / (0.9 + 0.33 + 0.07), 1 - 1.9 / (1.9 + 0.03 + 0.77)]
    np.testing.assert_allclose(tversky(*case), [expected], rtol=1e-5)


def test_lovasz_is_hand_computed():
    # The first class has the errors 0.5, 0.4, 0.2 at alarms and 0.1 at its only pixel:
    # IoU falls from 1 to 1/2, 1/3, 1/4 and 0. The second misses three: 0.5, 0.4, 0.2,
    # by which IoU falls to 2/3, 1/3, 0, and raises an alarm of 0.1, which adds nothing.
    first = 0.5 / 2 + 0.4 / 6 + 0.2 / 12 + 0.1 / 4
    second = (0.5 + 0.4 + 0.2) / 3
    result = overlap_losses.lovasz(PROBABILITIES, TARGETS, ONES)
    np.testing.assert_allclose(result, [[first, second]], rtol=1e-5)


@pytest.mark.parametrize("absent", [(), (1,), (0, 3)])
def test_lovasz_equals_its_definition(absent):
    case = random_case(absent=absent)
    result = overlap_losses.lovasz(*case)
    np.testing.assert_allclose(result, sorted_oracle(*case), rtol=1e-4, atol=1e-6)


def test_lovasz_keeps_its_digits_over_a_million_pixels():
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=(1, 2**20, 1)) < 0.3
    probabilities = rng.uniform(size=truth.shape).astype(np.float32)
    case = (probabilities, truth.astype(np.float32), np.ones((1, 2**20), np.float32))
    slopes = slope(lambda p: overlap_losses.lovasz(p, *case[1:]), probabilities)
    order = np.argsort(-np.abs(truth - probabilities).ravel())
    inside = truth.ravel()[order]
    union = inside.sum() + np.cumsum(~inside)
    losses = 1 - (inside.sum() - np.cumsum(inside)) / union
    expected = np.diff(losses, prepend=0)
    # Differences of float32 numbers below 1 would be 3e-8 off.
    found = np.abs(slopes.ravel()[order])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-12)


@over_losses
def test_hard_answers_cost_what_they_lack(loss):
    probabilities, targets, _ = random_case()
    hard = np.eye(4, dtype="f4")[probabilities.argmax(axis=-1)]
    weights = np.ones(hard.shape[:-1], "f4")
    right, true, found = (
        values.sum(axis=(1, 2)) for values in (hard * targets, targets, hard)
    )
    expected = {
        tversky: right / (0.3 * found + 0.7 * true),
        overlap_losses.dice: 2 * right / (true + found),
    }.get(loss, right / (true + found - right))
    np.testing.assert_allclose(loss(hard, targets, weights), 1 - expected, rtol=1e-4)
    np.testing.assert_allclose(loss(targets, targets, weights), 0, atol=1e-6)


def test_dice_and_tversky_equal_keras():
    probabilities, targets, _ = random_case()
    weights = np.ones(targets.shape[:-1], "f4")
    dice = keras.losses.dice(targets, probabilities, axis=(1, 2))
    result = overlap_losses.dice(probabilities, targets, weights)
    np.testing.assert_allclose(result, dice, rtol=1e-5)
    # Keras documents alpha as of false positives and multiplies the misses by it.
    theirs = keras.losses.tversky(
        targets, probabilities, alpha=0.7, beta=0.3, axis=(1, 2)
    )
    result = tversky(probabilities, targets, weights)
    np.testing.assert_allclose(result, theirs, rtol=1e-5)


@over_losses
def test_slopes_equal_finite_differences(loss):
    # Errors lie 0.0146 apart, so that no step changes their order.
    rng = np.random.default_rng(0)
    targets = np.eye(3, dtype="f4")[rng.integers(3, size=(1, 4, 4))]
    errors = 0.15 + 0.7 * rng.permutation(48).reshape(targets.shape) / 48
    probabilities = np.abs(targets - errors).astype(np.float32)
    weights = rng.uniform(0.5, 2, (1, 4, 4)).astype(np.float32)

    def of(values):
        return loss(values, targets, weights)

    expected = numeric_slope(of, probabilities, step=5e-3)
    np.testing.assert_allclose(slope(of, probabilities), expected, atol=1e-3)


@over_losses
def test_a_weight_is_worth_as_many_pixels(loss):
    probabilities, targets, weights = random_case(shape=(2, 4, 6))
    weights = np.round(weights)
    repeats = weights.astype(int)
    result = loss(probabilities, targets, weights)
    for picture in range(2):
        repeated = [
            np.repeat(values[picture].reshape(-1, 4), repeats[picture].ravel(), axis=0)
            for values in (probabilities, targets)
        ]
        ones = np.ones((1, len(repeated[0])), "f4")
        expected = loss(repeated[0][None], repeated[1][None], ones)
        np.testing.assert_allclose(result[picture], expected[0], rtol=1e-4, atol=1e-6)


@over_losses
def test_without_weights_there_is_no_loss_and_no_slope(loss):
    nothing = np.zeros_like(ONES)
    np.testing.assert_array_equal(loss(PROBABILITIES, TARGETS, nothing), 0)
    slopes = slope(lambda p: loss(p, TARGETS, nothing), PROBABILITIES)
    np.testing.assert_array_equal(slopes, 0)


@over_losses
def test_one_plane_is_a_class_of_its_own(loss):
    case = random_case()
    alone = loss(case[0][..., 2:3], case[1][..., 2:3], case[2])
    np.testing.assert_allclose(alone, loss(*case)[:, 2:3], rtol=1e-5)


def test_without_a_target_lovasz_is_the_largest_error():
    probabilities = np.float32([0.3, 0.8, 0.1]).reshape(1, 3, 1)
    zeros, ones = np.zeros_like(probabilities), np.ones((1, 3), "f4")
    result = overlap_losses.lovasz(probabilities, zeros, ones)
    np.testing.assert_allclose(result, [[0.8]], rtol=1e-6)


def test_without_a_target_shares_of_overlap_have_no_slope():
    probabilities = np.float32([0.3, 0.8, 0.1]).reshape(1, 3, 1)
    zeros, ones = np.zeros_like(probabilities), np.ones((1, 3), "f4")
    for loss in (overlap_losses.dice, overlap_losses.jaccard):
        np.testing.assert_allclose(loss(probabilities, zeros, ones), [[1.0]])
        plain = slope(
            lambda values, loss=loss: loss(values, zeros, ones), probabilities
        )
        np.testing.assert_array_equal(plain, 0)


def test_the_mean_is_of_the_classes_that_are_present():
    losses = np.float32([[0.2, 0.4, 0.9], [0.2, 0.4, 0.9], [0.2, 0.4, 0.9]])
    labels = np.array([[0, 1], [2, 2], [0, 2]])
    targets = np.eye(3, dtype="f4")[labels]
    weights = np.float32([[1, 1], [1, 0], [0, 0]])
    equal = overlap_losses.mean_of_present(losses, targets, weights, np.ones(3))
    np.testing.assert_allclose(equal, [0.3, 0.9, 0], rtol=1e-6)
    shifted = overlap_losses.mean_of_present(losses, targets, weights, [1, 3, 0])
    np.testing.assert_allclose(shifted, [0.35, 0, 0], rtol=1e-6)


@over_losses
def test_half_precision_gives_float32(loss):
    case = random_case()
    half = [tf.cast(values, tf.bfloat16) for values in case]
    result = loss(*half)
    assert result.dtype == tf.float32
    rounded = [tf.cast(values, tf.float32) for values in half]
    np.testing.assert_allclose(result, loss(*rounded), rtol=1e-6)


@over_losses
def test_pictures_of_unknown_size_are_measured_in_a_graph(loss):
    case = random_case(shape=(2, 3, 5))
    signature = [tf.TensorSpec([None, None, None, 4])] * 2
    graph = tf.function(
        loss, input_signature=[*signature, tf.TensorSpec([None, None, None])]
    )
    np.testing.assert_allclose(graph(*case), loss(*case), rtol=1e-5)
