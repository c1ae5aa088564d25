import numpy as np
import pytest
from sklearn import metrics as oracle

from tfdl import errors
from tfdl.ops import counts

NO_EXAMPLES = np.zeros(0)


def draw(num_examples=500, num_classes=7, *, seed=0, decimals=2):
    """Scores with many ties, and classes of which the last never occurs."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes - 1, num_examples)
    scores = rng.random((num_examples, num_classes))
    scores[np.arange(num_examples), labels] += 0.3
    return np.round(scores, decimals), labels


class TestConfusionMatrix:
    def test_counts_truth_in_rows_by_hand(self):
        matrix = counts.confusion_matrix([0, 0, 2], [0, 1, 1], num_classes=3)
        np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 0, 0], [0, 1, 0]])
        assert matrix.dtype == np.int64

    def test_equals_scikit_learn(self):
        scores, labels = draw()
        predictions = scores.argmax(axis=1)
        matrix = counts.confusion_matrix(labels, predictions, num_classes=7)
        expected = oracle.confusion_matrix(labels, predictions, labels=range(7))
        np.testing.assert_array_equal(matrix, expected)

    def test_does_not_overflow_the_dtype_of_the_labels(self):
        labels = np.full(3, 199, np.uint8)
        matrix = counts.confusion_matrix(labels, labels, num_classes=200)
        assert matrix[199, 199] == matrix.sum() == 3

    @pytest.mark.parametrize("wrong", [-1, 3])
    def test_refuses_classes_out_of_range(self, wrong):
        with pytest.raises(errors.UsageError, match=r"`predictions` .* \[0, 3\)"):
            counts.confusion_matrix([0, 1], [0, wrong], num_classes=3)


class TestPrecisionRecallF1:
    def test_is_right_by_hand(self):
        precision, recall, f1 = counts.precision_recall_f1([[1, 3], [0, 2]])
        np.testing.assert_allclose(precision, [1, 0.4])
        np.testing.assert_allclose(recall, [0.25, 1])
        np.testing.assert_allclose(f1, [0.4, 4 / 7])

    @pytest.mark.parametrize("num_examples", [1, 5, 500])
    def test_equals_scikit_learn_with_absent_classes(self, num_examples):
        scores, labels = draw(num_examples)
        predictions = scores.argmax(axis=1)
        matrix = counts.confusion_matrix(labels, predictions, num_classes=7)
        expected = oracle.precision_recall_fscore_support(
            labels, predictions, labels=range(7), zero_division=0
        )
        np.testing.assert_allclose(
            counts.precision_recall_f1(matrix), expected[:3], rtol=0, atol=1e-9
        )


class TestRocCurve:
    def test_is_right_by_hand_with_a_tie(self):
        fpr, tpr, thresholds = counts.roc_curve([3, 2, 2, 1], [1, 1, 0, 0])
        np.testing.assert_allclose(fpr, [0, 0, 0.5, 1])
        np.testing.assert_allclose(tpr, [0, 0.5, 1, 1])
        np.testing.assert_allclose(thresholds, [np.inf, 3, 2, 1])
        assert counts.area_under_curve(fpr, tpr) == pytest.approx(0.875)

    @pytest.mark.parametrize("decimals", [0, 1, 16])
    def test_equals_scikit_learn_with_ties(self, decimals):
        scores, labels = draw(decimals=decimals)
        curve = counts.roc_curve(scores[:, 2], labels == 2)
        expected = oracle.roc_curve(labels == 2, scores[:, 2], drop_intermediate=False)
        for ours, theirs in zip(curve, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)
        area = counts.area_under_curve(curve[0], curve[1])
        expected = oracle.roc_auc_score(labels == 2, scores[:, 2])
        assert area == pytest.approx(expected, abs=1e-9)

    def test_of_equal_scores_is_chance(self):
        fpr, tpr, _ = counts.roc_curve(np.ones(10), np.arange(10) < 3)
        assert counts.area_under_curve(fpr, tpr) == 0.5

    @pytest.mark.parametrize("positives", [[0, 0], [1, 1]])
    def test_refuses_one_kind_of_example(self, positives):
        with pytest.raises(errors.UsageError, match="positive and negative examples"):
            counts.roc_curve([0.1, 0.2], positives)

    def test_refuses_scores_that_are_not_numbers(self):
        with pytest.raises(errors.UsageError, match="Received 1 NaN"):
            counts.roc_curve([0.1, np.nan], [0, 1])


class TestAveragePrecision:
    def test_is_right_by_hand(self):
        # Found at ranks 1 and 3: (1 / 1 + 2 / 3) / 2.
        area = counts.average_precision([4, 3, 2, 1], [1, 0, 1, 0])
        assert area == pytest.approx(5 / 6)

    @pytest.mark.parametrize("decimals", [0, 1, 16])
    def test_equals_scikit_learn_with_ties(self, decimals):
        scores, labels = draw(decimals=decimals)
        positives = labels == 2
        curve = counts.precision_recall_curve(scores[:, 2], positives)
        expected = oracle.precision_recall_curve(positives, scores[:, 2])
        np.testing.assert_allclose(curve[0], expected[0][::-1], rtol=0, atol=1e-9)
        np.testing.assert_allclose(curve[1], expected[1][::-1], rtol=0, atol=1e-9)
        np.testing.assert_allclose(curve[2][1:], expected[2][::-1], rtol=0, atol=1e-9)
        assert counts.average_precision(scores[:, 2], positives) == pytest.approx(
            oracle.average_precision_score(positives, scores[:, 2]), abs=1e-9
        )

    def test_of_positives_alone_is_one(self):
        assert counts.average_precision([0.1, 0.2], [1, 1]) == 1

    def test_refuses_negatives_alone(self):
        with pytest.raises(errors.UsageError, match="needs a positive example"):
            counts.average_precision([0.1, 0.2], [0, 0])


class TestMeanCurve:
    def test_of_steps_is_right_by_hand(self):
        curves = [([0.25, 0.5], [1.0, 0.4]), ([0.0, 1.0], [0.0, 0.2])]
        x, y = counts.mean_curve(curves, stepwise=True, num_points=5)
        np.testing.assert_allclose(x, [0, 0.25, 0.5, 0.75, 1])
        np.testing.assert_allclose(y, [0.5, 0.6, 0.3, 0.1, 0.1])

    def test_of_lines_is_right_by_hand(self):
        curves = [([0, 0, 1], [0, 1, 1]), ([0, 1], [0, 1])]
        _, y = counts.mean_curve(curves, stepwise=False, num_points=3)
        np.testing.assert_allclose(y, [0.5, 0.75, 1])


class TestTopKAccuracy:
    def test_is_right_by_hand(self):
        scores = [[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]
        assert counts.top_k_accuracy(scores, [1, 2], k=2) == 0.5

    @pytest.mark.parametrize("k", [1, 2, 5, 6])
    def test_equals_scikit_learn_with_the_order_of_ties_reversed(self, k):
        scores, labels = draw(decimals=1)
        # Among equal scores scikit-learn prefers the higher class.
        expected = oracle.top_k_accuracy_score(
            6 - labels, scores[:, ::-1], k=k, labels=range(7)
        )
        accuracy = counts.top_k_accuracy(scores, labels, k=k)
        assert accuracy == pytest.approx(expected, abs=1e-9)

    def test_of_one_is_the_accuracy_of_argmax_with_ties(self):
        scores, labels = draw(decimals=0)
        accuracy = np.mean(scores.argmax(axis=1) == labels)
        assert counts.top_k_accuracy(scores, labels, k=1) == accuracy

    def test_of_a_constant_model_is_chance(self):
        scores = np.ones((70, 7))
        assert counts.top_k_accuracy(scores, np.arange(70) % 7, k=2) == 2 / 7


class TestFScoreCurve:
    def test_is_right_by_hand(self):
        # Positive from the top: 1, 1, 2, 2 right of 1, 2, 3, 4 named, of 2 there are.
        f_scores, thresholds = counts.f_score_curve([4, 3, 2, 1], [1, 0, 1, 0])
        np.testing.assert_allclose(f_scores, [2 / 3, 2 / 4, 4 / 5, 4 / 6])
        np.testing.assert_allclose(thresholds, [4, 3, 2, 1])

    @pytest.mark.parametrize("beta", [1, 2])
    def test_equals_scikit_learn_at_every_threshold(self, beta):
        scores, labels = draw(num_examples=60, decimals=1)
        positives = labels == 2
        f_scores, thresholds = counts.f_score_curve(scores[:, 2], positives, beta=beta)
        expected = [
            oracle.fbeta_score(positives, scores[:, 2] >= threshold, beta=beta)
            for threshold in thresholds
        ]
        np.testing.assert_allclose(f_scores, expected, rtol=0, atol=1e-9)

    def test_of_negatives_alone_is_zero(self):
        f_scores, _ = counts.f_score_curve([0.1, 0.2], [0, 0])
        np.testing.assert_array_equal(f_scores, 0)


class TestConfusionsAt:
    def test_are_right_by_hand(self):
        found = counts.confusions_at(
            [0.9, 0.5, 0.5, 0.1], [1, 1, 0, 0], thresholds=[0, 0.5, 0.6, 1]
        )
        right, alarms, rejected, missed = found.tolist()
        assert right == [2, 2, 1, 0]
        assert alarms == [2, 1, 0, 0]
        assert rejected == [0, 1, 2, 2]
        assert missed == [0, 0, 1, 2]

    def test_equal_scikit_learn(self):
        scores, labels = draw(decimals=1)
        thresholds = np.linspace(0, 1.3, 14)
        found = counts.confusions_at(scores[:, 2], labels == 2, thresholds=thresholds)
        for threshold, (right, alarms, rejected, missed) in zip(
            thresholds, found.T, strict=True
        ):
            matrix = oracle.confusion_matrix(labels == 2, scores[:, 2] >= threshold)
            assert matrix.tolist() == [[rejected, alarms], [missed, right]]


@pytest.mark.parametrize(
    "count",
    [
        lambda: counts.confusion_matrix(NO_EXAMPLES, NO_EXAMPLES, num_classes=2),
        lambda: counts.roc_curve(NO_EXAMPLES, NO_EXAMPLES),
        lambda: counts.precision_recall_curve(NO_EXAMPLES, NO_EXAMPLES),
        lambda: counts.average_precision(NO_EXAMPLES, NO_EXAMPLES),
        lambda: counts.top_k_accuracy(np.zeros((0, 3)), NO_EXAMPLES, k=1),
        lambda: counts.f_score_curve(NO_EXAMPLES, NO_EXAMPLES),
    ],
)
def test_no_examples_are_refused(count):
    with pytest.raises(errors.UsageError, match="at least one example"):
        count()


def test_different_lengths_are_refused():
    with pytest.raises(errors.UsageError, match="same length"):
        counts.roc_curve([0.1, 0.2], [1])
