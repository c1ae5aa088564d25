"""Scores of maps by hand, against a loop, and under other numbers."""

import numpy as np
import pytest

from tfdl.tasks.detection import instance_scores, matches

SIZE = (20, 24)


def drawn(rng, count):
    numbers = np.zeros(SIZE, np.int64)
    for number in range(1, count + 1):
        top, left = rng.integers(0, 16, 2)
        window = numbers[top : top + 6, left : left + 8]
        window[window == 0] = number
    return numbers


def moved(rng, truth):
    """Spoil a map: move it, and leave an object out."""
    found = np.roll(truth, rng.integers(-1, 2, 2), axis=(0, 1))
    return np.where(found == 1, 0, found)


def slow_mean_precision(truth, found):
    """Count at every threshold, pair by pair, as the challenge explains it."""
    own = [truth == n for n in np.unique(truth) if n]
    others = [found == n for n in np.unique(found) if n]
    scores = []
    for threshold in matches.THRESHOLDS:
        hits = sum(
            any(np.sum(a & b) / np.sum(a | b) > threshold for b in others) for a in own
        )
        scores.append(hits / (len(own) + len(others) - hits))
    return np.mean(scores)


def compact(numbers):
    """Number what is seen anew from 1."""
    seen = np.unique(numbers[numbers > 0])
    return np.searchsorted(seen, numbers, side="right") * (numbers > 0), len(seen)


@pytest.mark.parametrize("seed", range(6))
def test_mean_precision_is_that_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    truth, count = compact(drawn(rng, 8))
    found, num_found = compact(moved(rng, truth))
    pair = (truth, found, [0] * count, [0] * num_found)
    measured = instance_scores.measure([pair], num_classes=1)["mean_precision"]
    assert measured == pytest.approx(slow_mean_precision(truth, found))


@pytest.mark.parametrize("seed", range(3))
def test_other_numbers_of_the_same_objects_change_nothing(seed):
    rng = np.random.default_rng(seed)
    truth, count = compact(drawn(rng, 8))
    found, num_found = compact(moved(rng, truth))
    labels, answers = rng.integers(0, 3, count), rng.integers(0, 3, num_found)
    order, other = rng.permutation(count), rng.permutation(num_found)
    turned = np.append(0, order + 1)[truth], np.append(0, other + 1)[found]
    classes = np.empty(count, int), np.empty(num_found, int)
    classes[0][order], classes[1][other] = labels, answers
    first = instance_scores.measure([(truth, found, labels, answers)], num_classes=3)
    second = instance_scores.measure([(*turned, *classes)], num_classes=3)
    assert first == pytest.approx(second)


def test_panoptic_quality_by_hand():
    truth = np.zeros((4, 10), int)
    truth[:2, :7], truth[2:, 5:] = 1, 2
    found = np.zeros((4, 10), int)
    found[:2, :6], found[:2, 8:] = 1, 2  # 12 of 14 pixels; and a false alarm
    measured = instance_scores.measure([(truth, found, [0, 0], [0, 0])], num_classes=2)
    assert measured["segmentation_quality"] == pytest.approx(12 / 14)
    assert measured["recognition_quality"] == pytest.approx(1 / 2)
    assert measured["panoptic_quality"] == pytest.approx(6 / 14)
    # Eight of ten thresholds are below 12 / 14: one hit, one miss, one alarm.
    assert measured["mean_precision"] == pytest.approx(0.8 * (1 / 3))


def test_a_class_of_its_own_counts_for_itself():
    truth = np.zeros((4, 10), int)
    truth[:2, :5], truth[2:, 5:] = 1, 2
    measured = instance_scores.measure([(truth, truth, [0, 1], [0, 2])], num_classes=4)
    assert measured["panoptic_quality"] == pytest.approx(1 / 3)
    assert measured["mean_precision"] == 1


def test_pictures_where_nothing_is():
    empty = np.zeros((4, 4), int)
    full = np.ones((4, 4), int)
    measured = instance_scores.measure(
        [(empty, empty, [], []), (empty, full, [], [0]), (full, empty, [0], [])],
        num_classes=1,
    )
    assert measured["mean_precision"] == pytest.approx(1 / 3)
    assert measured["panoptic_quality"] == 0
    only = instance_scores.measure([(empty, empty, [], [])], num_classes=1)
    assert only == {"mean_precision": 1}


def test_the_smallest_lies_on_top():
    masks = np.zeros((3, 4, 4), bool)
    masks[0], masks[1, :2], masks[2, 0, 0] = True, True, True
    found = instance_scores.on_top(masks)
    assert found.tolist() == [[3, 2, 2, 2], [2] * 4, [1] * 4, [1] * 4]
    assert not instance_scores.on_top(np.zeros((0, 4, 4), bool)).any()
