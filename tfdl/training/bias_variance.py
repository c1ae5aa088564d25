"""Where do the errors come from, and what is to be done first?

Ng, Machine Learning Yearning, 2018, chapters 20 to 43: every split is a little farther
from what the model was fitted to, and what each adds to the error has a cause and a
cure of its own. The reading is worth as much as the human (or best possible) error
that is given for it.
"""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from tfdl import drawing, errors
from tfdl.ops import intervals

_HUMAN = "human"
_ORDER = (_HUMAN, "train", "train_dev", "validation", "test")

_REMEDIES = {
    "avoidable bias": (
        "a larger model: --model, --width 2",
        "train longer or faster: --epochs, --optimizer adam --learning-rate 0.001",
        "hold back less: --weight-decay 0, --dropout 0, --augmentation none",
    ),
    "variance": (
        "more or more varied pictures: --data, --augmentation strong, --mix mixup",
        "hold back more: --weight-decay, --dropout 0.3, --label-smoothing 0.1",
        "average or stop early: --average 0.999, --patience 10",
    ),
    "data mismatch": (
        "put pictures like those of validation into train: --data",
        "make those of train look like them: --augmentation photos, --image-size",
    ),
    "overfitting to validation": (
        "choose on more pictures: --validation-fraction 0.2",
        "choose among fewer, smoother candidates: --average 0.999",
    ),
}


@dataclasses.dataclass(frozen=True)
class Gap:
    """What one split adds to the error of the one before.

    Attributes:
        name: its cause.
        splits: the two splits, the one that adds last.
        value: error of the last less that of the first.
        interval: low and high of 95 % of the value.
    """

    name: str
    splits: tuple[str, str]
    value: float
    interval: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Reading:
    """The errors of all splits, and what they tell.

    Attributes:
        errors: split -> share of wrong answers, from "human" to "test".
        intervals: split -> low and high of 95 %.
        gaps: between each two neighbours.
        first: name of the gap to work on first, or "" where none is certain.
        remedies: what to do about it, with flags.
    """

    errors: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    gaps: tuple[Gap, ...]
    first: str
    remedies: tuple[str, ...]


def read(human_error: float, measured: Mapping[str, tuple[float, float]]) -> Reading:
    """Split an error into its causes.

    Args:
        human_error: share that people, or the best there can be, get wrong; taken as
            it is.
        measured: split -> share of wrong answers and number of examples (infinite where
            that is not known), of "train", "validation" and "test", and of "train_dev",
            pictures like those of train that were not trained on, where there is one.

    Returns:
        The reading. First is the largest gap of those that are over 0 with certainty.

    Raises:
        UsageError: a split is missing or unknown, or an error is not in [0, 1].
    """
    if set(measured) | {"train_dev"} != set(_ORDER[1:]):
        raise errors.UsageError(
            f"`measured` must name {', '.join(_ORDER[1:])}; train_dev may be left out. "
            f"Received {', '.join(measured)}.",
            "Measure every split.",
        )
    known = {_HUMAN: (human_error, math.inf), **measured}
    names = [name for name in _ORDER if name in known]
    gaps = tuple(
        Gap(
            _cause(before, after),
            (before, after),
            known[after][0] - known[before][0],
            intervals.difference_interval(known[after], known[before]),
        )
        for before, after in zip(names, names[1:], strict=False)
    )
    certain = [gap for gap in gaps if gap.interval[0] > 0]
    first = max(certain, key=lambda gap: gap.value).name if certain else ""
    return Reading(
        errors={name: float(known[name][0]) for name in names},
        intervals={name: intervals.proportion_interval(*known[name]) for name in names},
        gaps=gaps,
        first=first,
        remedies=_REMEDIES.get(first, ()),
    )


def describe(reading: Reading) -> list[str]:
    """Write a reading as lines for people."""
    lines = [f"error of {name} {share:.2%}" for name, share in reading.errors.items()]
    for gap in reading.gaps:
        low, high = gap.interval
        lines.append(
            f"{gap.name} {gap.value:+.2%} [{low:+.2%}, {high:+.2%}]: "
            f"{' to '.join(gap.splits)}"
        )
    if not reading.first:
        return [*lines, "no gap is certain: measure on more pictures"]
    return [
        *lines,
        f"first: {reading.first}",
        *(f"  {text}" for text in reading.remedies),
    ]


def chart(reading: Reading) -> np.ndarray:
    """Draw the errors as bars, and what each adds to the one before in colour."""
    first = reading.first or "no gap is certain"
    return drawing.staircase(
        reading.errors,
        gaps=[gap.name for gap in reading.gaps],
        intervals=reading.intervals,
        title=f"Where the errors come from; first: {first}",
        y_label="error (share of wrong answers)",
    )


def _cause(before: str, after: str) -> str:
    """Name what makes one split worse than the one before it."""
    if before == _HUMAN:
        return "avoidable bias"
    if before == "train":
        return "variance"
    return "data mismatch" if after == "validation" else "overfitting to validation"
