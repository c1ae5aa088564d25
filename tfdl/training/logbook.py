"""What a run writes down: steps.csv, metrics.csv, and events for TensorBoard.

The two tables hold nothing that depends on the clock, so that those of a run that was
killed and resumed equal those of one that was not, byte by byte.
"""

import os
import pathlib
import time
from collections.abc import Iterable

import numpy as np
from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer import event_file_writer

from tfdl.training import checkpoint, events

_STEPS_HEADER = "step,loss,learning_rate\n"


class Logbook:
    """The tables and events of a run, cut back to where the run resumes.

    Args:
        folder: the run's folder.
        step: steps that are done; later rows and events are dropped.
        epoch: epochs that are done.
    """

    def __init__(self, folder: pathlib.Path, *, step: int, epoch: int):
        self._steps_path = folder / "steps.csv"
        self._metrics_path = folder / "metrics.csv"
        _cut(self._steps_path, last=step)
        _cut(self._metrics_path, last=epoch)
        if not self._steps_path.exists():
            self._steps_path.write_text(_STEPS_HEADER)
        self._steps = open(self._steps_path, "a")  # noqa: SIM115 (closed in close)
        self._events = {
            kind: _writer(folder / "events" / kind, step=step)
            for kind in ("train", "validation")
        }

    def steps(self, first: int, losses: Iterable, learning_rates: Iterable) -> None:
        """Add one row for each step.

        Args:
            first: number of the first step, counted from 1.
            losses: float32 (steps,), written in hexadecimal, so exactly.
            learning_rates: float32 (steps,).
        """
        rows = zip(losses, learning_rates, strict=True)
        for step, (loss, rate) in enumerate(rows, first):
            self._steps.write(f"{step},{float(loss).hex()},{float(rate)!r}\n")
        self._steps.flush()

    def epoch(self, epoch: int, row: dict[str, float]) -> None:
        """Add one row of metrics, written as a whole or not at all.

        Args:
            epoch: its number, counted from 1.
            row: metrics; the same names every time.
        """
        names = ["epoch", *row]
        values = [str(epoch), *(repr(float(value)) for value in row.values())]
        text = ",".join(values) + "\n"
        if not self._metrics_path.exists():
            text = ",".join(names) + "\n" + text
        with open(self._metrics_path, "a") as file:
            file.write(text)

    def scalars(self, step: int, values: dict[str, float], *, kind="train") -> None:
        """Send numbers to TensorBoard.

        Args:
            step: steps done.
            values: tag -> number.
            kind: "train" or "validation", curves of one chart.
        """
        for tag, value in values.items():
            self._add(kind, step, events.scalar(tag, value))

    def picture(self, step: int, tag: str, picture: np.ndarray, *, kind="train"):
        """Send a picture, uint8 (height, width, 3), to TensorBoard."""
        self._add(kind, step, events.picture(tag, picture))

    def sync(self) -> None:
        """Flush the tables to the disk, as must be done before a checkpoint."""
        self._steps.flush()
        os.fsync(self._steps.fileno())
        if self._metrics_path.exists():
            checkpoint.sync(self._metrics_path)

    def close(self) -> None:
        """Write what is pending and close the files."""
        self._steps.close()
        for writer in self._events.values():
            writer.close()

    def _add(self, kind: str, step: int, summary) -> None:
        self._events[kind].add_event(events.event(summary, step=step))


def _writer(folder: pathlib.Path, *, step: int):
    """Open an event file that takes back what earlier ones say of later steps."""
    writer = event_file_writer.EventFileWriter(str(folder))
    start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    writer.add_event(
        event_pb2.Event(step=step + 1, wall_time=time.time(), session_log=start)
    )
    return writer


def _cut(path: pathlib.Path, *, last: int) -> None:
    """Drop the rows whose number is past `last`, and what a crash left half written."""
    if not path.exists():
        return
    header, *rows = path.read_text().splitlines(keepends=True) or [""]
    numbers = [row.partition(",")[0] for row in rows]
    kept = [
        row
        for number, row in zip(numbers, rows, strict=True)
        if row.endswith("\n") and number.isdecimal() and int(number) <= last
    ]
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text("".join([header, *kept] if last else []))
    if last:
        os.replace(unfinished, path)
    else:
        unfinished.unlink()
        path.unlink()
