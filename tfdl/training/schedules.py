"""Learning-rate schedules: warm up linearly, then decay, once or in cycles."""

import math
from collections.abc import Callable

import keras
from keras import ops

from tfdl import errors

Decay = Callable[[object], object]

# Each is a function of the share of the decay that has passed, in [0, 1], and of what
# remains of the peak at its end; it returns the share of the peak.
DECAYS: dict[str, Callable] = {
    "constant": lambda passed, end: ops.ones_like(passed),
    "step": lambda passed, end: _step(passed, end),
    "exponential": lambda passed, end: ops.power(end, passed),
    "inverse_time": lambda passed, end: 1 / (1 + (1 / end - 1) * passed),
    "polynomial": lambda passed, end: end + (1 - end) * (1 - passed) ** 2,
    "linear": lambda passed, end: end + (1 - end) * (1 - passed),
    "cosine": lambda passed, end: end + (1 - end) * (1 + ops.cos(math.pi * passed)) / 2,
}
_STEPS = (0.5, 0.75)  # of the decay; He et al. 2016 divide at 32k and 48k of 64k


class WarmUpThenDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 to the peak, then follows a decay down to its end.

    With several cycles the decay begins again at the peak, without another warm-up
    [Loshchilov & Hutter, 2017; Huang et al., 2017, eq. 2, whose cosine ends at 0].

    Args:
        decay: a key of `DECAYS`.
        peak: the learning rate after warm-up.
        warmup_steps: steps until the peak; 0 starts at the peak.
        total_steps: steps of the whole training, warm-up included.
        end: what remains of the peak at the end, as a share in (0, 1].
        cycles: equal parts of the training, each with a decay of its own; the first
            includes the warm-up.
    """

    def __init__(self, *, decay, peak, warmup_steps, total_steps, end, cycles=1):
        self.decay = decay
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.end = end
        self.cycles = cycles

    def __call__(self, step):
        """Return the learning rate, float32 (), of a step, counted from 0."""
        number, step = step, ops.cast(step, "float32")
        cycle_steps = self.total_steps // self.cycles
        warm = (step + 1) / max(1, self.warmup_steps)
        decay_steps = max(1, cycle_steps - self.warmup_steps)
        passed = ops.clip((step - self.warmup_steps) / decay_steps, 0.0, 1.0)
        decayed = DECAYS[self.decay](passed, self.end)
        rate = self.peak * ops.where(step < self.warmup_steps, warm, decayed)
        if self.cycles == 1:
            return rate
        # In whole numbers: a quotient of floats may round up to the next cycle.
        within = ops.mod(ops.cast(number, "int32"), cycle_steps)
        again = DECAYS[self.decay](ops.cast(within, "float32") / cycle_steps, self.end)
        return ops.where(step < cycle_steps, rate, self.peak * again)

    def get_config(self):
        """Return the constructor's arguments."""
        return dict(vars(self))


def schedule(
    name: str,
    *,
    peak: float,
    warmup_steps: int,
    total_steps: int,
    end: float,
    cycles: int = 1,
) -> WarmUpThenDecay:
    """Build a schedule after checking its arguments.

    Raises:
        UsageError: the name is unknown or a number is out of its range.
    """
    if name not in DECAYS:
        raise errors.UsageError(
            f"--schedule {name} is unknown", f"choose one of {', '.join(DECAYS)}"
        )
    if not 0 < end <= 1:
        raise errors.UsageError(
            f"--end-rate must be in (0, 1]. Received {end}", "0.01 is usual"
        )
    if total_steps % cycles:
        raise errors.UsageError(
            f"{cycles} equal --cycles cannot be made of {total_steps} steps",
            "choose --epochs that --cycles divides",
        )
    if not 0 <= warmup_steps <= total_steps // cycles:
        raise errors.UsageError(
            f"warm-up takes {warmup_steps} of {total_steps // cycles} steps",
            "shorten --warmup-epochs or train longer",
        )
    return WarmUpThenDecay(
        decay=name,
        peak=peak,
        warmup_steps=warmup_steps,
        total_steps=total_steps,
        end=end,
        cycles=cycles,
    )


def linear_rule(learning_rate: float, *, batch_size: int, base_batch_size: int):
    """Scale a rate chosen for one batch size to another [Goyal et al., 2017, 2.1]."""
    return learning_rate * batch_size / base_batch_size


def _step(passed, end):
    """Multiply by the same factor at each of `_STEPS`, so that `end` remains."""
    factor = end ** (1 / len(_STEPS))
    done = sum(ops.cast(passed >= boundary, "float32") for boundary in _STEPS)
    return ops.power(factor, done)
