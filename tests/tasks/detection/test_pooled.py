import numpy as np
import pytest

from tfdl import errors
from tfdl.data.sources import source
from tfdl.tasks.detection import detections, pooled

NAMES = ("ant", "bee", "cat")


def known(boxes, labels, *, is_crowd=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return source.Objects(
        size=(100, 100),
        boxes=boxes,
        labels=np.array(labels, np.int32),
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        is_crowd=np.zeros(len(labels), bool) if is_crowd is None else is_crowd,
        is_difficult=np.zeros(len(labels), bool),
        places=(),
    )


def found(boxes, scores, labels):
    return detections.Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int32),
    )


def test_detections_are_ranked_by_class_score_and_picture():
    box = [0, 0, 1, 1]
    split = pooled.pool(
        [known([], [])] * 3,
        [
            found([box] * 2, [0.75, 0.5], [1, 1]),
            found([], [], []),
            found([box] * 3, [0.75, 0.75, 0.25], [1, 0, 1]),
        ],
        class_names=NAMES,
    )
    np.testing.assert_array_equal(split.found.labels, [0, 1, 1, 1, 1])
    np.testing.assert_array_equal(split.found.scores, [0.75, 0.75, 0.75, 0.5, 0.25])
    np.testing.assert_array_equal(split.found.pictures, [2, 0, 2, 0, 2])
    assert split.num_pictures == split.num_classes == 3
    assert len(split.truth.labels) == 0


def one_picture():
    """Two objects and a crowd; the first detection is a half of each."""
    return pooled.pool(
        [
            known(
                [[0, 0, 2, 2], [0, 0, 2, 1], [0, 0, 10, 10]],
                [0, 1, 0],
                is_crowd=np.array([False, False, True]),
            )
        ],
        [found([[0, 0, 1, 2], [0, 0, 1, 1]], [0.9, 0.8], [0, 0])],
        class_names=NAMES,
    )


def test_overlaps_by_hand():
    numbers, objects, iou = pooled.overlaps(one_picture(), least=0, same_class=False)
    np.testing.assert_array_equal(numbers, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(objects, [0, 1, 2, 0, 1, 2])
    np.testing.assert_allclose(iou, [1 / 2, 1 / 3, 1, 1 / 4, 1 / 2, 1])


def test_overlaps_with_a_crowd_as_with_an_object():
    *_, iou = pooled.overlaps(
        one_picture(), least=0, same_class=True, crowds_as_objects=True
    )
    np.testing.assert_allclose(iou, [1 / 2, 0.02, 1 / 4, 0.01])


def test_some_detections_with_objects_of_their_class():
    numbers, objects, iou = pooled.overlaps(
        one_picture(), least=0.3, same_class=True, among=np.array([1])
    )
    assert (numbers, objects, iou) == (1, 2, 1)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (2, 30, 2))
    boxes = np.concatenate([corners[0], corners[0] + corners[1]], axis=1)
    truth = [
        known(boxes[:7], [0, 1, 2, 0, 1, 2, 0]),
        known([], []),
        known(boxes, [0] * 30),
    ]
    answers = [found(boxes, np.linspace(1, 0, 30), [0, 1, 2] * 10)] * 3
    split = pooled.pool(truth, answers, class_names=NAMES)
    whole = pooled.overlaps(split, least=0.2, same_class=False)
    monkeypatch.setattr(pooled, "_MAX_PAIRS", 11)
    in_blocks = pooled.overlaps(split, least=0.2, same_class=False)
    for column, expected in zip(in_blocks, whole, strict=True):
        np.testing.assert_array_equal(column, expected)
    assert len(whole[0]) > 100


def test_boxes_without_area_overlap_nothing():
    point = [3, 3, 3, 3]
    split = pooled.pool(
        [known([point], [0])], [found([point], [1], [0])], class_names=NAMES
    )
    assert pooled.overlaps(split, least=0, same_class=True)[2] == 0


def test_errors_name_the_value():
    nothing, box = found([], [], []), [0, 0, 1, 1]
    for truth, answers, error, words in (
        ([], [], errors.DataError, "no pictures"),
        ([known([], [])], [nothing] * 2, errors.UsageError, "1 and 2 pictures"),
        ([known([box], [3])], [nothing], errors.UsageError, "3 to 3"),
        ([known([], [])], [found([box], [1], [-1])], errors.UsageError, "-1 to -1"),
        (
            [known([], [])],
            [found([box], [np.nan], [0])],
            errors.DivergedError,
            "1 of 1 detections",
        ),
    ):
        with pytest.raises(error, match=words):
            pooled.pool(truth, answers, class_names=NAMES)
