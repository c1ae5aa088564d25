"""The file formats of boxes, and the way from one to another."""

import pathlib

from tfdl import errors
from tfdl.data import location
from tfdl.data.sources import coco, voc, yolo

FORMATS = {"voc": voc, "coco": coco, "yolo": yolo}  # each reads and writes annotations


def convert(spec: str, target: str) -> pathlib.Path:
    """Write a data set in another format.

    Args:
        spec: "voc:PATH", "coco:PATH" or "yolo:PATH".
        target: likewise; the folder must be new or empty.

    Returns:
        The folder.

    Raises:
        UsageError: a format is none of these, or the folder holds something.
        DataError: the data cannot be read.
    """
    name, place = location.parse(spec, formats=tuple(FORMATS))
    other, folder = location.parse(target, formats=tuple(FORMATS))
    folder = pathlib.Path(folder).expanduser()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise errors.UsageError(
            f"--to {target} is no empty folder", "name a new folder"
        )
    FORMATS[other].write(FORMATS[name].read(location.find(place)), folder)
    return folder
