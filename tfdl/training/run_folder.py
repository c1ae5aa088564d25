"""The folder of a run: whose it is, what it was started with, and on which machine."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import platform
import shutil
import socket
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tfdl import errors

_PATTERN = set("[\\")  # in a path, TensorFlow takes them for a pattern's
_OURS_BEFORE_A_RUN = {"lock", "check"}  # `check` works in a folder before `train`
_OF_AN_ENSEMBLE = {"config.json", "members"}


@contextlib.contextmanager
def opened(
    folder: pathlib.Path,
    *,
    config: dict,
    defaults: dict,
    free: Iterable[str],
    overwrite: bool,
    is_chief: bool,
) -> Iterator[None]:
    """Take a run folder for this process, new or to resume.

    A new one whose first step a mistake prevents is left to the next command.

    Args:
        folder: `runs/<task>/<name>`.
        config: everything that decides the run's result, as JSON can hold it.
        defaults: what a setting was in a run that was started before there was a flag
            for it.
        free: names of entries, at any depth, that may change when a run is resumed.
        overwrite: whether to empty the folder first.
        is_chief: whether this process writes; the others leave the folder alone.

    Raises:
        UsageError: another process has it, it is the run of another configuration or
            an ensemble, it holds files that are no run's, or it cannot be a folder that
            TensorFlow reads from.
    """
    if not is_chief:
        yield
        return
    if _PATTERN & set(str(folder.resolve())):
        raise errors.UsageError(
            f"--run {folder}: TensorFlow cannot read from a path with [ or \\",
            "name another --run",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(folder)
        lock = open(folder / "lock", "a+")  # noqa: SIM115 (held for the whole run)
    except OSError as error:
        raise errors.UsageError(
            f"--run {folder} cannot be written ({error.strerror})", "name another --run"
        ) from error
    with lock:
        _acquire(lock, folder)
        if overwrite:
            _empty(folder)
        _agree(folder / "config.json", config, defaults, set(free))
        is_new = not (folder / "config.json").exists()
        write_json(folder / "config.json", config)
        write_json(folder / "env.json", environment())
        try:
            yield
        except errors.UserError:
            if is_new and not (folder / "steps.csv").exists():
                (folder / "config.json").unlink()
                (folder / "env.json").unlink()
            raise


def read_config(folder: pathlib.Path) -> dict:
    """Read what a run was started with.

    Raises:
        ModelFileError: there is no run, or its config.json is damaged.
    """
    try:
        return json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise errors.ModelFileError(
            f"--run {folder} is no run: its config.json is missing or damaged",
            "train it first, or name another --run",
        ) from error


def write_json(path: pathlib.Path, content) -> None:
    """Write JSON by a rename, so that the file is whole or absent."""
    unfinished = path.with_name(f".tmp-{path.name}")
    unfinished.write_text(json.dumps(content, indent=2, default=str) + "\n")
    os.replace(unfinished, path)


def environment() -> dict:
    """Describe the machine and the versions that a number came from."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "host": socket.gethostname(),
        "machine": platform.platform(),
        "cpus": os.cpu_count(),
        "devices": [device.name for device in tf.config.list_logical_devices()],
    }


def flat(nested: dict, prefix: str = "") -> dict:
    """Turn nested settings into one level, such as {"data.batch_size": 128}."""
    level = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            level |= flat(value, f"{prefix}{name}.")
        else:
            level[prefix + name] = value
    return level


def _acquire(lock, folder: pathlib.Path) -> None:
    """Lock the file; the system lets go of it however the process ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        raise errors.UsageError(
            f"--run {folder} is in use by {lock.read().strip() or 'another process'}",
            "wait for it, or name another --run",
        ) from error
    except OSError as error:
        raise errors.UsageError(
            f"--run {folder} cannot be locked ({error.strerror})",
            "name a --run on a disk that knows flock",
        ) from error
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    lock.flush()


def _refuse_foreign(folder: pathlib.Path) -> None:
    """Refuse a folder of something else, whose files --overwrite would delete."""
    names = {path.name for path in folder.iterdir()}
    if names >= {"config.json", "lock"}:
        return
    if names >= _OF_AN_ENSEMBLE:
        raise errors.UsageError(
            f"--run {folder} is an ensemble of models that are trained already",
            "name another --run",
        )
    foreign = {
        name for name in names - _OURS_BEFORE_A_RUN if not name.startswith(".tmp-")
    }
    if foreign:
        raise errors.UsageError(
            f"--run {folder} is no run, and it is not empty: it holds {min(foreign)}",
            "name another --run",
        )


def _empty(folder: pathlib.Path) -> None:
    """Remove everything, config.json last: until then the folder is a run."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "config.json"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


def _agree(path: pathlib.Path, config: dict, defaults: dict, free: set[str]) -> None:
    """Refuse to go on with a run of another configuration."""
    if not path.exists():
        return
    old = _by_flag(defaults) | _by_flag(read_config(path.parent))
    new = _by_flag(json.loads(json.dumps(config, default=str)))
    differences = [
        f"{name} {old.get(name)} -> {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name) and name not in free
    ]
    if differences:
        raise errors.UsageError(
            f"--run {path.parent} was started with other settings: "
            + "; ".join(differences),
            "name another --run, or start again with --overwrite",
        )


def _by_flag(nested: dict) -> dict:
    """Leave out which group a flag is in: its name is the same everywhere."""
    return {name.rpartition(".")[2]: value for name, value in flat(nested).items()}


def as_config(settings) -> dict:
    """Turn nested dataclasses of settings into what `config.json` holds."""
    return json.loads(json.dumps(dataclasses.asdict(settings), default=str))
