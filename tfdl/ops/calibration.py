"""Is a model as often right as it says? Reliability curves and calibration error.

Guo et al., On Calibration of Modern Neural Networks, 2017.
"""

import numpy as np

from tfdl.ops import counts


def calibration_curve(
    confidences: np.ndarray, is_right: np.ndarray, *, num_bins: int = 15
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare confidence with accuracy in bins of equal width.

    Guo et al., On Calibration of Modern Neural Networks, 2017, section 2.

    Args:
        confidences: float (examples,) in [0, 1], the probability of the answer given.
        is_right: bool (examples,), whether that answer was right.
        num_bins: how many bins, 15 in the paper; a bin holds its lower bound.

    Returns:
        mean_confidence, accuracy: float64 (num_bins,), NaN in a bin without examples.
        num_examples: int64 (num_bins,), the examples of each bin.

    Raises:
        UsageError: no examples or different lengths.
    """
    confidences = np.asarray(confidences, np.float64)
    is_right = np.asarray(is_right, np.float64)
    counts.check_examples(confidences=confidences, is_right=is_right)
    bins = np.minimum((confidences * num_bins).astype(np.int64), num_bins - 1)
    num_examples = np.bincount(bins, minlength=num_bins)
    mean_confidence, accuracy = (
        np.divide(
            np.bincount(bins, values, minlength=num_bins),
            num_examples,
            out=np.full(num_bins, np.nan),
            where=num_examples > 0,
        )
        for values in (confidences, is_right)
    )
    return mean_confidence, accuracy, num_examples


def expected_calibration_error(
    confidences: np.ndarray, is_right: np.ndarray, *, num_bins: int = 15
) -> float:
    """Measure how far confidence is from accuracy.

    Guo et al. 2017, section 2: the mean over the bins of `calibration_curve` of
    |accuracy - mean confidence|, weighted by their examples.

    Args:
        confidences: float (examples,) in [0, 1], the probability of the answer given.
        is_right: bool (examples,), whether that answer was right.
        num_bins: how many bins, 15 in the paper.

    Returns:
        The error in [0, 1].

    Raises:
        UsageError: no examples or different lengths.
    """
    mean_confidence, accuracy, num_examples = calibration_curve(
        confidences, is_right, num_bins=num_bins
    )
    gaps = np.nan_to_num(np.abs(accuracy - mean_confidence))
    return float(np.sum(gaps * num_examples) / num_examples.sum())
