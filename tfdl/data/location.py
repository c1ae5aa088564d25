"""Reads what `--data` says, FORMAT:PLACE, and finds the place."""

import difflib
import os
import pathlib
from collections.abc import Iterable

from tfdl import errors


def parse(spec: str, *, formats: Iterable[str]) -> tuple[str, str]:
    """Split "mnist:PATH" into ("mnist", "PATH"), and "synthetic" into itself and "".

    Args:
        spec: what `--data` says.
        formats: the formats that the task reads.

    Raises:
        UsageError: the format is none of these.
    """
    name, _, place = spec.partition(":")
    if name not in formats:
        close = difflib.get_close_matches(name, list(formats), n=1)
        guess = f" Did you mean {close[0]}?" if close else ""
        raise errors.UsageError(
            f"--data {spec} names no known format.{guess}",
            f"write FORMAT:PATH with a format of {', '.join(formats)}",
        )
    return name, place


def find(place: str) -> pathlib.Path:
    """Find a data set's path, from here or from the folder in TFDL_DATA.

    Args:
        place: an absolute path, or one relative to the current folder or to the folder
            that the environment variable TFDL_DATA names (by default `data`).

    Raises:
        DataError: it is in neither.
    """
    candidates = [pathlib.Path(os.path.expanduser(place)), root() / place]
    for candidate in candidates:
        if place and candidate.exists():
            return candidate
    raise errors.DataError(
        f"--data: there is no {place or 'path'} in {pathlib.Path.cwd()} or {root()}",
        "name an existing folder, or set TFDL_DATA to the folder of your data sets",
    )


def root() -> pathlib.Path:
    """Name the folder of the data sets."""
    return pathlib.Path(os.environ.get("TFDL_DATA", "data"))
