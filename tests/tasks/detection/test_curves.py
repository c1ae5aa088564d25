import numpy as np
import pytest

from tfdl.data.sources import source
from tfdl.tasks.detection import curves, detections, matches, pooled

NAMES = ("ant", "bee", "cat")
BOX, FAR, ELSEWHERE = [0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 30, 30]


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


def small():
    """One ant is found, behind a wrong one, one is not; a bee was taken for an ant."""
    return match(
        [known([BOX, FAR, ELSEWHERE], [0, 0, 1])],
        [found([ELSEWHERE, BOX, BOX], [0.75, 0.5, 0.25], [0, 0, 0])],
    )


def test_outcomes_by_hand():
    counted = curves.outcomes(small(), of_class=0)
    np.testing.assert_array_equal(counted.thresholds, [np.inf, 0.75, 0.5, 0.25])
    np.testing.assert_array_equal(counted.hits, [0, 0, 1, 1])
    np.testing.assert_array_equal(counted.alarms, [0, 1, 1, 2])
    np.testing.assert_allclose(counted.f_scores, [0, 0, 2 / 4, 2 / 5])
    assert counted.num_objects == 2


def test_equal_scores_make_one_point():
    counted = curves.outcomes(
        match([known([BOX], [0])], [found([FAR, BOX], [0.5, 0.5], [0, 0])])
    )
    np.testing.assert_array_equal(counted.thresholds, [np.inf, 0.5])
    np.testing.assert_array_equal(counted.hits + counted.alarms, [0, 2])


def test_the_best_threshold_is_that_of_the_best_f1_of_all_classes():
    assert curves.best_threshold(small()) == 0.5
    assert (
        curves.best_threshold(match([known([BOX], [0])], [found([], [], [])])) == 0.25
    )


def test_curves_by_hand():
    by_recall = curves.precision_recall(small())
    recalls, precisions, average = by_recall["ant"]
    np.testing.assert_allclose(recalls, [0, 0.5])
    np.testing.assert_allclose(precisions, [0.5, 0.5])
    assert average == pytest.approx(0.5 * 51 / 101)
    assert by_recall["bee"][2] == 0
    assert "cat" not in by_recall
    thresholds, f_scores, best = curves.f_score(small())["ant"]
    np.testing.assert_allclose(thresholds, [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(f_scores, [0.4, 0.5, 0, 0])
    assert best == 0.5
    assert curves.mean(by_recall)[2] == pytest.approx(average / 2)
    assert curves.mean({}) is None


def test_the_area_below_a_curve_is_about_the_average():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 80, (300, 2))
    boxes = np.concatenate([corners, corners + 10], axis=1)
    moved = boxes + rng.normal(0, 1.5, boxes.shape)
    matched = match(
        [known(boxes, [0] * 300)], [found(moved, rng.uniform(size=300), [0] * 300)]
    )
    recalls, precisions, average = curves.precision_recall(matched)["ant"]
    assert np.sum(np.diff(recalls) * precisions[1:]) == pytest.approx(average, abs=0.01)


def test_the_confusion_matrix_by_hand():
    matrix = curves.confusion_matrix(small(), score_threshold=0.25)
    expected = [
        [1, 0, 0, 1],  # an ant is found, the other missed
        [1, 0, 0, 0],  # the bee is taken for an ant
        [0, 0, 0, 0],
        [1, 0, 0, 0],  # the second detection of the ant
    ]
    np.testing.assert_array_equal(matrix, expected)
    surer = curves.confusion_matrix(small(), score_threshold=0.6)
    expected = np.zeros((4, 4))
    expected[0, 3], expected[1, 0] = 2, 1
    np.testing.assert_array_equal(surer, expected)


def test_an_object_is_taken_for_its_own_class_before_another():
    matched = match(
        [known([BOX], [0])], [found([BOX, [0, 0, 10, 8]], [0.9, 0.5], [1, 0])]
    )
    matrix = curves.confusion_matrix(matched, score_threshold=0.1)
    assert matrix[0, 0] == matrix[3, 1] == 1
    assert matrix.sum() == 2
    surer = curves.confusion_matrix(matched, score_threshold=0.6)
    assert surer[0, 1] == surer.sum() == 1


def test_two_wrong_classes_do_not_share_an_object():
    matched = match([known([BOX], [0])], [found([BOX, BOX], [0.9, 0.8], [1, 2])])
    matrix = curves.confusion_matrix(matched, score_threshold=0)
    assert matrix[0, 1] == matrix[3, 2] == 1
    assert matrix.sum() == 2


def test_crowds_are_not_in_the_confusion_matrix():
    matched = match(
        [known([[0, 0, 90, 90]], [0], is_crowd=[0])],
        [found([BOX, BOX], [0.9, 0.8], [0, 1])],
    )
    matrix = curves.confusion_matrix(matched, score_threshold=0)
    assert matrix[3, 1] == matrix.sum() == 1


def test_confusions_equal_a_count_at_each_threshold():
    counted = curves.confusions(small())
    assert set(counted) == {"ant", "bee"}
    for place, threshold in enumerate(np.linspace(0, 1, 201)):
        scores = np.array([0.75, 0.5, 0.25])
        hits = np.sum((scores >= threshold) & [False, True, False])
        alarms = np.sum((scores >= threshold) & [True, False, True])
        expected = [hits, alarms, 0, 2 - hits]
        np.testing.assert_array_equal(counted["ant"][:, place], expected)
    np.testing.assert_array_equal(counted["bee"][3], np.ones(201))


def test_f1_of_pictures_by_hand():
    matched = match(
        [known([BOX, FAR], [0, 1]), known([], []), known([], [])],
        [
            found([BOX], [0.5], [0]),
            found([], [], []),
            found([BOX, FAR], [0.9, 0.1], [1, 1]),
        ],
    )
    f_scores, sizes = curves.picture_f_scores(matched, score_threshold=0.2)
    np.testing.assert_allclose(f_scores, [2 / 3, 1, 0])
    np.testing.assert_array_equal(sizes, [3, 0, 1])
