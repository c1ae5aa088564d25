"""How sure is a number that was measured on a sample? 95 % intervals, by default."""

import math
import statistics
from collections.abc import Callable

import numpy as np

from tfdl import errors
from tfdl.ops import counts

# Resampled values held at once: 32 MB of float64.
_MAX_RESAMPLED = 4_000_000


def bootstrap_interval(
    values: np.ndarray,
    *,
    rng: np.random.Generator,
    statistic: Callable[..., np.ndarray] = np.mean,
    num_resamples: int = 1000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Bound a statistic of a sample by the percentile bootstrap.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    Args:
        values: float (examples, ...), one entry per example, such as right = 1, wrong
            = 0, or a row of numbers.
        rng: the source of the resamples; the same state gives the same interval.
        statistic: a function of values (resamples, examples, ...) and `axis`, which is
            1, to (resamples,), like `np.mean`.
        num_resamples: how many resamples.
        confidence: the share of the resampled statistics inside the interval.

    Returns:
        The lower and the upper bound.

    Raises:
        UsageError: no examples.
    """
    values = np.asarray(values, np.float64)
    counts.check_examples(values=values)
    block_size = max(1, _MAX_RESAMPLED // values.size)
    resampled = []
    for start in range(0, num_resamples, block_size):
        num_rows = min(block_size, num_resamples - start)
        positions = rng.integers(0, len(values), (num_rows, len(values)))
        resampled.append(statistic(values[positions], axis=1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(resampled), [tail, 1 - tail])
    return float(low), float(high)


def proportion_interval(
    share: float, num_examples: float, *, confidence: float = 0.95
) -> tuple[float, float]:
    """Bound a share of examples by the score interval.

    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927;
    unlike share +- 1.96 deviations it holds near 0 and 1, where error rates are.

    Args:
        share: in [0, 1], measured.
        num_examples: how many it was measured on; infinite where it is known exactly.
        confidence: of the interval.

    Returns:
        The lower and the upper bound, in [0, 1].

    Raises:
        UsageError: the share is not in [0, 1], or there are no examples.
    """
    if not (0 <= share <= 1 and num_examples > 0):
        raise errors.UsageError(
            "`share` must lie in [0, 1] and `num_examples` be over 0. Received "
            f"share={share}, num_examples={num_examples}.",
            "Pass what was measured on a split that is not empty.",
        )
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    shrinkage = z**2 / num_examples
    centre = (share + shrinkage / 2) / (1 + shrinkage)
    spread = math.sqrt(share * (1 - share) * shrinkage + shrinkage**2 / 4)
    reach = spread / (1 + shrinkage)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def difference_interval(
    first: tuple[float, float], second: tuple[float, float], *, confidence: float = 0.95
) -> tuple[float, float]:
    """Bound the difference of two shares that were measured on different examples.

    Newcombe, Interval Estimation for the Difference between Independent Proportions,
    1998, method 10.

    Args:
        first: a share and its number of examples, as `proportion_interval` takes them.
        second: what is subtracted, likewise.
        confidence: of the interval.

    Returns:
        The lower and the upper bound of the first share less the second, in [-1, 1].

    Raises:
        UsageError: as `proportion_interval`.
    """
    low_1, high_1 = proportion_interval(*first, confidence=confidence)
    low_2, high_2 = proportion_interval(*second, confidence=confidence)
    share_1, share_2 = first[0], second[0]
    difference = share_1 - share_2
    return (
        difference - math.hypot(share_1 - low_1, high_2 - share_2),
        difference + math.hypot(high_1 - share_1, share_2 - low_2),
    )
