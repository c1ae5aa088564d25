import numpy as np
import pytest
from sklearn import metrics as oracle

from tfdl.tasks.classification import curves, metrics

NAMES = ("ant", "bee", "cat", "dog")


def draw(multi_label=False, *, num_occurring=4):
    """Probabilities with ties, right more often than not."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, num_occurring, 300)
    scores = rng.random((300, 4)) + 0.7 * np.eye(4)[classes]
    if multi_label:
        return np.round(scores / 2, 2), np.eye(4, dtype=int)[classes]
    return np.round(scores / scores.sum(axis=1, keepdims=True), 2), classes


def positives(targets, index):
    return targets[:, index] if targets.ndim > 1 else targets == index


@pytest.mark.parametrize("multi_label", [False, True])
class TestOfEveryKind:
    def test_precision_recall_equals_scikit_learn(self, multi_label):
        probabilities, targets = draw(multi_label)
        found = curves.precision_recall(probabilities, targets, class_names=NAMES)
        assert tuple(found) == NAMES
        for index, (recalls, precisions, area) in enumerate(found.values()):
            question = positives(targets, index), probabilities[:, index]
            expected = oracle.precision_recall_curve(*question)
            np.testing.assert_allclose(precisions, expected[0][::-1], atol=1e-9)
            np.testing.assert_allclose(recalls, expected[1][::-1], atol=1e-9)
            assert area == pytest.approx(oracle.average_precision_score(*question))

    def test_f_score_equals_scikit_learn(self, multi_label):
        probabilities, targets = draw(multi_label)
        found = curves.f_score(probabilities, targets, class_names=NAMES)
        for index, (thresholds, scores, best) in enumerate(found.values()):
            assert (np.diff(thresholds) > 0).all()
            for threshold, score in list(zip(thresholds, scores, strict=True))[::9]:
                guesses = probabilities[:, index] >= threshold
                expected = oracle.f1_score(positives(targets, index), guesses)
                assert score == pytest.approx(expected)
            assert best == scores.max()

    def test_roc_has_the_areas_of_the_table(self, multi_label):
        probabilities, targets = draw(multi_label)
        found = curves.roc(probabilities, targets, class_names=NAMES)
        table = metrics.per_class(
            probabilities, targets, class_names=NAMES, multi_label=multi_label
        )
        for (fpr, tpr, area), row in zip(found.values(), table, strict=True):
            assert area == row["roc_auc"]
            assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)

    def test_confusions_at_one_threshold_are_scikit_learns(self, multi_label):
        probabilities, targets = draw(multi_label)
        found = curves.confusions(probabilities, targets, class_names=NAMES)
        right, alarms, rejected, missed = found["cat"][:, 50]  # of 0, 0.005 ... 1
        matrix = oracle.confusion_matrix(
            positives(targets, 2), probabilities[:, 2] >= 0.25
        )
        assert matrix.tolist() == [[rejected, alarms], [missed, right]]

    def test_calibration_has_the_error_of_the_metrics(self, multi_label):
        probabilities, targets = draw(multi_label)
        confidence, accuracy, counts = curves.calibration(probabilities, targets)
        error = np.nansum(np.abs(confidence - accuracy) * counts) / counts.sum()
        measured = metrics.evaluate(
            probabilities, targets, class_names=NAMES, multi_label=multi_label, seed=0
        )
        assert measured["calibration_error"] == pytest.approx(error)
        assert counts.sum() == targets.size


def test_the_mean_has_the_area_of_the_means():
    answers = draw()
    by_recall = curves.precision_recall(*answers, class_names=NAMES)
    recalls, precisions, area = curves.mean(by_recall, stepwise=True)
    assert area == np.mean([curve[2] for curve in by_recall.values()])
    assert np.mean(precisions[1:]) == pytest.approx(area, abs=0.005)
    assert recalls[0] == 0
    rates = curves.roc(*answers, class_names=NAMES)
    x, y, area = curves.mean(rates, stepwise=False)
    assert np.trapezoid(y, x) == pytest.approx(area, abs=0.005)


def test_the_mean_of_steps_by_hand():
    steps = {
        "low": (np.array([0.2, 0.5]), np.array([1.0, 0.4]), 1.0),
        "high": (np.array([0.0, 1.0]), np.array([0.0, 0.2]), 0.2),
    }
    x, y, number = curves.mean(steps, stepwise=True)
    at = dict(zip(np.round(x, 3), y, strict=True))
    assert (at[0], at[0.2], at[0.202], at[0.5], at[0.502]) == pytest.approx(
        (0.5, 0.6, 0.3, 0.3, 0.1)
    )
    assert number == pytest.approx(0.6)


def test_classes_that_no_picture_has_have_no_curve():
    answers = draw(num_occurring=3)
    for trace in (curves.roc, curves.precision_recall, curves.f_score):
        assert tuple(trace(*answers, class_names=NAMES)) == NAMES[:3]
    assert tuple(curves.confusions(*answers, class_names=NAMES)) == NAMES
    assert curves.mean({}, stepwise=True) is None
