"""Which learning rates train a model at all, and which is a good one to start with?"""

import dataclasses

import numpy as np
import tensorflow as tf

from tfdl.training import trial as trials

LOWEST, HIGHEST, STEPS = 1e-5, 10.0, 150
TRIAL_STEPS = 60
_SMOOTHING_STEPS = 4.0  # deviation of the bell that the loss is averaged by
_BLOWN_UP = 3.0  # times the first loss
_RISEN = 1.05  # times the first loss


@dataclasses.dataclass(frozen=True)
class RateRange:
    """The loss while the rate grows from step to step.

    Attributes:
        rates: float (steps,), growing geometrically.
        losses: float (steps,), smoothed; of the batch before the step at that rate.
        lowest: the rate at which a tenth of the fall is done, or not-a-number.
        highest: the rate at which nine tenths of the fall are done.
        suggested: a rate to train with, or not-a-number where the loss never falls.
        is_of_one_batch: whether the losses are those of one batch, repeated.
    """

    rates: np.ndarray
    losses: np.ndarray
    lowest: float
    highest: float
    suggested: float
    is_of_one_batch: bool = False


def measure(trial: trials.Trial, batches: tf.data.Dataset) -> RateRange:
    """Train while the rate grows until the loss blows up, then try out a few rates.

    Where the problem is too hard for the loss to fall meanwhile, one batch is repeated,
    which every model should learn. Of three rates around the one at which most of the
    fall is done, the one with the least loss after `TRIAL_STEPS` steps is suggested.

    Args:
        trial: is reset before and after.
        batches: at least `STEPS` of them.

    Returns:
        The curve and its reading, see `read`.

    Reference:
        Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, 3.3. The
        trials at the end are ours: how far right the curve falls depends on how fast
        the rate grows.
    """
    found = _sweep(trial, batches)
    if np.isnan(found.highest):
        one = trials.repeated(next(iter(batches)))
        found = dataclasses.replace(_sweep(trial, one), is_of_one_batch=True)
    if np.isnan(found.highest):
        return found
    losses = {
        rate: _loss_after(trial, batches, rate)
        for rate in (found.highest / 3, found.highest, found.highest * 3)
    }
    return dataclasses.replace(found, suggested=min(losses, key=losses.get))


def read(rates: np.ndarray, losses: np.ndarray) -> RateRange:
    """Find the useful rates in a curve of losses.

    The minimum itself says little: an easy problem may be solved before, and then no
    rate does harm; so the rates are those at which a tenth and nine tenths of the fall
    to it are done. What comes after the loss has risen above its start is the luck of
    a model that was thrown off.

    Args:
        rates: float (steps,), growing.
        losses: float (steps,); the last may be not finite.
    """
    smooth = _smoothed(losses)
    start = float(np.mean(losses[:5]))
    risen = np.flatnonzero(smooth > _RISEN * start)
    bottom = int(np.argmin(smooth[: risen[0]] if risen.size else smooth))
    fall = start - smooth[bottom]
    noise = float(np.std(losses[: STEPS // 4]))
    lowest = highest = float("nan")
    if fall > max(2 * noise, 1e-2 * abs(start)):
        ahead = smooth[: bottom + 1]
        lowest = float(rates[np.flatnonzero(ahead > start - 0.1 * fall)[-1]])
        highest = float(rates[np.flatnonzero(ahead > start - 0.9 * fall)[-1]])
    return RateRange(rates, smooth, lowest, highest, suggested=highest)


def _sweep(trial: trials.Trial, batches: tf.data.Dataset) -> RateRange:
    trial.reset()
    rates, losses = np.geomspace(LOWEST, HIGHEST, STEPS), []
    for loss in trial.sweep(batches, rates):
        losses.append(loss)
        if not np.isfinite(loss) or loss > _BLOWN_UP * losses[0]:
            break
    trial.reset()
    return read(rates[: len(losses)], np.asarray(losses))


def _loss_after(trial: trials.Trial, batches: tf.data.Dataset, rate: float) -> float:
    """Train for a while at one rate -> mean loss of the last steps."""
    trial.reset()
    losses = trial.train(batches, rate, TRIAL_STEPS)
    trial.reset()
    is_whole = len(losses) == TRIAL_STEPS and np.isfinite(losses[-1])
    return float(np.mean(losses[-TRIAL_STEPS // 4 :])) if is_whole else float("inf")


def _smoothed(losses: np.ndarray) -> np.ndarray:
    """Average over neighbouring steps, those before and those after alike."""
    places = np.arange(len(losses))
    distances = (places[:, None] - places) / _SMOOTHING_STEPS
    weights = np.exp(-0.5 * distances**2)
    known = np.where(np.isfinite(losses), losses, np.nanmax(losses))
    return weights @ known / weights.sum(axis=1)
