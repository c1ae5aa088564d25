import math

import numpy as np
import pytest
from sklearn.utils import class_weight

from tfdl import errors
from tfdl.tasks.segmentation import class_weights


def test_inverse_frequencies_equal_scikit_learn():
    labels = np.repeat([0, 1, 3], [70, 25, 5])
    weights = class_weights.inverse_frequency(np.bincount(labels, minlength=5))
    expected = class_weight.compute_class_weight(
        "balanced", classes=np.unique(labels), y=labels
    )
    np.testing.assert_allclose(weights[[0, 1, 3]], expected, rtol=1e-6)
    np.testing.assert_array_equal(weights[[2, 4]], 0)
    assert weights.dtype == np.float32


def test_median_frequencies_are_hand_computed():
    # Frequencies 60 / 100, 20 / 50 and 20 / 200, of which 0.4 is in the middle.
    weights = class_weights.median_frequency([60, 20, 0, 20], [100, 50, 0, 200])
    np.testing.assert_allclose(weights, [0.4 / 0.6, 1, 0, 4], rtol=1e-6)
    assert weights.dtype == np.float32


def test_logarithmic_frequencies_are_hand_computed():
    """1 / ln 1.62 and 1 / ln 1.42, over their mean by pixels."""
    weights = class_weights.logarithmic_frequency([600, 400, 0])
    first, second = 1 / math.log(1.62), 1 / math.log(1.42)
    expected = np.array([first, second, 0]) / (0.6 * first + 0.4 * second)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    rare, common = class_weights.logarithmic_frequency([1, 199_999])
    assert rare / common == pytest.approx(math.log(2.02) / math.log(1.020005), rel=1e-4)
    assert weights.dtype == np.float32


def test_weights_of_one_class_are_one():
    np.testing.assert_array_equal(class_weights.inverse_frequency([7]), [1])
    np.testing.assert_array_equal(class_weights.median_frequency([7], [9]), [1])
    np.testing.assert_array_equal(class_weights.logarithmic_frequency([7]), [1])


def test_large_counts_do_not_overflow():
    pixels = np.array([2**62, 2**61], np.int64)
    weights = class_weights.inverse_frequency(pixels)
    np.testing.assert_allclose(weights, [0.75, 1.5], rtol=1e-6)


@pytest.mark.parametrize("pixels", [[], [0, 0]])
def test_no_pixels_are_refused(pixels):
    with pytest.raises(errors.UsageError, match="at least one pixel"):
        class_weights.inverse_frequency(pixels)
    with pytest.raises(errors.UsageError, match="at least one pixel"):
        class_weights.median_frequency(pixels, pixels)
    with pytest.raises(errors.UsageError, match="at least one pixel"):
        class_weights.logarithmic_frequency(pixels)


def test_a_flag_names_the_weights_of_a_data_set(split):
    """Of seven pictures of 20 x 24 six have things of 99 pixels; a row is ignored."""
    assert class_weights.named("none", split) is None
    ground, thing = 6 * (19 * 24 - 99), 6 * 99
    share = (ground + thing) / 2
    np.testing.assert_allclose(
        class_weights.named("inverse", split), [share / ground, share / thing]
    )
    # Both classes are in the same pictures: the median is the mean of both shares.
    middle = (ground + thing) / 2
    np.testing.assert_allclose(
        class_weights.named("median", split), [middle / ground, middle / thing]
    )
    np.testing.assert_array_equal(
        class_weights.named("logarithmic", split),
        class_weights.logarithmic_frequency([ground, thing]),
    )
