"""Keeps the best weights of a run in a file that cannot be half written."""

import hashlib
import json
import math
import os
import pathlib
import warnings

import keras

from tfdl import errors
from tfdl.training import checkpoint, inference

FILE_NAME = "best.weights.h5"


class BestWeights(keras.callbacks.Callback):
    """Writes `best.weights.h5` and its sha256 whenever a metric improves.

    Args:
        folder: the run's folder, or None where this process does not write.
        monitor: name of the metric in the epoch's logs.
        mode: "max" or "min".
    """

    def __init__(self, folder: pathlib.Path | None, *, monitor: str, mode: str):
        super().__init__()
        self.best = None  # plain attributes are saved with every checkpoint
        self.best_epoch = 0
        self._folder = folder
        self.monitor = monitor
        self._sign = {"max": 1, "min": -1}[mode]

    def on_epoch_end(self, epoch, logs=None):
        """Compare and write; called while averaged weights are in the model."""
        value = float(logs[self.monitor])
        if self.best is not None and not self._improves(value):
            return
        self.best, self.best_epoch = value, epoch + 1
        if self._folder:
            save_weights(self.model, self._folder / FILE_NAME)

    def _improves(self, value: float) -> bool:
        """Compare; NaN is worse than every number."""
        return math.isnan(self.best) or self._sign * (value - self.best) > 0


def save_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Write the weights of what answers, and their digest, each by a rename.

    Raises:
        ResourceError: they cannot be written; an earlier file is untouched.
    """
    unfinished = path.with_name(f".tmp-{path.name}")
    # Keras writes a compiled model's optimizer into the file too, which is of no use
    # here and more than doubles it; this one shares the layers and is not compiled.
    answering = inference.part_of(model)
    bare = keras.Model(answering.inputs, answering.outputs, name=model.name)
    try:
        bare.save_weights(unfinished)
        digest = hashlib.sha256(unfinished.read_bytes()).hexdigest()
        checkpoint.sync(unfinished)
        os.replace(unfinished, path)
        write_digest(path, digest)
    except OSError as error:
        raise errors.ResourceError(
            f"{path} cannot be written: {error}", "free disk space, then run it again"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_digest(path: pathlib.Path, digest: str) -> None:
    """Write a file's sha256 beside it, by a rename."""
    unfinished = path.with_name(f".tmp-{path.name}.sha256")
    try:
        unfinished.write_text(f"{digest}  {path.name}\n")
        os.replace(unfinished, path.with_name(f"{path.name}.sha256"))
    finally:
        unfinished.unlink(missing_ok=True)


def load_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Load weights after checking their digest; HDF5 itself notices no damage.

    Raises:
        ModelFileError: the file or its digest is missing, they do not agree, or the
            weights are another model's.
    """
    verified(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # of weights left as they were
            model.load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        raise errors.ModelFileError(
            f"{path} is of another model: {json.dumps(str(error).splitlines()[0])}",
            "name the run that these weights belong to",
        ) from error


def verified(path: pathlib.Path) -> str:
    """Return the sha256 of a file after comparing it with the one beside it.

    Raises:
        ModelFileError: the file or its digest is missing, or they do not agree.
    """
    listing = path.with_name(f"{path.name}.sha256")
    try:
        expected = listing.read_text().split()[0]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (OSError, IndexError) as error:
        raise errors.ModelFileError(
            f"{path} or its .sha256 is missing", "train first, or name another --run"
        ) from error
    if digest != expected:
        raise errors.ModelFileError(
            f"{path} is damaged: its sha256 is not that of {listing.name}",
            "run the train command again; if it has finished, add --overwrite",
        )
    return digest
