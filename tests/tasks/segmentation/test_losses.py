import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.ops import overlap_losses
from tfdl.tasks.segmentation import losses

NUM_CLASSES = 4
over_losses = pytest.mark.parametrize("name", losses.LOSSES)
over_overlaps = pytest.mark.parametrize(
    "name", ["dice", "tversky", "jaccard", "lovasz"]
)


def random_case(*, seed=0, shape=(3, 6, 5), num_classes=NUM_CLASSES, ignored=0.2):
    rng = np.random.default_rng(seed)
    labels = rng.integers(num_classes, size=shape).astype(np.uint8)
    labels[rng.uniform(size=shape) < ignored] = 255
    logits = rng.normal(0, 3, (*shape, num_classes)).astype(np.float32)
    return labels, logits


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def slope(function, value):
    variable = tf.Variable(value)
    with tf.GradientTape() as tape:
        result = function(variable)
    return tape.gradient(result, variable).numpy()


def test_cross_entropy_is_hand_computed():
    # p of the true class: 1/2, 3/4 and 1/4; the last pixel is ignored.
    labels = np.array([[[0, 1], [0, 255]]])
    logits = np.log(np.float32([[[[1, 1], [1, 3]], [[1, 3], [9, 1]]]]))
    surprisals = np.array([math.log(2), math.log(4 / 3), math.log(4)])
    plain = losses.cross_entropy(labels, logits)
    np.testing.assert_allclose(plain, [surprisals.mean()], rtol=1e-6)
    by_class = losses.cross_entropy(labels, logits, class_weights=[1, 2])
    expected = surprisals @ [1, 2, 1] / 3
    np.testing.assert_allclose(by_class, [expected], rtol=1e-6)
    pixel_weights = np.array([[[1, 0.5], [3, 7]]])
    by_both = losses.cross_entropy(
        labels, logits, class_weights=[1, 2], pixel_weights=pixel_weights
    )
    expected = surprisals @ [1, 1, 3] / 3
    np.testing.assert_allclose(by_both, [expected], rtol=1e-6)


def test_focal_loss_is_hand_computed():
    labels = np.array([[[0, 1], [0, 255]]])
    logits = np.log(np.float32([[[[1, 1], [1, 3]], [[1, 3], [9, 1]]]]))
    faded = [math.log(2) / 4, math.log(4 / 3) / 16, math.log(4) * 9 / 16]
    result = losses.focal(labels, logits)
    np.testing.assert_allclose(result, [np.mean(faded)], rtol=1e-5)


def test_dice_is_hand_computed():
    # p of class 0: 0.9, 0.5, 0.2 and one that is ignored; it is at the first alone.
    labels = np.array([[[0, 1], [1, 255]]])
    share = np.float32([[[0.9, 0.5], [0.2, 0.7]]])
    logits = np.log(np.stack([share, 1 - share], axis=-1))
    first, second = 1 - 2 * 0.9 / (1.6 + 1), 1 - 2 * 1.3 / (1.4 + 2)
    result = losses.dice(labels, logits)
    np.testing.assert_allclose(result, [(first + second) / 2], rtol=1e-5)
    shifted = losses.dice(labels, logits, class_weights=[3, 1])
    np.testing.assert_allclose(shifted, [(3 * first + second) / 4], rtol=1e-5)


@pytest.mark.parametrize("num_classes", [2, 21])
def test_of_equal_logits_cross_entropy_is_ln_classes(num_classes):
    labels, logits = random_case(num_classes=num_classes)
    result = losses.cross_entropy(labels, np.zeros_like(logits))
    np.testing.assert_allclose(result, [math.log(num_classes)] * 3, rtol=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_a_picture_of_a_rare_class_counts_more(name):
    labels = np.stack([np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)])
    logits = np.zeros((2, 4, 4, 2), np.float32)
    plain = losses.LOSSES[name](labels, logits).numpy()
    weighed = losses.LOSSES[name](labels, logits, class_weights=[0.5, 50])
    np.testing.assert_allclose(weighed, plain * [0.5, 50], rtol=1e-6)


def test_cross_entropy_and_focal_loss_equal_keras():
    labels, logits = random_case(ignored=0)
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction=None
    )(labels, logits)
    expected = np.mean(cross_entropy, axis=(1, 2))
    result = losses.cross_entropy(labels, logits)
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    focal = keras.losses.CategoricalFocalCrossentropy(
        alpha=1.0, gamma=2.0, from_logits=True, reduction=None
    )(np.eye(NUM_CLASSES)[labels], logits)
    result = losses.focal(labels, logits)
    np.testing.assert_allclose(result, np.mean(focal, axis=(1, 2)), rtol=1e-4)


def test_dice_equals_keras_where_all_classes_are_present():
    labels, logits = random_case(ignored=0)
    targets = np.eye(NUM_CLASSES, dtype="f4")[labels]
    expected = keras.losses.dice(targets, softmax(logits), axis=(1, 2))
    assert all(len(np.unique(picture)) == NUM_CLASSES for picture in labels)
    result = losses.dice(labels, logits)
    np.testing.assert_allclose(result, np.mean(expected, axis=-1), rtol=1e-5)


def test_tversky_weighs_misses_more_than_alarms():
    labels = np.array([[[0, 0, 1, 1]]])
    sure = 1000 * np.eye(2, dtype="f4")
    # Class 0 has a hit and a miss, class 1 two hits and an alarm.
    result = losses.tversky(labels, sure[np.array([[[0, 1, 1, 1]]])])
    first, second = 1 - 1 / (1 + 0.7), 1 - 2 / (2 + 0.3)
    np.testing.assert_allclose(result, [(first + second) / 2], rtol=1e-5)


@pytest.mark.parametrize("name", ["jaccard", "lovasz"])
def test_hard_answers_cost_what_iou_lacks(name):
    labels, logits = random_case(seed=3)
    labels[0][labels[0] == 2] = 3  # a class that this picture does not have
    answers = logits.argmax(axis=-1)
    result = losses.LOSSES[name](labels, 1000 * np.eye(4, dtype="f4")[answers])
    for picture in range(3):
        truth = labels[picture]
        found = np.where(truth == 255, 255, answers[picture])
        ious = [
            np.sum((truth == index) & (found == index))
            / np.sum((truth == index) | (found == index))
            for index in np.unique(truth[truth != 255])
        ]
        assert result[picture].numpy() == pytest.approx(1 - np.mean(ious), abs=1e-5)


@over_overlaps
def test_overlaps_are_those_of_the_softmax(name):
    labels, logits = random_case()
    weights = np.random.default_rng(1).uniform(0.5, 2, labels.shape)
    of_classes = {
        "tversky": functools.partial(
            overlap_losses.tversky,
            false_positive_weight=0.3,
            false_negative_weight=0.7,
        )
    }.get(name) or getattr(overlap_losses, name)
    targets = np.eye(256, dtype="f4")[labels][..., :NUM_CLASSES]
    expected = of_classes(softmax(logits), targets, weights * (labels != 255))
    result = losses.LOSSES[name](labels, logits, pixel_weights=weights)
    np.testing.assert_allclose(result, np.mean(expected, axis=-1), rtol=1e-4)


@over_losses
def test_what_is_ignored_has_no_influence(name):
    labels, logits = random_case()
    loss = losses.LOSSES[name]
    changed = logits + 50 * (labels == 255)[..., None] * np.eye(NUM_CLASSES)[1]
    assert (changed != logits).any()
    before, after = loss(labels, logits), loss(labels, changed.astype(np.float32))
    np.testing.assert_allclose(before, after, rtol=1e-6)
    slopes = slope(lambda values: loss(labels, values), logits)
    np.testing.assert_array_equal(slopes[labels == 255], 0)
    assert (np.abs(slopes[labels != 255]).max(axis=-1) > 0).mean() > 0.5


@over_losses
def test_a_picture_of_nothing_but_ignored_costs_nothing(name):
    labels, logits = random_case()
    labels[1] = 255
    loss = losses.LOSSES[name]
    found = loss(labels, logits).numpy()
    assert found[1] == 0
    assert (found[[0, 2]] > 0).all()
    slopes = slope(lambda values: loss(labels, values), logits)
    np.testing.assert_array_equal(slopes[1], 0)
    assert np.isfinite(slopes).all()


@over_losses
@pytest.mark.parametrize("size", [1000.0, -1000.0])
def test_large_logits_give_finite_losses(name, size):
    labels, _ = random_case()
    logits = size * np.eye(NUM_CLASSES, dtype="f4")[np.where(labels == 255, 0, labels)]
    logits[0] = np.roll(logits[0], 1, axis=-1)  # sure of what is wrong
    found = losses.LOSSES[name](labels, logits).numpy()
    assert np.isfinite(found).all()
    if size > 0:
        np.testing.assert_allclose(found[1:], 0, atol=1e-5)
        assert found[0] > 0.9
    slopes = slope(lambda values: losses.LOSSES[name](labels, values), logits)
    assert np.isfinite(slopes).all()


@over_losses
def test_slopes_equal_finite_differences(name):
    labels, logits = random_case(shape=(1, 3, 3), num_classes=3)
    logits /= 3
    weights = {
        "class_weights": np.float32([1, 2, 0.5]),
        "pixel_weights": np.random.default_rng(2).uniform(0.5, 2, (1, 3, 3)),
    }

    def of(values):
        return losses.LOSSES[name](labels, values, **weights)

    found, step = slope(of, logits), 1e-2
    steps = step * np.eye(logits.size, dtype="f4").reshape(-1, *logits.shape[1:])
    ends = [
        losses.LOSSES[name](
            np.repeat(labels, len(steps), axis=0), logits + sign * steps, **weights
        ).numpy()
        for sign in (1, -1)
    ]
    expected = (ends[0] - ends[1]).reshape(logits.shape) / (2 * step)
    # Lovász has edges where two errors are equal: none may lie within a step.
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.abs(found).max() > 0.02


@over_losses
def test_the_mean_of_two_halves_is_that_of_the_batch(name):
    labels, logits = random_case(shape=(4, 5, 5))
    loss = losses.LOSSES[name]
    halves = [loss(labels[part], logits[part]) for part in (slice(2), slice(2, 4))]
    whole = loss(labels, logits)
    assert whole.shape == (4,)
    np.testing.assert_allclose(np.concatenate(halves), whole, rtol=1e-6)


@over_losses
def test_half_precision_gives_float32(name):
    labels, logits = random_case()
    half = tf.cast(logits, tf.bfloat16)
    weight = tf.cast(1.5, tf.bfloat16)
    found = losses.LOSSES[name](labels, half, pixel_weights=weight)
    assert found.dtype == tf.float32
    whole = tf.cast(half, tf.float32)
    expected = losses.LOSSES[name](labels, whole, pixel_weights=1.5)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@over_losses
def test_integers_of_any_kind_and_unknown_sizes_will_do(name):
    labels, logits = random_case()
    loss = losses.LOSSES[name]
    graph = tf.function(
        loss,
        input_signature=[
            tf.TensorSpec([None, None, None], tf.int32),
            tf.TensorSpec([None, None, None, NUM_CLASSES]),
        ],
    )
    found = graph(labels.astype(np.int32), logits)
    np.testing.assert_allclose(found, loss(labels, logits), rtol=1e-5)


def test_named_losses_are_added():
    labels, logits = random_case()
    weights = {"class_weights": [1, 2, 3, 4], "pixel_weights": np.full((3, 6, 5), 2.0)}
    total = losses.named("cross_entropy+dice")(labels, logits, **weights)
    parts = [
        function(labels, logits, **weights)
        for function in (losses.cross_entropy, losses.dice)
    ]
    np.testing.assert_allclose(total, parts[0] + parts[1], rtol=1e-6)
    alone = losses.named("lovasz")(labels, logits)
    np.testing.assert_array_equal(alone, losses.lovasz(labels, logits))


@pytest.mark.parametrize("name", ["", "dise", "dice+", "dice + focal"])
def test_unknown_losses_are_refused(name):
    with pytest.raises(errors.UsageError, match="names no loss") as caught:
        losses.named(name)
    assert "cross_entropy" in caught.value.remedy


def test_auxiliary_heads_count_less():
    labels, logits = random_case()
    outputs = {"logits": logits, "auxiliary1": logits / 2, "auxiliary2": -logits}
    weights = {"class_weights": [1, 2, 3, 4]}
    found = losses.of_outputs(losses.cross_entropy, labels, outputs, **weights)
    main, first, second = (
        losses.cross_entropy(labels, values, **weights) for values in outputs.values()
    )
    np.testing.assert_allclose(found, main + 0.4 * first + 0.4 * second, rtol=1e-6)
    alone = losses.of_outputs(
        losses.cross_entropy, labels, {"logits": logits}, **weights
    )
    np.testing.assert_array_equal(alone, main)


@over_losses
def test_descending_a_loss_leads_to_the_labels(name):
    labels, logits = random_case(shape=(3, 4, 4))
    answers, optimizer = tf.Variable(0.1 * logits), keras.optimizers.Adam(0.5)
    optimizer.build([answers])

    @tf.function
    def descend():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(losses.LOSSES[name](labels, answers))
        optimizer.apply([tape.gradient(loss, answers)], [answers])

    for _ in range(40):
        descend()
    is_right = answers.numpy().argmax(axis=-1) == labels
    assert is_right[labels != 255].all()
