"""Checkpoints with one commit point: a folder that appears whole, by a rename."""

import json
import os
import pathlib
import shutil
from collections.abc import Callable

import keras
import tensorflow as tf

from tfdl import errors

# What TensorFlow raises for a damaged file depends on where the damage lies; much of
# it is the plain OpError, or an IndexError for a file that is cut short.
_DAMAGED = (tf.errors.OpError, RuntimeError, IndexError, json.JSONDecodeError)
_PREFIX = "variables"


class Checkpoints:
    """The newest checkpoints of a run, `<folder>/step-<number>/`.

    Each holds every variable of the model (those of seed generators and normalisation
    too), of its metrics and of its optimizer (averages of weights too), and a
    dictionary of the host's own state.

    Args:
        folder: where checkpoints are kept.
        model: built and compiled, its optimizer built.
        keep: how many of the newest to keep.
        is_chief: whether this process writes; the others only take part in reading
            the variables that are spread over the workers.
        warn: takes one line for each damaged checkpoint.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        model: keras.Model,
        *,
        keep: int,
        is_chief: bool,
        warn: Callable[[str], None],
    ):
        self._folder = folder
        self._keep = keep
        self._is_chief = is_chief
        self._warn = warn
        self._host_state = tf.Variable("", dtype=tf.string)
        self._checkpoint = tf.train.Checkpoint(
            host_state=self._host_state, **_variables(model)
        )
        if is_chief:
            folder.mkdir(parents=True, exist_ok=True)
            for junk in folder.glob(".tmp-*"):
                shutil.rmtree(junk, ignore_errors=True)

    def save(self, step: int, host_state: dict) -> None:
        """Write a checkpoint, then remove the oldest ones.

        Args:
            step: steps done.
            host_state: anything that JSON can hold.

        Raises:
            ResourceError: it cannot be written; the earlier ones are untouched.
        """
        self._host_state.assign(json.dumps(host_state))
        final = self._folder / f"step-{step:09d}"
        unfinished = self._folder / f".tmp-{final.name}-{os.getpid()}"
        try:
            unfinished.mkdir(parents=True)
            self._checkpoint.write(str(unfinished / _PREFIX))
            if self._is_chief:
                _publish(unfinished, final)
                self._remove_old()
        except (OSError, tf.errors.OpError) as error:
            raise errors.ResourceError(
                f"{final} cannot be written: {error}",
                "free disk space, then run the same command again",
            ) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def restore(self) -> dict | None:
        """Read the newest checkpoint that is whole.

        Returns:
            The host state that was saved with it, or None where there is none at all.

        Raises:
            ModelFileError: there are checkpoints and every one is damaged.
        """
        saved = self._saved()
        for folder in reversed(saved):
            try:
                return self._read(folder)
            except _DAMAGED as error:
                reason = str(error).splitlines()[0]
                self._warn(f"{folder} is damaged and was passed over: {reason}")
        if saved:
            raise errors.ModelFileError(
                f"every checkpoint in {self._folder} is damaged",
                "start again with --overwrite",
            )
        return None

    def _read(self, folder: pathlib.Path) -> dict:
        try:
            self._checkpoint.read(str(folder / _PREFIX)).assert_consumed()
        except (AssertionError, ValueError) as error:
            raise errors.UsageError(
                f"{folder} belongs to another model: {str(error).splitlines()[0]}",
                "name another --run, or start again with --overwrite",
            ) from error
        return json.loads(self._host_state.numpy())

    def _saved(self) -> list[pathlib.Path]:
        return sorted(self._folder.glob("step-*"))

    def _remove_old(self) -> None:
        for folder in self._saved()[: -self._keep]:
            junk = folder.with_name(f".tmp-old-{folder.name}")
            os.rename(folder, junk)  # half a removed checkpoint never counts
            shutil.rmtree(junk)


def _variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Name every variable by its place; Keras's own names can stand twice.

    `model.variables` holds the seed generators' states, which `model.weights` lacks,
    and lacks the metrics' variables.
    """
    groups = {
        "model": model.variables,
        "metrics": model.metrics_variables,
        "optimizer": model.optimizer.variables,
    }
    return {
        f"{group}_{number:05d}": variable.value
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def _publish(unfinished: pathlib.Path, final: pathlib.Path) -> None:
    """Flush the files to the disk and give the folder its name."""
    for path in [*unfinished.iterdir(), unfinished]:
        sync(path)
    if final.exists():  # the same step, saved once more after a resume
        os.rename(final, final.with_name(f".tmp-old-{final.name}"))
    os.rename(unfinished, final)
    sync(final.parent)
    shutil.rmtree(final.with_name(f".tmp-old-{final.name}"), ignore_errors=True)


def sync(path: pathlib.Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
