"""What does a JSON file of COCO's form say, each record checked before it is believed?

The form is that of "Common Objects in Context" (Lin 2014), cocodataset.org, Data
format: lists of `images`, `annotations` and `categories`, joined by ids that are any
whole numbers. Boxes are [x_min, y_min, width, height], outlines are polygons, or runs
(RLE) as the COCO API writes them.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfdl import errors

_MAX_SHOWN = 40  # characters of a wrong value
_MIN_COORDINATES = 6  # of a polygon: x and y of three points
_MAX_DIGITS = 7  # of five bits, more than any picture's run has
_REMEDY = "see cocodataset.org, Data format: write the file as it has it"


@dataclasses.dataclass(frozen=True, slots=True)
class Image:
    """One of `images`.

    Attributes:
        file_name: the picture, as the file has it; nothing is known of it.
        size: (height, width) in pixels, or None where the file does not say.
    """

    file_name: str
    size: tuple[int, int] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Annotation:
    """One of `annotations`.

    Attributes:
        number: its id.
        image: id of its image, which is one of `images`.
        category: id of its category, perhaps of none of `categories`.
        box: x_min, y_min, width and height in pixels, any numbers, NaN too.
        area: square pixels, any number; of the box where the file does not say.
        is_crowd: it is around many objects.
        is_difficult: `difficult` is 1; no key of COCO, but of VOC's sets in this form.
        fault: what is wrong with its id, category or outline, or "".
    """

    number: int
    image: int
    category: int
    box: tuple[float, float, float, float]
    area: float
    is_crowd: bool
    is_difficult: bool
    fault: str


@dataclasses.dataclass(frozen=True)
class Content:
    """What a file says.

    Attributes:
        categories: id -> name, by ascending ids.
        images: id -> image, in the file's order.
        annotations: in the file's order.
    """

    categories: dict[int, str]
    images: dict[int, Image]
    annotations: list[Annotation]


class _WrongError(ValueError):
    """A record is not as the form has it."""


def parse(path: pathlib.Path) -> Content:
    """Read and check a file of instances.

    Args:
        path: the JSON file.

    Raises:
        DataError: the file is no JSON, a key is missing or its value of another type,
            two images or two categories have the same id, or an annotation is of an
            image that is not listed. Names the file, the record and its ids.
    """
    content = _load(path)
    categories = dict(sorted(_numbered(content, "categories", _category, path).items()))
    images = _numbered(content, "images", _image, path)
    images_of = {}  # of annotations

    def build(row: Mapping) -> Annotation:
        found = _annotation(row, categories, images)
        if found.number not in images_of:
            images_of[found.number] = found.image
            return found
        first = images_of[found.number]
        reason = f"its id is that of another annotation, of image {first}"
        return dataclasses.replace(found, fault=reason)

    rows = _rows(content, "annotations", path)
    annotations = [_checked(row, build, "annotation", path) for row in rows]
    return Content(categories, images, annotations)


def outline_fault(segmentation: Any, size: tuple[int, int] | None) -> str:
    """Say what is wrong with an outline.

    Args:
        segmentation: a list of polygons, each a flat list of x and y; or the runs
            {"size": [height, width], "counts": list of lengths, or their text}.
        size: (height, width) of the picture in pixels, or None if it is unknown.

    Returns:
        The reason, or "" for a sound outline. An empty list or None is none, and sound.
    """
    if segmentation is None:
        return ""
    if isinstance(segmentation, list):
        return next(filter(None, map(_polygon_fault, segmentation)), "")
    if isinstance(segmentation, dict):
        return _runs_fault(segmentation, size)
    return f"its outline is neither polygons nor runs: {_shown(segmentation)}"


def run_lengths(text: str) -> list[int]:
    """Decode the text that the COCO API packs runs into.

    A length is written in digits of 5 bits, the lowest first, a sixth bit says that
    another follows; from the fourth on it is the difference to the second but last.

    Args:
        text: `counts` of an outline.

    Returns:
        Lengths of runs by turns outside and inside, column by column.

    Raises:
        ValueError: it is no such text.
    """
    lengths, value, shift = [], 0, 0
    for letter in text:
        digit = ord(letter) - 48
        if not 0 <= digit < 64 or shift >= 5 * _MAX_DIGITS:
            raise ValueError(f"{letter!r} is no digit of a run's length")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:  # the highest bit is the sign
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("the last run has no end")
    return lengths


def _load(path: pathlib.Path) -> Mapping:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise errors.DataError(
            f"{path}: it cannot be read ({error.strerror})", "name another file"
        ) from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise errors.DataError(
            f"{path} is not JSON: {reason}", "copy or export it again"
        ) from error
    if not isinstance(content, dict):
        raise errors.DataError(f"{path}: {_shown(content)} is no object", _REMEDY)
    return content


def _rows(content: Mapping, key: str, path: pathlib.Path) -> list:
    rows = content.get(key)
    if not isinstance(rows, list):
        state = f"`{key}` is no list" if key in content else f"it has no `{key}`"
        raise errors.DataError(f"{path}: {state}", _REMEDY)
    return rows


def _numbered(
    content: Mapping, key: str, build: Callable, path: pathlib.Path
) -> dict[int, Any]:
    """Build records by their ids, which must differ."""
    found = {}
    name = {"images": "image", "categories": "category"}[key]
    for row in _rows(content, key, path):
        number, built = _checked(row, build, name, path)
        if number in found:
            raise errors.DataError(
                f"{path}: two of `{key}` have the id {number}, {_shown(found[number])} "
                f"and {_shown(built)}",
                "give each its own id, and the annotations with it",
            )
        found[number] = built
    return found


def _checked(row: Any, build: Callable, name: str, path: pathlib.Path) -> Any:
    """Build one record, or say which one is wrong and how."""
    try:
        if not isinstance(row, dict):
            raise _WrongError(f"{_shown(row)} is no object")
        return build(row)
    except _WrongError as error:
        keys = {"id": name, "image_id": "image"}
        known = row if isinstance(row, dict) else {}
        ids = [f", {keys[k]} {_shown(known[k])}" for k in reversed(keys) if k in known]
        where = "".join(ids) or f", one {name}"
        raise errors.DataError(f"{path}{where}: {error}", _REMEDY) from error


def _category(row: Mapping) -> tuple[int, str]:
    return _whole(row, "id"), _text(row, "name")


def _image(row: Mapping) -> tuple[int, Image]:
    size = None
    if "height" in row or "width" in row:
        size = (_whole(row, "height"), _whole(row, "width"))
    return _whole(row, "id"), Image(_text(row, "file_name"), size)


def _annotation(
    row: Mapping, categories: Mapping[int, str], images: Mapping[int, Image]
) -> Annotation:
    image = _whole(row, "image_id")
    if image not in images:
        raise _WrongError(f"there is no image of the id {image}")
    category = _whole(row, "category_id")
    fault = outline_fault(row.get("segmentation", []), images[image].size)
    if category not in categories:
        fault = f"its category id {category} is none of the file's {len(categories)}"
    box = _box(row)
    return Annotation(
        number=_whole(row, "id"),
        image=image,
        category=category,
        box=box,
        area=_float(row["area"], "area") if "area" in row else box[2] * box[3],
        is_crowd=_is_set(row, "iscrowd"),
        is_difficult=_is_set(row, "difficult"),
        fault=fault,
    )


def _box(row: Mapping) -> tuple[float, ...]:
    numbers = _value(row, "bbox")
    if not isinstance(numbers, list) or len(numbers) != 4:
        raise _WrongError(f"`bbox` must be 4 numbers. Received {_shown(numbers)}.")
    return tuple(_float(number, "bbox") for number in numbers)


def _value(row: Mapping, key: str) -> Any:
    if key not in row:
        raise _WrongError(f"it has no `{key}`")
    return row[key]


def _whole(row: Mapping, key: str) -> int:
    value = _value(row, key)
    if type(value) is not int:  # bool is a kind of int
        raise _WrongError(f"`{key}` must be a whole number. Received {_shown(value)}.")
    return value


def _is_set(row: Mapping, key: str) -> bool:
    value = row.get(key, 0)
    if value not in (0, 1):
        raise _WrongError(f"`{key}` must be 0 or 1. Received {_shown(value)}.")
    return bool(value)


def _text(row: Mapping, key: str) -> str:
    value = _value(row, key)
    if not isinstance(value, str) or not value:
        raise _WrongError(f"`{key}` must be text. Received {_shown(value)}.")
    return value


def _float(value: Any, key: str) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise _WrongError(f"`{key}` must be of numbers. Received {_shown(value)}.")
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _polygon_fault(polygon: Any) -> str:
    if not isinstance(polygon, list) or not _are_finite(polygon):
        return f"a polygon of its outline is no list of numbers: {_shown(polygon)}"
    if len(polygon) % 2:
        return f"a polygon of its outline has {len(polygon)} numbers, an x without y"
    if len(polygon) < _MIN_COORDINATES:
        return f"a polygon of its outline has {len(polygon) // 2} points, 3 are fewest"
    return ""


def _runs_fault(runs: Mapping, size: tuple[int, int] | None) -> str:
    counts, own_size = runs.get("counts"), runs.get("size")
    try:
        lengths = run_lengths(counts) if isinstance(counts, str) else counts
    except ValueError as error:
        return f"the runs of its outline cannot be read: {error}"
    if not _is_whole_list(lengths) or not _is_whole_list(own_size):
        return "the runs of its outline are not {size: [height, width], counts}"
    if len(own_size) != 2 or (size is not None and tuple(own_size) != size):
        return f"the runs of its outline are of {own_size}, the picture of {size}"
    height, width = own_size
    if sum(lengths) != height * width:
        return (
            f"the runs of its outline have {sum(lengths)} pixels, {height} x {width} "
            f"are {height * width}"
        )
    return ""


def _are_finite(numbers: list) -> bool:
    try:
        return all(map(math.isfinite, numbers))
    except (TypeError, OverflowError):
        return False


def _is_whole_list(values: Any) -> bool:
    return isinstance(values, Sequence) and all(
        type(value) is int and value >= 0 for value in values
    )


def _shown(value: Any) -> str:
    text = repr(value.file_name if isinstance(value, Image) else value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
