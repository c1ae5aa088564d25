import numpy as np
import pytest
import sklearn.calibration

from tfdl import errors
from tfdl.ops import calibration


class TestCalibrationCurve:
    def test_is_right_by_hand_with_an_empty_bin(self):
        found = calibration.calibration_curve(
            [0.5, 0.6, 0.7, 1.0], [0, 1, 1, 1], num_bins=4
        )
        np.testing.assert_allclose(found[0], [np.nan, np.nan, 0.6, 1])
        np.testing.assert_allclose(found[1], [np.nan, np.nan, 2 / 3, 1])
        assert found[2].tolist() == [0, 0, 3, 1]

    def test_equals_scikit_learn(self):
        rng = np.random.default_rng(0)
        confidences = rng.random(500) ** 0.5
        is_right = rng.random(500) < confidences
        confidence, accuracy, num_examples = calibration.calibration_curve(
            confidences, is_right, num_bins=12
        )
        expected = sklearn.calibration.calibration_curve(
            is_right, confidences, n_bins=12
        )
        np.testing.assert_allclose(accuracy[num_examples > 0], expected[0], atol=1e-9)
        np.testing.assert_allclose(confidence[num_examples > 0], expected[1], atol=1e-9)
        assert num_examples.sum() == 500

    def test_without_examples_is_refused(self):
        with pytest.raises(errors.UsageError, match="at least one example"):
            calibration.calibration_curve(np.zeros(0), np.zeros(0))


class TestExpectedCalibrationError:
    def test_is_right_by_hand(self):
        # Half the examples: 0.9 sure and 0.5 right; the others 0.6 sure and all right.
        error = calibration.expected_calibration_error(
            [0.9, 0.9, 0.6, 0.6], [1, 0, 1, 1]
        )
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
        error = calibration.expected_calibration_error(
            confidences, is_right, num_bins=10
        )
        assert error == pytest.approx(expected, abs=1e-9)
