"""Checkpoints with one commit point: a folder that appears whole, by a rename."""

import json
import os
import pathlib
import shutil
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.training import replicas

# What TensorFlow raises for a damaged file depends on where the damage lies; much of
# it is the plain OpError, or an IndexError for a file that is cut short.
_DAMAGED = (tf.errors.OpError, RuntimeError, IndexError, json.JSONDecodeError)
_PREFIX = "variables"
_REPLACED = ".old-"  # the checkpoint of a step, while a newer one takes its place
_REMOVED = ".tmp-old-"


class Checkpoints:
    """The newest checkpoints of a run, `<folder>/step-<number>/`.

    Each holds every variable of the model (those of seed generators and normalisation
    too), of its metrics and of its optimizer (averages of weights too), and a
    dictionary of the host's own state.

    Args:
        folder: where checkpoints are kept.
        model: built and compiled, its optimizer built.
        keep: how many of the newest to keep.
        is_chief: whether this process writes; the others only tell what their metrics
            have counted, and must save and restore with it.
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
        self._where = model.distribute_strategy
        self._metrics = model.metrics_variables
        self._gather = replicas.gatherer(self._where, self._metrics)
        self._host_state = tf.Variable("", dtype=tf.string)
        self._metric_rows = [_rows_of(variable) for variable in self._metrics]
        self._checkpoint = tf.train.Checkpoint(
            host_state=self._host_state,
            **_named("metrics", self._metric_rows),
            # `model.weights` would lack the states of the seed generators
            **_named("model", [variable.value for variable in model.variables]),
            **_named("optimizer", [v.value for v in model.optimizer.variables]),
        )
        if is_chief:
            folder.mkdir(parents=True, exist_ok=True)
            _tidy(folder)

    def save(self, step: int, host_state: dict) -> None:
        """Write a checkpoint, then remove the oldest ones.

        Args:
            step: steps done.
            host_state: anything that JSON can hold.

        Raises:
            ResourceError: it cannot be written; the earlier ones are untouched.
        """
        rows = self._gather()  # needs every worker
        if not self._is_chief:
            return
        self._assign_rows(rows)
        self._host_state.assign(json.dumps(host_state))
        final = self._folder / f"step-{step:09d}"
        unfinished = self._folder / f".tmp-{final.name}-{os.getpid()}"
        try:
            unfinished.mkdir(parents=True)
            self._checkpoint.write(str(unfinished / _PREFIX))
            _publish(unfinished, final)
            self._remove_old(final)
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
        rows = [variable.numpy() for variable in self._metric_rows]
        replicas.scatter(self._where, self._metrics, rows)
        return json.loads(self._host_state.numpy())

    def _assign_rows(self, rows: list[np.ndarray]) -> None:
        for variable, values in zip(self._metric_rows, rows, strict=True):
            variable.assign(values)

    def _saved(self) -> list[pathlib.Path]:
        return sorted(self._folder.glob("step-*"))

    def _remove_old(self, newest: pathlib.Path) -> None:
        """Remove what is too old, and the damaged ones that were passed over."""
        saved = self._saved()
        past = [folder for folder in saved if folder <= newest]
        for folder in set(saved) - set(past[-self._keep :]):
            junk = folder.with_name(f"{_REMOVED}{folder.name}")
            os.rename(folder, junk)  # half a removed checkpoint never counts
            shutil.rmtree(junk)


def _named(group: str, variables: list[tf.Variable]) -> dict[str, tf.Variable]:
    """Name every variable by its place; Keras's own names can stand twice."""
    return {f"{group}_{number:05d}": v for number, v in enumerate(variables)}


def _rows_of(variable: keras.Variable) -> tf.Variable:
    """Create the variable that holds a metric's values on any number of replicas."""
    empty = np.zeros((1, *variable.shape), variable.dtype)
    return tf.Variable(empty, shape=[None, *variable.shape])


def _tidy(folder: pathlib.Path) -> None:
    """Remove what a kill left half written, and finish what it left half replaced."""
    for junk in folder.glob(".tmp-*"):
        shutil.rmtree(junk, ignore_errors=True)
    for replaced in folder.glob(f"{_REPLACED}*"):
        final = folder / replaced.name.removeprefix(_REPLACED)
        if final.exists():
            shutil.rmtree(replaced, ignore_errors=True)
        else:
            os.rename(replaced, final)


def _publish(unfinished: pathlib.Path, final: pathlib.Path) -> None:
    """Flush the files to the disk and give the folder its name."""
    for path in [*unfinished.iterdir(), unfinished]:
        sync(path)
    replaced = final.with_name(f"{_REPLACED}{final.name}")
    if final.exists():  # the same step, saved once more
        os.rename(final, replaced)
    os.rename(unfinished, final)
    sync(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def sync(path: pathlib.Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
