import numpy as np
import pytest

from tfdl.tasks.detection import order, postprocess

THRESHOLDS = postprocess.Thresholds(
    score_threshold=0.1, iou_threshold=0.5, max_detections=4
)


def answers(*found, room=4):
    boxes, scores = np.zeros((1, room, 4), np.float32), np.zeros((1, room), np.float32)
    labels = np.full((1, room), -1, np.int32)
    for index, (box, score, label) in enumerate(found):
        boxes[0, index], scores[0, index], labels[0, index] = box, score, label
    count = np.array([len(found)], np.int32)
    return {
        "boxes": boxes,
        "scores": scores,
        "labels": labels,
        "num_detections": count,
    }


LEFT, RIGHT, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (50, 50, 60, 60)
HALF = (0, 0, 10, 5)  # overlaps with LEFT by one half


def are_equal(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first)


def aligned(expected, found, tolerance=1e-5):
    return order.aligned(expected, found, tolerance, thresholds=THRESHOLDS)


def test_in_a_lower_precision_more_is_in_doubt():
    expected = answers((LEFT, 0.50, 1), (RIGHT, 0.48, 0), (FAR, 0.12, 0))
    found = answers((RIGHT, 0.5, 0), (np.add(LEFT, 0.5), 0.49, 1))
    assert are_equal(aligned(expected, found), found)
    result = aligned(expected, found, tolerance=5e-2)
    np.testing.assert_array_equal(result["labels"], expected["labels"])
    np.testing.assert_allclose(result["boxes"], expected["boxes"], atol=0.5)
    np.testing.assert_array_equal(result["boxes"][0, 0], np.add(LEFT, 0.5))
    unsure = answers((LEFT, 0.5, 1), (RIGHT, 0.48, 0), (FAR, 0.2, 0))
    assert not are_equal(aligned(unsure, found, tolerance=5e-2), unsure)


def test_neighbours_that_are_swapped_are_swapped_back():
    expected = answers((LEFT, 0.50001, 1), (RIGHT, 0.5, 0))
    found = answers((RIGHT, 0.50002, 0), (LEFT, 0.50001, 1))
    result = aligned(expected, found)
    np.testing.assert_array_equal(result["boxes"], expected["boxes"])
    np.testing.assert_array_equal(result["labels"], expected["labels"])
    np.testing.assert_allclose(result["scores"][0, :2], [0.50001, 0.50002], rtol=1e-6)


def test_who_is_at_the_score_threshold_may_be_missing_or_new():
    expected = answers((LEFT, 0.5, 1), (RIGHT, 0.1000001, 0))
    found = answers((LEFT, 0.5, 1))
    assert are_equal(aligned(expected, found), expected)
    assert are_equal(aligned(found, expected), found)


def test_who_overlaps_by_just_the_threshold_may_be_missing():
    expected = answers((LEFT, 0.9, 1), (HALF, 0.8, 1))
    found = answers((LEFT, 0.9, 1))
    assert are_equal(aligned(expected, found), expected)
    other_class = answers((LEFT, 0.9, 1), (HALF, 0.8, 2))
    assert are_equal(aligned(other_class, found), found)


def test_the_last_of_a_full_list_may_be_another():
    first = [(LEFT, 0.9, 0), (RIGHT, 0.8, 0), (FAR, 0.7, 0)]
    expected = answers(*first, ((70, 0, 80, 10), 0.6, 0))
    found = answers(*first, ((0, 70, 10, 80), 0.6000001, 0))
    assert are_equal(aligned(expected, found), expected)


@pytest.mark.parametrize(
    "found",
    [
        answers((LEFT, 0.5, 1)),  # a clear one is missing
        answers((LEFT, 0.5, 1), (RIGHT, 0.4, 1)),  # another class
        answers((LEFT, 0.5, 1), ((20, 0, 31, 10), 0.4, 0)),  # another place
        answers((LEFT, 0.5, 1), (RIGHT, 0.3, 0)),  # another score
        answers((LEFT, 0.5, 1), (RIGHT, 0.4, 0), (FAR, 0.3, 0)),  # one too many
    ],
)
def test_a_list_that_really_differs_stays_as_it_is(found):
    expected = answers((LEFT, 0.5, 1), (RIGHT, 0.4, 0))
    assert are_equal(aligned(expected, found), found)


def test_lists_of_another_length_stay_as_they_are():
    expected, found = answers((LEFT, 0.5, 1)), answers((LEFT, 0.5, 1), room=5)
    assert are_equal(aligned(expected, found), found)
