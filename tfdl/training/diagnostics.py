"""Is a set-up fit to be trained? The course's list of what to look at before.

Karpathy, "CS231n: Babysitting the learning process"; his "A Recipe for Training Neural
Networks", 2019, has most of it in this order. Every function returns findings, each
with the figures that decided it; charts are returned beside them.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from tfdl import drawing
from tfdl.findings import Finding
from tfdl.training import internals, rate_range, trial as trials

_START_TOLERANCE = 0.05  # of the loss in theory
_OVERFITTED = 0.1  # of the way from the least to the first loss
_OVERFIT_EXAMPLES, _OVERFIT_STEPS = 16, 400
_BLIND_STEPS = (25, 50, 100, 200, 400, 800)
_HELD_OUT_EXAMPLES = 128
_SURE, _LIKELY = 3.0, 2.5  # standard errors, the best of several looks being taken
_TIMED_SECONDS = 2.0

Pictures = dict[str, np.ndarray]


class Feed(Protocol):
    """What is asked of data, see `tfdl.data.pipeline.Training`."""

    batch_size: int
    epoch_steps: int

    def batches(self, steps: range) -> tf.data.Dataset:
        """Build the batches of some steps, as `model.train_step` takes them."""


@dataclasses.dataclass(frozen=True)
class SetUp:
    """What a check is told about data and model.

    Attributes:
        feed: the training batches.
        held_out: batches of the validation split without augmentation.
        build: optimizer -> compiled model.
        found: what linting the data found.
        pictures: name -> uint8 (height, width, 3), the data as they are drawn.
        start_losses: batch -> what an untrained model's "loss", or those of its parts
            that are known, are in theory; by the names of the model's metrics.
        least_loss: batch -> the least loss that any model can have on it.
        describe: model -> what is found without data.
    """

    feed: Feed
    held_out: Feed
    build: Callable[[keras.Optimizer], keras.Model]
    found: Sequence[Finding]
    pictures: Pictures
    start_losses: Callable[[Any], dict[str, float]]
    least_loss: Callable[[Any], float]
    describe: Callable[[keras.Model], list[Finding]] = lambda model: []


def run(
    set_up: SetUp, model: keras.Model, *, rate: float, is_frozen: set[str], seed: int
) -> tuple[list[Finding], Pictures]:
    """Look at everything, from the data to the speed.

    Args:
        set_up: data and model of the task.
        model: `set_up.build`'s, with a learning rate that can be set.
        rate: the learning rate that the run is to have.
        is_frozen: names of the layers that are meant not to train.
        seed: of every layer that draws.

    Returns:
        (findings in the order in which to mend them, charts and pictures by name). What
        fails before any step was taken keeps the trial trainings from being run: they
        would fail of the same, after minutes.
    """
    batch = next(iter(set_up.feed.batches(range(1))))
    trial = trials.Trial(model, batch, seed=seed)
    found = [*set_up.found, *set_up.describe(model)]
    found += internals.inputs(model, batch)
    found.append(internals.activations(model, batch))
    found.append(_start_losses(trial, batch, set_up.start_losses(batch)))
    gradients, norms = internals.gradients(trial, batch, is_frozen=is_frozen)
    found.append(gradients)
    if any(row.verdict == "fail" for row in found):
        reason = "left out until the failures above are mended"
        return [*found, Finding("trial trainings", "warn", reason)], set_up.pictures
    trained, charts = _trainings(trial, set_up, batch, rate=rate, norms=norms)
    return [*found, *trained], {**set_up.pictures, **charts}


def _trainings(
    trial: trials.Trial, set_up: SetUp, batch, *, rate: float, norms: Sequence[float]
) -> tuple[list[Finding], Pictures]:
    """Look at what is seen in training alone -> (findings, charts)."""
    swept = rate_range.measure(trial, set_up.feed.batches(range(rate_range.STEPS)))
    updates, ratios = internals.updates(trial, batch, rate=rate)
    trial_rate = swept.suggested if np.isfinite(swept.suggested) else rate
    overfitted, losses = _overfits(trial, batch, trial_rate, set_up.least_loss)
    found = [_rate(swept, rate), updates, overfitted]
    found.append(_needs_its_input(trial, set_up, trial_rate))
    found.append(_speed(trial, set_up.feed, batch))
    return found, {
        "learning_rate_range": _range_chart(swept, rate),
        "one_batch": _one_batch_chart(losses),
        "layers": _layers_chart(norms, ratios),
    }


def _start_losses(trial: trials.Trial, batch, expected: dict[str, float]) -> Finding:
    """Compare the first losses, batch statistics in use, with those of guessing."""
    measured = trial.losses(batch, training=True)
    trial.reset()
    reason = ", ".join(
        f"{name} {measured[name]:.4f}, in theory {theory:.4f}"
        for name, theory in expected.items()
    )
    if all(
        abs(measured[name] - theory) <= _START_TOLERANCE * theory
        for name, theory in expected.items()
    ):
        return Finding("loss at step 0", "pass", reason)
    return Finding(
        "loss at step 0",
        "fail",
        f"{reason}, more than {_START_TOLERANCE:.0%} apart: the last layer starts too "
        "large, or loss and targets do not fit each other",
    )


def _rate(swept: rate_range.RateRange, rate: float) -> Finding:
    """Judge the run's learning rate by the range test."""
    if not np.isfinite(swept.suggested):
        return Finding(
            "learning rate",
            "fail",
            f"no rate from {swept.rates[0]:.1g} to {swept.rates[-1]:.1g} makes the "
            "loss fall: look at the failures before this one",
        )
    reason = (
        f"{rate:.3g}; the loss falls from {swept.lowest:.2g} to {swept.highest:.2g}, "
        f"{swept.suggested:.2g} is suggested"
    )
    usual = max(swept.highest, swept.suggested)
    if rate > 10 * usual:
        return Finding("learning rate", "fail", f"{reason}: it is too high")
    if rate < swept.lowest / 30:
        return Finding("learning rate", "fail", f"{reason}: it is too low")
    is_usual = swept.lowest / 3 <= rate <= 3 * usual
    return Finding("learning rate", "pass" if is_usual else "warn", reason)


def _overfits(trial: trials.Trial, batch, rate: float, least_loss):
    """Learn a few examples by heart -> (finding, losses of the steps)."""
    few = tf.nest.map_structure(lambda t: t[:_OVERFIT_EXAMPLES], batch)
    least, start = least_loss(few), trial.loss(few, training=False)
    enough = least + _OVERFITTED * (start - least)
    count, losses, reached = _OVERFIT_STEPS // 10, [], start
    for attempt in (rate, rate / 10):
        trial.reset()
        losses = []
        while len(losses) < _OVERFIT_STEPS and reached > enough:
            done = trial.train(trials.repeated(few), attempt, count)
            losses += list(done)
            reached = trial.loss(few, training=False)
            if len(done) < count or not np.isfinite(reached):
                reached = start
                break
        if reached <= enough:
            break
    trial.reset()
    size = len(tf.nest.flatten(few)[0])
    reason = (
        f"loss {start:.3f} -> {reached:.3f} on {size} examples in {len(losses)} steps "
        f"at rate {attempt:.2g}, the least possible is {least:.3f}"
    )
    if reached <= enough:
        return Finding("one batch is overfitted", "pass", reason), losses
    return Finding(
        "one batch is overfitted",
        "fail",
        f"{reason}: the model cannot even learn these by heart",
    ), losses


def _needs_its_input(trial: trials.Trial, set_up: SetUp, rate: float) -> Finding:
    """Compare with the same model trained on one and the same picture."""
    held_out = _examples(set_up.held_out)
    trial.reset()
    batches = set_up.feed.batches(range(_BLIND_STEPS[1])).map(_blinded)
    trial.train(batches, rate, _BLIND_STEPS[1])
    blind = np.asarray([trial.loss(_blinded(*e), training=False) for e in held_out])
    trial.reset()
    done, best = 0, np.full(len(held_out), np.inf)
    for steps in _BLIND_STEPS:
        trial.train(set_up.feed.batches(range(done, steps)), rate, steps - done)
        done = steps
        losses = np.asarray([trial.loss(e, training=False) for e in held_out])
        best = min(best, losses, key=np.mean)  # later, few examples are known by heart
        gain = _gain(best, blind)
        if gain > _SURE:
            break
    trial.reset()
    reason = (
        f"held-out loss {best.mean():.3f} within {done} steps, "
        f"{blind.mean():.3f} where every picture is the same grey"
    )
    if gain > _SURE:
        return Finding("input is used", "pass", reason)
    if gain > _LIKELY:
        return Finding("input is used", "warn", f"{reason}: less, but not surely")
    return Finding(
        "input is used",
        "fail",
        f"{reason}: labels do not follow from pictures (are they shuffled?), or too "
        "little is learned to tell",
        is_about_data=True,
    )


def _examples(feed: Feed) -> list:
    """Take a feed's first examples, each as a batch of one, to tell how they differ."""
    size = -(-_HELD_OUT_EXAMPLES // feed.batch_size)
    return [
        tf.nest.map_structure(lambda tensor, n=n: tensor[n : n + 1], batch)
        for batch in feed.batches(range(min(size, feed.epoch_steps)))
        for n in range(len(tf.nest.flatten(batch)[0]))
    ]


def _gain(losses: np.ndarray, others: np.ndarray) -> float:
    """Count the standard errors by which losses of examples are less than others."""
    if not np.isfinite(losses).all():
        return -np.inf
    gains = others - losses
    error = np.std(gains, ddof=1) / np.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return float(np.mean(gains) / max(error, np.finfo(np.float64).tiny))


def _blinded(x, *rest) -> tuple:
    """Replace every picture by one and the same."""
    grey = tf.zeros_like(trials.image_of(x)) + 0.5
    return ({**x, "image": grey} if isinstance(x, dict) else grey), *rest


def _speed(trial: trials.Trial, feed: Feed, batch) -> Finding:
    """Compare what the input pipeline delivers with what the model takes."""
    trial.train(trials.repeated(batch), 0.0, 2)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < _TIMED_SECONDS:
        trial.train(trials.repeated(batch), 0.0, 2)
        count += 2
    taken = count * feed.batch_size / (time.perf_counter() - begun)
    trial.reset()
    delivered = _pipeline_rate(feed)
    reason = (
        f"the pipeline delivers {delivered:.0f} examples/s, the step takes {taken:.0f}"
    )
    if delivered >= taken:
        return Finding("input pipeline", "pass", reason)
    return Finding(
        "input pipeline",
        "warn",
        f"{reason}: training waits for data; raise --cache-mb or augment less",
    )


def _pipeline_rate(feed: Feed) -> float:
    """Count examples per second, once the pipeline has filled up."""
    batches = iter(feed.batches(range(1_000_000)))
    for _ in range(8):  # more than are kept waiting
        next(batches)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < _TIMED_SECONDS:
        next(batches)
        count += 1
    return count * feed.batch_size / (time.perf_counter() - begun)


def _range_chart(swept: rate_range.RateRange, rate: float) -> np.ndarray:
    shown = np.isfinite(swept.losses)
    losses = np.minimum(swept.losses[shown], 1.5 * swept.losses[0])
    ends = [losses.min(), losses.max()]
    series = {"smoothed loss": (swept.rates[shown], losses)}
    series[f"the run's, {rate:.3g}"] = ([rate, rate], ends)
    if np.isfinite(swept.suggested):
        marked = [swept.suggested, swept.suggested]
        series[f"suggested by trials, {swept.suggested:.2g}"] = (marked, ends)
    return drawing.curves(
        series,
        title="Loss while the learning rate grows from step to step"
        + (", one batch repeated" if swept.is_of_one_batch else ""),
        x_label="learning rate",
        y_label="loss",
        log_x=True,
    )


def _one_batch_chart(losses: Sequence[float]) -> np.ndarray:
    return drawing.curves(
        {"loss": (np.arange(1, len(losses) + 1), np.asarray(losses))},
        title="Learning one small batch by heart",
        x_label="step",
        y_label="loss",
    )


def _layers_chart(norms: Sequence[float], ratios: Sequence[float]) -> np.ndarray:
    numbers = np.arange(1, len(norms) + 1)
    return drawing.curves(
        {
            "gradient norm / weight norm": (numbers, np.asarray(norms)),
            "update norm / weight norm": (numbers, np.asarray(ratios)),
        },
        title="First step of every kernel, from input to output",
        x_label="number of the kernel",
        y_label="share",
        log_y=True,
    )
