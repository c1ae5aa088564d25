"""Builds what TensorBoard shows, and writes it without TensorFlow's sessions.

A report's events are in a file of their own, which the next report replaces, so that
they never come between those of the training that `logbook` writes.
"""

import math
import pathlib
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import PIL.Image
from google.protobuf import text_format
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, summary as session_summary, summary_v2
from tensorboard.plugins.pr_curve import summary as pr_curve_summary
from tensorboard.plugins.projector import metadata, projector_config_pb2
from tensorboard.plugins.scalar import summary_v2 as scalar_summary
from tensorboard.summary.writer import event_file_writer

from tfdl import drawing


def scalar(tag: str, value: float) -> summary_pb2.Summary:
    """Build a point of a curve."""
    return scalar_summary.scalar_pb(tag, float(value))


def picture(tag: str, drawn: np.ndarray) -> summary_pb2.Summary:
    """Build a picture from uint8 (height, width, 3)."""
    height, width, _ = drawn.shape
    image = summary_pb2.Summary.Image(
        height=height,
        width=width,
        colorspace=3,
        encoded_image_string=drawing.encode(drawn),
    )
    value = summary_pb2.Summary.Value(tag=tag, image=image)
    return summary_pb2.Summary(value=[value])


def pr_curve(name: str, confusions: np.ndarray) -> summary_pb2.Summary:
    """Build a precision-recall curve.

    Args:
        name: of the class.
        confusions: int (4, thresholds), true positives, false positives, true negatives
            and false negatives at thresholds evenly from 0 to 1.
    """
    hits, alarms, rejected, missed = np.asarray(confusions, np.float64)
    summary = pr_curve_summary.raw_data_pb(
        name,
        *(hits, alarms, rejected, missed),
        precision=hits / np.maximum(hits + alarms, 1),
        recall=hits / np.maximum(hits + missed, 1),
        num_thresholds=len(hits),
    )
    return _own(summary)


def settings(values: Mapping, *, name: str) -> list[summary_pb2.Summary]:
    """Build a row of the table that compares runs by their settings.

    Its metrics are the scalars beside it.

    Args:
        values: setting -> text, number or truth; others are left out.
        name: of the run; sessions of the same name are shown as one.
    """
    known = {
        key: value
        for key, value in values.items()
        if isinstance(value, str | int | float)
    }
    return [
        _own(summary_v2.hparams_pb(known, trial_id=name)),
        _own(session_summary.session_end_pb(api_pb2.STATUS_SUCCESS)),
    ]


def write(
    folder: pathlib.Path,
    summaries: Iterable[summary_pb2.Summary],
    *,
    step: int,
    name: str,
) -> None:
    """Write an event file in place of the one that had the same name.

    Args:
        folder: `events/<what TensorBoard calls a run>`.
        summaries: what it shows.
        step: steps done.
        name: of the report, a word.
    """
    suffix = f".{name}"
    for earlier in folder.glob(f"events.out.tfevents.*{suffix}"):
        earlier.unlink()
    writer = event_file_writer.EventFileWriter(str(folder), filename_suffix=suffix)
    for summary in summaries:
        writer.add_event(event(summary, step=step))
    writer.close()


def event(summary: summary_pb2.Summary, *, step: int) -> event_pb2.Event:
    """Say when something was seen."""
    return event_pb2.Event(step=step, wall_time=time.time(), summary=summary)


def embedding(
    folder: pathlib.Path,
    *,
    features: np.ndarray,
    thumbnails: np.ndarray,
    rows: Sequence[Mapping],
) -> None:
    """Write what TensorBoard's projector shows: points, with their pictures and names.

    Args:
        folder: `events/<what TensorBoard calls a run>`; tensors.tsv, metadata.tsv,
            sprite.png and projector_config.pbtxt are written.
        features: float (pictures, features), at least one of each.
        thumbnails: uint8 (pictures, side, side, 3).
        rows: what is known of each picture; two or more columns, the same in all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / "tensors.tsv", features, fmt="%.6g", delimiter="\t")
    lines = [list(rows[0]), *(row.values() for row in rows)]
    text = "".join("\t".join(map(_cell, line)) + "\n" for line in lines)
    (folder / "metadata.tsv").write_text(text)
    PIL.Image.fromarray(_sprite(thumbnails)).save(folder / "sprite.png")
    config = projector_config_pb2.ProjectorConfig()
    place = config.embeddings.add(
        tensor_name="features",
        tensor_path="tensors.tsv",
        metadata_path="metadata.tsv",
    )
    place.sprite.image_path = "sprite.png"
    place.sprite.single_image_dim.extend(thumbnails.shape[2:0:-1])
    (folder / metadata.PROJECTOR_FILENAME).write_text(
        text_format.MessageToString(config)
    )


def _own(summary) -> summary_pb2.Summary:
    """Turn a message of TensorFlow's into the same one of TensorBoard's."""
    return summary_pb2.Summary.FromString(summary.SerializeToString())


def _cell(value) -> str:
    return " ".join(str(value).split())  # a tab or a line's end would be a cell's


def _sprite(thumbnails: np.ndarray) -> np.ndarray:
    """Lay pictures out in rows, as many as columns."""
    count, side = len(thumbnails), math.ceil(math.sqrt(len(thumbnails)))
    page = np.full((side**2, *thumbnails.shape[1:]), 255, np.uint8)
    page[:count] = thumbnails
    _, height, width, channels = page.shape
    grid = page.reshape(side, side, height, width, channels).swapaxes(1, 2)
    return grid.reshape(side * height, side * width, channels)
