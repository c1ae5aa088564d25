"""Numbers the versions of a model; each appears whole, by a rename, or not at all."""

import contextlib
import os
import pathlib
import re
import shutil
import time
from collections.abc import Iterator

_DEAD_AFTER_SECONDS = 24 * 60 * 60
_UNFINISHED = re.compile(r"\.tmp-(\d+)-")
_ATTEMPTS = 100


def latest(base: pathlib.Path) -> int:
    """Return the largest number of a version, or 0 where there is none.

    Args:
        base: `savedmodels/<name>`; versions are the folders in it with a number as
            their name.
    """
    names = [path.name for path in base.glob("*")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


@contextlib.contextmanager
def unfinished(base: pathlib.Path) -> Iterator[pathlib.Path]:
    """Lend the folder `.tmp-<next number>-<process>`, and remove what is left in it.

    Servers ignore it for its name. Folders that killed processes left a day ago or
    longer are removed as well.

    Args:
        base: as in `latest`; it is made.

    Yields:
        The folder, empty.
    """
    base.mkdir(parents=True, exist_ok=True)
    _remove_dead(base)
    folder = base / f".tmp-{_next(base)}-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)  # of a process that had our number
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: pathlib.Path) -> pathlib.Path:
    """Give a finished folder its number, by one rename.

    Args:
        folder: as `unfinished` lends it.

    Returns:
        The version. Its number is the one in the folder's name, or, where another
        process has taken that meanwhile, the next.

    Raises:
        OSError: it cannot be renamed.
    """
    base, number = folder.parent, int(_UNFINISHED.match(folder.name)[1])
    for _ in range(_ATTEMPTS):
        number = max(number, latest(base) + 1)
        try:
            os.rename(folder, base / str(number))
        except OSError:
            if not (base / str(number)).exists():
                raise
        else:
            return base / str(number)
    raise OSError(f"{base}: {_ATTEMPTS} other exports came first")


def _next(base: pathlib.Path) -> int:
    """One more than every number that is or was being given."""
    matches = [_UNFINISHED.match(path.name) for path in base.glob(".tmp-*")]
    begun = [int(match[1]) for match in matches if match]
    return 1 + max([latest(base), *begun])


def _remove_dead(base: pathlib.Path) -> None:
    for folder in base.glob(".tmp-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > _DEAD_AFTER_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
