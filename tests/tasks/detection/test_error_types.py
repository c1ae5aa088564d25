import numpy as np
import pytest

from tfdl.data.sources import source
from tfdl.tasks.detection import detections, error_types, matches, pooled

NAMES = ("ant", "bee")
BOX, HALF, TOUCHED = [0, 0, 10, 10], [0, 0, 10, 4], [0, 0, 10, 0.5]


def known(boxes, labels, *, is_crowd=()):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    crowds = np.zeros(len(labels), bool)
    crowds[list(is_crowd)] = True
    return source.Objects(
        size=(100, 100),
        boxes=boxes,
        labels=np.array(labels, np.int32),
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        is_crowd=crowds,
        is_difficult=np.zeros(len(labels), bool),
        places=(),
    )


def found(boxes, scores, labels):
    return detections.Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int32),
    )


def match(truth, answers):
    return matches.match(pooled.pool(truth, answers, class_names=NAMES))


def counts(truth, answers):
    measured = error_types.measure(match(truth, answers))
    return {name: cost["count"] for name, cost in measured.items() if cost["count"]}


@pytest.mark.parametrize(
    ("boxes", "scores", "labels", "expected"),
    [
        ([BOX], [1], [0], {}),
        ([], [], [], {"missed": 1}),
        ([BOX], [1], [1], {"classification": 1}),
        ([HALF], [1], [0], {"localisation": 1}),
        ([HALF], [1], [1], {"both": 1, "missed": 1}),
        ([BOX, BOX], [1, 0.5], [0, 0], {"duplicate": 1}),
        ([TOUCHED], [1], [0], {"background": 1, "missed": 1}),
        ([TOUCHED], [1], [1], {"background": 1, "missed": 1}),
        ([BOX, HALF], [1, 0.5], [0, 0], {"localisation": 1}),
        ([BOX, BOX], [0.5, 1], [0, 1], {"classification": 1}),
    ],
)
def test_each_error_has_its_name(boxes, scores, labels, expected):
    truth = [known([BOX], [0])]
    assert counts(truth, [found(boxes, scores, labels)]) == expected


def test_an_object_of_the_own_class_comes_before_one_of_another():
    truth = [known([BOX, [0, 0, 10, 3]], [0, 1])]
    assert counts(truth, [found([HALF], [1], [0])]) == {"localisation": 1, "missed": 1}


def test_crowds_are_neither_missed_nor_meant():
    truth = [known([BOX], [0], is_crowd=[0])]
    assert counts(truth, [found([HALF], [1], [0])]) == {}
    assert counts(truth, [found([BOX], [1], [1])]) == {"background": 1}


def gains(truth, answers):
    measured = error_types.measure(match(truth, answers))
    return {
        name: round(cost["AP50_gain"], 3)
        for name, cost in measured.items()
        if cost["AP50_gain"]
    }


def test_gains_by_hand():
    truth = [known([BOX], [0])]
    # What is put right, or what stood before it, is worth everything or a half.
    assert gains(truth, [found([HALF], [1], [0])]) == {"localisation": 1}
    assert gains(truth, [found([BOX], [1], [1])]) == {"classification": 1}
    behind = found([TOUCHED, BOX], [1, 0.5], [0, 0])
    assert gains(truth, [behind]) == {"background": 0.5}
    assert gains(truth, [found([BOX, BOX], [1, 0.5], [0, 0])]) == {}


def test_the_gain_of_missed_objects_by_hand():
    truth = [known([BOX, [50, 50, 60, 60]], [0, 0])]
    expected = round(1 - 51 / 101, 3)
    assert gains(truth, [found([BOX], [1], [0])]) == {"missed": expected}


def test_of_what_is_put_right_on_one_object_the_surest_is_kept():
    truth = [known([BOX], [0])]
    wrong_first = found([HALF, BOX], [1, 0.5], [0, 0])
    assert gains(truth, [wrong_first]) == {"localisation": 0.5}
    both_wrong = found([HALF, HALF], [1, 0.5], [0, 0])
    assert gains(truth, [both_wrong]) == {"localisation": 1}


def test_every_wrong_detection_has_one_error():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 60, (8, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(8, 30, (8, 2))], axis=1)
    moved = np.repeat(boxes, 4, axis=0) + rng.normal(0, 4, (32, 4))
    answers = found(moved, rng.uniform(size=32), rng.integers(0, 2, 32))
    matched = match([known(boxes, [0, 1] * 4)], [answers])
    named = error_types.find(matched)
    wrong = ~matched.is_right[0] & ~matched.is_ignored[0]
    listed = [named.kinds[name] for name in error_types.TYPES[:-1]]
    np.testing.assert_array_equal(
        np.sort(np.concatenate(listed)), np.flatnonzero(wrong)
    )
    measured = error_types.measure(matched)
    assert all(-1 <= cost["AP50_gain"] <= 1 for cost in measured.values())


def test_nothing_anywhere():
    measured = error_types.measure(match([known([], [])], [found([], [], [])]))
    assert list(measured) == list(error_types.TYPES)
    assert all(cost == {"count": 0, "AP50_gain": 0} for cost in measured.values())
