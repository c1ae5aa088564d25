import numpy as np
import pytest
import scipy.stats
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


class TestExpectedCalibrationError:
    def test_is_right_by_hand(self):
        # Half the examples: 0.9 sure and 0.5 right; the others 0.6 sure and all right.
        error = counts.expected_calibration_error([0.9, 0.9, 0.6, 0.6], [1, 0, 1, 1])
        assert error == pytest.approx((0.4 + 0.4) / 2)

    def test_equals_a_loop_over_bins(self):
        rng = np.random.default_rng(0)
        confidences = np.append(rng.random(300), [0.0, 1.0])
        is_right = rng.random(302) < confidences**2
        expected = 0.0
        for low in np.arange(10) / 10:
            high = 1.1 if low == 0.9 else low + 0.1  # the last bin is closed
            chosen = (confidences >= low) & (confidences < high)
            gap = abs(is_right[chosen].mean() - confidences[chosen].mean())
            expected += gap * chosen.mean()
        error = counts.expected_calibration_error(confidences, is_right, num_bins=10)
        assert error == pytest.approx(expected, abs=1e-9)


class TestBootstrapInterval:
    @pytest.mark.parametrize("statistic", [np.mean, np.median])
    def test_equals_scipy_draw_by_draw(self, statistic, monkeypatch):
        monkeypatch.setattr(counts, "_MAX_RESAMPLED", 2000)  # so that blocks are used
        values = np.random.default_rng(0).normal(size=60)
        expected = scipy.stats.bootstrap(
            (values,),
            statistic,
            n_resamples=500,
            confidence_level=0.9,
            method="percentile",
            rng=np.random.default_rng(3),
        ).confidence_interval
        interval = counts.bootstrap_interval(
            values,
            rng=np.random.default_rng(3),
            statistic=statistic,
            num_resamples=500,
            confidence=0.9,
        )
        np.testing.assert_allclose(interval, expected, rtol=0, atol=1e-9)

    def test_of_an_accuracy_is_that_of_the_normal_approximation(self):
        values = np.arange(2000) < 1800
        low, high = counts.bootstrap_interval(values, rng=np.random.default_rng(0))
        half_width = 1.96 * np.sqrt(0.9 * 0.1 / 2000)
        assert low == pytest.approx(0.9 - half_width, abs=0.002)
        assert high == pytest.approx(0.9 + half_width, abs=0.002)

    def test_of_one_example_is_that_example(self):
        assert counts.bootstrap_interval([0.3], rng=np.random.default_rng(0)) == (
            0.3,
            0.3,
        )


@pytest.mark.parametrize(
    "count",
    [
        lambda: counts.confusion_matrix(NO_EXAMPLES, NO_EXAMPLES, num_classes=2),
        lambda: counts.roc_curve(NO_EXAMPLES, NO_EXAMPLES),
        lambda: counts.precision_recall_curve(NO_EXAMPLES, NO_EXAMPLES),
        lambda: counts.average_precision(NO_EXAMPLES, NO_EXAMPLES),
        lambda: counts.top_k_accuracy(np.zeros((0, 3)), NO_EXAMPLES, k=1),
        lambda: counts.expected_calibration_error(NO_EXAMPLES, NO_EXAMPLES),
        lambda: counts.bootstrap_interval(NO_EXAMPLES, rng=np.random.default_rng(0)),
    ],
)
def test_no_examples_are_refused(count):
    with pytest.raises(errors.UsageError, match="at least one example"):
        count()


def test_different_lengths_are_refused():
    with pytest.raises(errors.UsageError, match="same length"):
        counts.roc_curve([0.1, 0.2], [1])
