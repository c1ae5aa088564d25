"""Keeps the weights at the end of every cycle of the schedule, for an ensemble."""

import pathlib

import keras

from tfdl import errors
from tfdl.training import best

FOLDER = "snapshots"


class Snapshots(keras.callbacks.Callback):
    """Writes `snapshots/<number of the cycle>.weights.h5`, each with its sha256.

    A run that is resumed in the middle of an epoch's end writes the same file once
    more; one that is extended by further cycles of the same length adds theirs.

    Args:
        folder: the run's folder, or None where this process does not write.
        cycle_epochs: epochs of a cycle.

    Reference:
        Huang et al., "Snapshot Ensembles: Train 1, Get M for Free", 2017.
    """

    def __init__(self, folder: pathlib.Path | None, *, cycle_epochs: int):
        super().__init__()
        self._folder = folder
        self._cycle_epochs = cycle_epochs

    def on_epoch_end(self, epoch, logs=None):
        """Write at the end of a cycle; called while averaged weights are in.

        Raises:
            ResourceError: it cannot be written; earlier files are untouched.
        """
        number, rest = divmod(epoch + 1, self._cycle_epochs)
        if self._folder is None or rest:
            return
        folder = self._folder / FOLDER
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise errors.ResourceError(
                f"{folder} cannot be made: {error}",
                "free disk space, then run it again",
            ) from error
        best.save_weights(self.model, folder / f"{number:02d}.weights.h5")
