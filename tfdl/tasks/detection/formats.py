"""The file formats of boxes, and the way from one to another."""

import itertools
import pathlib
import shutil
import warnings
from collections.abc import Callable

from tfdl import errors
from tfdl.data import location
from tfdl.data.sources import annotated, coco, voc, yolo

FORMATS = {"voc": voc, "coco": coco, "yolo": yolo}  # each reads and writes annotations


def convert(
    spec: str, target: str, *, warn: Callable[[str], None] = warnings.warn
) -> pathlib.Path:
    """Write a data set in another format, whole or not at all.

    Args:
        spec: "voc:PATH", "coco:PATH" or "yolo:PATH".
        target: likewise; the folder must be new or empty.
        warn: takes a line about what the format has no word for.

    Returns:
        The folder.

    Raises:
        UsageError: a format is none of these, or the folder holds something.
        DataError: the data cannot be read, or the format cannot hold them.
    """
    name, place = location.parse(spec, formats=tuple(FORMATS))
    other, folder = location.parse(target, formats=tuple(FORMATS))
    folder = pathlib.Path(folder).expanduser()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise errors.UsageError(
            f"--to {target} is no empty folder", "name a new folder"
        )
    annotations = FORMATS[name].read(location.find(place))
    unfinished = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        FORMATS[other].write(annotations, unfinished)
        folder.mkdir(parents=True, exist_ok=True)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    if other == "yolo":
        _say_what_yolo_lacks(annotations, warn)
    return folder


def _say_what_yolo_lacks(annotations: annotated.Annotations, warn) -> None:
    pictures = [*itertools.chain.from_iterable(annotations.splits.values())]
    crowds = sum(int(picture.is_crowd.sum()) for picture in pictures)
    difficult = sum(int(picture.is_difficult.sum()) for picture in pictures)
    if crowds:
        warn(f"{crowds} crowds were left out, for which YOLO's files have no word")
    if difficult:
        warn(f"{difficult} objects are no longer marked as difficult in YOLO's files")
