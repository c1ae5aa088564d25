"""Which outlines are in a file of COCO's form, and where is painted what they say?"""

import hashlib
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from tfdl.data.sources import box_faults, coco_masks

_VERSION = 1  # of what is painted: one more where it is painted differently
_MAX_BEYOND = 2.0  # of a picture's longer side; nothing but an error lies farther out


def read(file: pathlib.Path) -> dict[str, coco_masks.Outline | None]:
    """Read the outline of each object, by the place that `coco.read` gives it."""
    return {
        f"{file}, image {row['image_id']}, annotation {row['id']}": row.get(
            "segmentation"
        )
        for row in json.loads(file.read_bytes())["annotations"]
    }


def fault(outline: coco_masks.Outline | None, size: tuple[int, int]) -> str:
    """Say why a sound outline is no mask of a picture of this size; empty if it is.

    Args:
        outline: as `coco_json.outline_fault` passes it.
        size: (height, width) of the picture in pixels.
    """
    if not outline:
        return "it has no outline, a box alone is no mask"
    if isinstance(outline, Mapping):
        own = tuple(outline["size"])
        if own == tuple(size):
            return ""
        return f"its runs are of {box_faults.text(own)}, the picture of another size"
    farthest = max(np.abs(polygon).max() for polygon in outline)
    if farthest > _MAX_BEYOND * max(size):
        return f"its outline reaches to {farthest:g}, far out of the picture"
    return ""


def folder_name(file: pathlib.Path) -> str:
    """Name the folder of what is painted of a file: another content has another."""
    status = file.stat()
    content = f"{status.st_size}|{status.st_mtime_ns}"
    return _digest(f"{_VERSION}|{file.absolute()}|{content}")


def file_name(picture: str | pathlib.Path, places: Sequence[str]) -> str:
    """Name what is painted of a picture and these objects."""
    return _digest("\n".join([str(picture), *places])) + ".png"


def _digest(text: str) -> str:
    return hashlib.blake2b(os.fsencode(text), digest_size=16).hexdigest()
