"""Checks the values of flags, each by the name that people type."""

import difflib
from collections.abc import Iterable

from tfdl import errors


def choose(flag: str, value: str, choices: Iterable[str]) -> str:
    """Check a name against a list.

    Args:
        flag: the flag that gave it.
        value: the name.
        choices: the names there are.

    Raises:
        UsageError: there is none of this name; a similar one is suggested.
    """
    choices = list(choices)
    if value in choices:
        return value
    close = difflib.get_close_matches(value, choices, n=1, cutoff=0.4)
    guess = f" Did you mean {close[0]}?" if close else ""
    raise errors.UsageError(
        f"{flag} {value} is unknown.{guess}", f"choose one of {', '.join(choices)}"
    )


def at_least(flag: str, value: float, least: float) -> None:
    """Check the lower bound of a flag.

    Raises:
        UsageError: the value is below it.
    """
    if not value >= least:
        raise errors.UsageError(
            f"{flag} must be at least {least}. Received {value}",
            f"set {flag} to {least} or more",
        )


def below_one(flag: str, value: float) -> None:
    """Check that a flag is a share below one.

    Raises:
        UsageError: it is not in [0, 1).
    """
    if not 0 <= value < 1:
        raise errors.UsageError(
            f"{flag} must be in [0, 1). Received {value}", "0 switches it off"
        )


def name_of(name: str) -> str:
    """Spell a field of a dataclass as people type it."""
    return f"--{name.replace('_', '-')}"
