"""Reads and writes annotations as YOLO has them: a line of text for each object.

A line is `class x y width height`, the box's centre and size as shares of the width and
height of the picture, as Darknet (Redmon, 2013) introduced it. A line with more numbers
is the outline of the object, `class x1 y1 x2 y2 ...`.
"""

import math
import pathlib
import warnings
from collections.abc import Callable, Collection, Sequence

import numpy as np
import yaml

from tfdl import errors
from tfdl.data.sources import annotated, upright, writing, yolo_layout

_BOX_NUMBERS = 4
_MIN_OUTLINE_NUMBERS = 6  # three corners
_MAX_LABEL_BYTES = 16_000_000


def read(
    path: pathlib.Path, *, warn: Callable[[str], None] = warnings.warn
) -> annotated.Annotations:
    """Read a data set by its data.yaml, or by its folders and a file of class names.

    `data.yaml` has `names`, a list or by number, and under `train`, `val` and `test`
    folders of pictures, or text files that list them, from `path` or the file's own
    folder. The labels of `images/a.jpg` are in `labels/a.txt`; a picture without such
    a file is without objects.

    Args:
        path: data.yaml, or a folder, see `yolo_layout.find`.
        warn: takes a line about what data.yaml asks for and does not get, and about
            label files without a picture.

    Raises:
        DataError: there is no data set, data.yaml is not plain YAML or leaves its
            folder, or none of the pictures of a split has labels.
    """
    layout = yolo_layout.find(path, warn=warn)
    splits, known_labels = {}, set()
    for split, pictures in layout.pictures.items():
        labels = [layout.label_file(picture) for picture in pictures]
        _refuse_unlabelled(split, labels)
        known_labels.update(labels)
        sizes = upright.sizes(pictures)
        splits[split] = [
            _picture(*known, num_classes=len(layout.class_names))
            for known in zip(pictures, labels, sizes, strict=True)
        ]
    unused = _without_picture(known_labels)
    if unused:
        warn(f"left out {len(unused)} label files without a picture: {unused[0]}, ...")
    return annotated.Annotations(class_names=layout.class_names, splits=splits)


def write(annotations: annotated.Annotations, folder: pathlib.Path) -> None:
    """Write data.yaml, `images/<split>` with copies of the pictures, and `labels`.

    `read` gives back the same boxes to the last bit of float32. The format knows no
    crowds, which are left out, no difficult objects and no areas but the boxes'.
    Pictures keep their names, numbered where two are the same.

    Args:
        annotations: of a data set.
        folder: where to write to; it is made, or must be empty.

    Raises:
        DataError: the folder is not empty, a picture cannot be read, is of another size
            than annotated, or an object is without class or box.
    """
    writing.refuse_occupied(folder)
    writing.refuse_faulty(annotations)
    content = {"names": dict(enumerate(annotations.class_names))}
    for split, pictures in annotations.splits.items():
        name = yolo_layout.FOLDERS[split]
        content[name] = f"images/{name}"
        paths = [picture.path for picture in pictures]
        copied = writing.copy(paths, folder / "images" / name)
        labels = folder / "labels" / name
        labels.mkdir(parents=True)
        for picture, copy, size in zip(
            pictures, copied, upright.sizes(copied), strict=True
        ):
            _refuse_size(picture, size)
            text = "".join(_lines(picture, size))
            (labels / f"{copy.stem}.txt").write_text(text, "utf-8")
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, "utf-8")


def _picture(
    path: pathlib.Path,
    labels: pathlib.Path,
    size: tuple[int, int] | None,
    *,
    num_classes: int,
) -> annotated.Picture:
    """Read the objects of a picture; one that cannot be read has none."""
    lines = _read_lines(labels) if size else []
    height, width = size or (1, 1)
    slack = 2 / min(height, width)  # a pixel on either side, as every format has it
    parsed = [_parse(line, num_classes, slack) for _, line in lines]
    scale = np.array([width, height] * 2, np.float64)
    boxes = np.array([box for _, box, _, _ in parsed]).reshape(-1, 4) * scale
    areas = np.array([area for _, _, area, _ in parsed]) * (width * height)
    nothing = np.zeros(len(parsed), bool)
    return annotated.Picture(
        path=path,
        size=size,
        boxes=boxes,
        labels=np.array([label for label, _, _, _ in parsed], np.int32),
        areas=areas,
        is_crowd=nothing,
        is_difficult=nothing,
        places=[f"{labels}, line {number}" for number, _ in lines],
        faults=[(n, known[-1]) for n, known in enumerate(parsed) if known[-1]],
    )


def _parse(
    line: str, num_classes: int, slack: float
) -> tuple[int, list[float], float, str]:
    """Read a line -> (label, box and area as shares of the picture, fault)."""
    nothing = [math.nan] * 4
    try:
        first, *numbers = [float(word) for word in line.split()]
    except ValueError:
        return -1, nothing, math.nan, f"{line[:50]!r} is not of numbers"
    is_known = first.is_integer() and 0 <= first < num_classes
    label = int(first) if is_known else -1
    count = len(numbers)
    is_outline = count >= _MIN_OUTLINE_NUMBERS and count % 2 == 0
    if count != _BOX_NUMBERS and not is_outline:
        fault = f"it has {count + 1} numbers where class, x, y, width, height are due"
        return label, nothing, math.nan, fault
    outside = [number for number in numbers if not -slack <= number <= 1 + slack]
    if outside:
        fault = f"{outside[0]:g} is no share of the picture, which is from 0 to 1"
        return label, nothing, math.nan, fault
    box, area = _outlined(numbers) if is_outline else _centred(numbers)
    fault = f"there is no class {first:g} among {num_classes}" if label < 0 else ""
    return label, box, area, fault


def _centred(numbers: Sequence[float]) -> tuple[list[float], float]:
    x, y, width, height = numbers
    left, top = x - width / 2, y - height / 2
    return [left, top, x + width / 2, y + height / 2], width * height


def _outlined(numbers: Sequence[float]) -> tuple[list[float], float]:
    """Find the box around a polygon, and its area by the shoelace formula."""
    x, y = numbers[::2], numbers[1::2]
    doubled = np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))
    return [min(x), min(y), max(x), max(y)], abs(float(doubled)) / 2


def _lines(picture: annotated.Picture, size: tuple[int, int]) -> list[str]:
    scale = np.array([size[1], size[0]], np.float64)
    centres = (picture.boxes[:, :2] + picture.boxes[:, 2:]) / 2 / scale
    shares = (picture.boxes[:, 2:] - picture.boxes[:, :2]) / scale
    numbers = np.concatenate([centres, shares], axis=1).tolist()
    return [
        f"{label} {' '.join(repr(number) for number in row)}\n"
        for label, row, is_crowd in zip(
            picture.labels, numbers, picture.is_crowd, strict=True
        )
        if not is_crowd
    ]


def _read_lines(path: pathlib.Path) -> list[tuple[int, str]]:
    """Read the lines that are not empty, with their numbers from 1."""
    try:
        if path.stat().st_size > _MAX_LABEL_BYTES:
            raise errors.DataError(
                f"{path} has more than {_MAX_LABEL_BYTES} bytes", "mend or remove it"
            )
        text = path.read_text("utf-8-sig", "replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise errors.DataError(
            f"{path} cannot be read: {error.strerror}", "mend or remove it"
        ) from error
    lines = enumerate(text.splitlines(), start=1)
    return [(number, line) for number, line in lines if line.strip()]


def _without_picture(labels: Collection[pathlib.Path]) -> list[pathlib.Path]:
    """Find further label files in the folders of those that have a picture."""
    folders = {file.parent for file in labels if "labels" in file.parts}
    found = {file for folder in folders for file in folder.glob("*.txt")}
    return sorted(found - {*labels})


def _refuse_unlabelled(split: str, labels: Sequence[pathlib.Path]) -> None:
    if labels and not any(path.exists() for path in labels):
        raise errors.DataError(
            f"no picture of {split} has labels, the first would be {labels[0]}",
            "lay labels/<split>/<name>.txt beside images/<split>/<name>.jpg",
        )


def _refuse_size(picture: annotated.Picture, size: tuple[int, int] | None) -> None:
    if size is None:
        raise errors.DataError(f"{picture.path} cannot be read", "mend or remove it")
    if picture.size not in (None, tuple(size)):
        raise errors.DataError(
            f"{picture.path} has (height, width) {tuple(size)}, annotated are "
            f"{picture.size}",
            "correct its annotation",
        )
