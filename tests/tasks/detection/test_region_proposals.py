"""Targets and losses by hand, and proposals of answers that are known."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.ops import anchors as anchors_of, box_coding, boxes as boxes_of
from tfdl.tasks.detection import anchor_targets, region_proposals

SIDE = 64
LEVELS = anchors_of.proposals((SIDE, SIDE))
ANCHORS = np.concatenate(LEVELS)
OBJECTS = {
    "boxes": np.float32([[[8, 8, 40, 40], [30, 4, 62, 20], [0, 0, 0, 0]]]),
    "labels": np.int32([[3, 1, -1]]),
    "weights": np.float32([[1, 0.5, 0]]),
}


def answers(objectness=None, boxes=None):
    """What a head would have to say for some logits and boxes of the anchors."""
    count = len(ANCHORS)
    logits = np.full((1, count), -9.0, np.float32)
    shifts = np.zeros((1, count, 4), np.float32)
    for place, logit in (objectness or {}).items():
        logits[0, place] = logit
    for place, box in (boxes or {}).items():
        shifts[0, place] = box_coding.encode(
            np.float32([box]), ANCHORS[None, place], variances=(1, 1, 1, 1)
        )[0]
    return {"objectness": tf.constant(logits), "shifts": tf.constant(shifts)}


def propose(outputs, **options):
    layer = region_proposals.Proposals((SIDE, SIDE), **options)
    return {name: np.asarray(each) for name, each in layer(outputs).items()}


def test_every_anchor_of_an_object_is_of_the_same_class():
    targets = region_proposals.targets(OBJECTS, ANCHORS)
    labels = targets["labels"].numpy()[0]
    overlap = boxes_of.iou(ANCHORS, OBJECTS["boxes"][0, :2]).numpy()
    assert set(labels) == {0, anchor_targets.BACKGROUND, anchor_targets.IGNORED}
    assert (labels[overlap.max(axis=1) >= 0.7] == 0).all()
    assert overlap[labels == -1].max() < 0.3
    assert {0, 1} == set(overlap[labels == 0].argmax(axis=1))


def test_losses_are_means_over_what_would_be_drawn():
    """Of 300 negatives and 2 positives are drawn: both positives, 254 negatives."""
    labels = np.full((1, 310), -1, np.int32)
    labels[0, :2], labels[0, 2:10] = 0, -2
    weights = np.zeros((1, 310), np.float32)
    weights[0, :2] = 1
    targets = {
        "labels": labels,
        "weights": weights,
        "deltas": np.zeros((1, 310, 4), np.float32),
    }
    logits = np.zeros((1, 310), np.float32)
    logits[0, 0] = np.log(3)  # of a probability of 3 / 4
    shifts = np.zeros((1, 310, 4), np.float32)
    shifts[0, 1] = 1.0
    shifts[0, 100] = 5.0  # background has no place to be moved to
    found = region_proposals.losses(targets, {"objectness": logits, "shifts": shifts})
    wrong = -np.log(0.75) - np.log(0.5) * (1 + 254)
    assert float(found["objectness_loss"][0]) == pytest.approx(wrong / 256, rel=1e-5)
    each = 1 - 1 / 18  # smooth L1 of 1, linear from 1 / 9 on
    assert float(found["shift_loss"][0]) == pytest.approx(4 * each / 256, rel=1e-5)


def test_at_most_half_of_what_is_drawn_is_positive():
    labels = np.int32([[0] * 300 + [-1] * 100])
    targets = {
        "labels": labels,
        "weights": np.ones_like(labels, np.float32),
        "deltas": np.zeros((1, 400, 4), np.float32),
    }
    logits = np.where(labels == 0, np.log(3), 0).astype(np.float32)
    outputs = {"objectness": logits, "shifts": targets["deltas"]}
    found = region_proposals.losses(targets, outputs)["objectness_loss"][0]
    expected = (-128 * np.log(0.75) - 100 * np.log(0.5)) / 228
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_a_head_that_knows_nothing_loses_ln_2_and_is_told_so():
    maps = [np.ones((1, SIDE // s, SIDE // s, 8)) for s in anchors_of.PROPOSAL_STRIDES]
    inputs = [keras.Input(x.shape[1:]) for x in maps]
    head = keras.Model(inputs, region_proposals.head(inputs))
    targets = region_proposals.targets(OBJECTS, ANCHORS)
    found = region_proposals.losses(targets, head(maps))["objectness_loss"][0]
    expected = region_proposals.start_losses(targets)["objectness_loss"]
    assert float(found) == pytest.approx(expected, rel=0.05)
    assert 0.9 * np.log(2) < expected <= np.log(2)  # an object weighs a half


def test_proposals_are_the_surest_boxes_moved_and_cut_to_the_picture():
    places = {100: 2.0, 400: 3.0, 769: 1.0}
    boxes = {100: [1, 2, 20, 30], 400: [30, 35, 70, 90], 769: [5, 40, 25, 60]}
    found = propose(answers(places, boxes), candidates=50, count=3)
    expected = [[30, 35, 64, 64], [1, 2, 20, 30], [5, 40, 25, 60]]
    np.testing.assert_allclose(found["boxes"][0], expected, atol=1e-3)
    np.testing.assert_array_equal(found["weights"], 1)


def test_a_box_that_overlaps_a_surer_one_of_its_level_is_left_out():
    """The same box from a coarser level stays: levels are suppressed by themselves."""
    box = [4, 4, 36, 36]
    coarser = len(LEVELS[0]) + 5
    places = {10: 5.0, 20: 4.0, coarser: 3.0}
    found = propose(
        answers(places, dict.fromkeys(places, box)), candidates=20, count=30
    )
    is_box = np.abs(found["boxes"][0] - box).max(axis=1) < 0.01
    np.testing.assert_array_equal(np.flatnonzero(is_box), [0, 1])


def test_where_there_are_fewer_proposals_the_rest_weighs_nothing():
    everywhere = answers({}, dict.fromkeys(range(len(ANCHORS)), [8, 8, 40, 40]))
    found = propose(everywhere, candidates=10, count=20)
    assert found["weights"][0].sum() == len(LEVELS)
    np.testing.assert_array_equal(found["boxes"][0, len(LEVELS) :], 0)


def test_boxes_beyond_the_picture_are_no_proposals():
    outside = answers({7: 9.0}, {7: [-40, 3, -2, 30]})
    found = propose(outside, candidates=5, count=10)
    is_real = found["weights"][0] > 0
    sides = found["boxes"][0, is_real, 2:] - found["boxes"][0, is_real, :2]
    assert (sides > 0).all()


def test_no_gradient_comes_back_through_proposals():
    outputs = answers({5: 1.0})
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        found = region_proposals.Proposals((SIDE, SIDE), candidates=9, count=9)(outputs)
        total = tf.reduce_sum(found["boxes"])
    assert all(each is None for each in tape.gradient(total, outputs).values())
