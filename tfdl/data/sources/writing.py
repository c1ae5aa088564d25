"""What every format does before it writes annotations, and with the pictures."""

import itertools
import pathlib
import shutil
from collections.abc import Sequence

import numpy as np

from tfdl import errors
from tfdl.data.sources import annotated


def refuse_occupied(folder: pathlib.Path) -> None:
    """Make sure that a data set is not written into another one.

    Raises:
        DataError: there is something in the folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise errors.DataError(
            f"{folder} is not empty", "remove it, or name another folder to write to"
        )


def refuse_faulty(annotations: annotated.Annotations) -> None:
    """Make sure that every object has a class and a box.

    Args:
        annotations: of a data set. Boxes may still be out of their pictures, or empty:
            they are written as they are, and found again by whoever reads them.

    Raises:
        DataError: an object has no class or no finite box, or its format says more.
    """
    for picture in itertools.chain.from_iterable(annotations.splits.values()):
        is_whole = np.isfinite(picture.boxes).all(axis=1) & (picture.labels >= 0)
        unwhole = [(n, "it has no class or no box") for n in np.flatnonzero(~is_whole)]
        if picture.faults or unwhole:
            index, reason = [*picture.faults, *unwhole][0]
            raise errors.DataError(
                f"{picture.places[index]} cannot be written: {reason}",
                "mend or remove it first",
            )


def copy(paths: Sequence[pathlib.Path], folder: pathlib.Path) -> list[pathlib.Path]:
    """Copy pictures under their own names, numbered where two are called the same.

    Args:
        paths: picture files; their names without the ending may be equal.
        folder: where to copy them to; it is made if it is not there.

    Returns:
        The copies, in the same order; no two names are equal without the ending, in
        upper or lower case.

    Raises:
        DataError: a picture is missing or cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    taken = {path.stem.casefold() for path in paths}
    used = set()
    copied = []
    for path in paths:
        stem, number = path.stem, 1
        while stem.casefold() in used or (number > 1 and stem.casefold() in taken):
            number += 1
            stem = f"{path.stem}_{number}"
        used.add(stem.casefold())
        copied.append(folder / f"{stem}{path.suffix}")
        _copy(path, copied[-1])
    return copied


def _copy(path: pathlib.Path, target: pathlib.Path) -> None:
    try:
        shutil.copyfile(path, target)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise errors.DataError(
            f"{path}: it cannot be copied ({error.strerror})",
            "add the picture, or remove it from the annotations",
        ) from error
