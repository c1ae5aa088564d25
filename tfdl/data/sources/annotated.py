"""Pictures with boxes, as every file format of them is read and written."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Picture:
    """What a file says about one picture, before anything is checked.

    Attributes:
        path: the picture.
        size: (height, width) in pixels as the annotation has it, or None.
        boxes: float64 (objects, 4), (x_min, y_min, x_max, y_max), half open, pixels.
        labels: int32 (objects,), indices into the class names; -1 for an unknown class.
        areas: float64 (objects,), square pixels, of the outline or the box.
        is_crowd: bool (objects,).
        is_difficult: bool (objects,).
        places: what a message calls each object: file, and number or id within it.
        faults: what the format itself finds wrong: (index of the object, reason).
    """

    path: pathlib.Path
    size: tuple[int, int] | None
    boxes: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    is_difficult: np.ndarray
    places: Sequence[str]
    faults: Sequence[tuple[int, str]] = ()


@dataclasses.dataclass(frozen=True)
class Annotations:
    """A whole data set of annotated pictures.

    Attributes:
        class_names: the names that labels index.
        splits: "train" and perhaps "validation" and "test" -> pictures.
    """

    class_names: tuple[str, ...]
    splits: Mapping[str, Sequence[Picture]]
