"""Reads and writes annotations as PASCAL VOC has them: one XML file for each picture.

Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 2010. The
first pixel of VOC is 1, and `xmax` is the last pixel of the object, so that the half
open box is (xmin - 1, ymin - 1, xmax, ymax). A box whose corners coincide would be an
object of one pixel; it is what a click leaves behind, and is read without any area.
"""

import dataclasses
import decimal
import math
import pathlib
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

import numpy as np

from tfdl.data.sources import annotated, small_xml, voc_layout, writing

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(path: pathlib.Path) -> annotated.Annotations:
    """Read a folder of VOC's layout, or of pictures with XML files beside them.

    VOC's layout is `Annotations/*.xml`, `JPEGImages/` and, if the data set is split,
    `ImageSets/Main/train.txt`, `val.txt` and `test.txt` with a name in each line;
    `trainval.txt`, less `val.txt`, counts where `train.txt` is missing. The other
    layout may be split by folders `train`, `valid` and `test`. Folders that hold
    nothing but one folder are descended into. Class names are those of `labels.txt` or
    `classes.txt`, a line for each, or else all that occur, sorted.

    An object may have two elements that VOC does not know, as `write` leaves them:
    `iscrowd`, and `area`, beside which a box is taken literally.

    Args:
        path: the folder.

    Raises:
        DataError: there is no annotation, a list names one that is missing, a class is
            listed twice, or a file is not plain XML.
    """
    root = voc_layout.descend(path)
    files = voc_layout.split_files(root)
    pictures = voc_layout.pictures(root, files)
    described = {
        split: [_describe(file, pictures[file.parent]) for file in listed]
        for split, listed in files.items()
    }
    everything = [one for listed in described.values() for one in listed]
    class_names, place = _class_names(root, everything)
    return annotated.Annotations(
        class_names=class_names,
        splits={
            split: [_numbered(one, class_names, place) for one in listed]
            for split, listed in described.items()
        },
    )


def write(annotations: annotated.Annotations, folder: pathlib.Path) -> None:
    """Write VOC's layout, with copies of the pictures and `labels.txt`.

    `read` gives back the same boxes, whole numbers or not, and the same classes,
    difficult objects, crowds and areas. Pictures keep their names, numbered where two
    are the same.

    Args:
        annotations: of a data set.
        folder: where to write to; it is made, or must be empty.

    Raises:
        DataError: the folder is not empty, a picture cannot be copied, or an object is
            without class or box.
    """
    writing.refuse_occupied(folder)
    writing.refuse_faulty(annotations)
    everything = [p for pictures in annotations.splits.values() for p in pictures]
    copied = writing.copy([p.path for p in everything], folder / "JPEGImages")
    for picture, copy in zip(everything, copied, strict=True):
        tree = _tree(picture, copy.name, annotations.class_names)
        small_xml.write(tree, folder / "Annotations" / f"{copy.stem}.xml")
    _write_lines(folder / voc_layout.CLASS_FILES[0], annotations.class_names)
    names = iter(copied)
    for split, pictures in annotations.splits.items():
        target = folder / "ImageSets" / "Main" / f"{voc_layout.LISTS[split]}.txt"
        _write_lines(target, [next(names).stem for _ in pictures])


@dataclasses.dataclass(frozen=True)
class _Described:
    """A picture whose labels are not numbered yet, and its objects' class names."""

    picture: annotated.Picture
    names: list[str]


def _describe(file: pathlib.Path, pictures: voc_layout.Pictures) -> _Described:
    root = small_xml.parse(file)
    nodes = root.findall("object")
    read_boxes = [_box(node) for node in nodes]
    boxes = np.array([box for box, _ in read_boxes], np.float64).reshape(-1, 4)
    picture = annotated.Picture(
        path=pictures.find(file.stem, _text(root, "filename")),
        size=_size(root),
        boxes=boxes,
        labels=np.full(len(nodes), -1, np.int32),
        areas=_areas(nodes, boxes),
        is_crowd=np.array([_text(node, "iscrowd") == "1" for node in nodes], bool),
        is_difficult=np.array(
            [_text(node, "difficult") == "1" for node in nodes], bool
        ),
        places=[f"{file}, object {number}" for number in range(1, len(nodes) + 1)],
        faults=[(n, fault) for n, (_, fault) in enumerate(read_boxes) if fault],
    )
    return _Described(picture, [_text(node, "name") for node in nodes])


def _class_names(
    root: pathlib.Path, everything: Iterable[_Described]
) -> tuple[tuple[str, ...], str]:
    """Return the names of all classes, and where they are from."""
    for name in voc_layout.CLASS_FILES:
        if (root / name).is_file():
            names = tuple(line for line in voc_layout.read_lines(root / name) if line)
            annotated.refuse_repeated(names, place=root / name)
            return names, name
    names = {name for described in everything for name in described.names}
    return tuple(sorted(names - {""})), "the annotations"


def _numbered(
    described: _Described, class_names: tuple[str, ...], place: str
) -> annotated.Picture:
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = np.array([numbers.get(name, -1) for name in described.names], np.int32)
    unknown = [
        (index, f"its class {described.names[index][:50]!r} is not in {place}")
        for index in np.flatnonzero(labels < 0).tolist()
    ]
    return dataclasses.replace(
        described.picture, labels=labels, faults=[*described.picture.faults, *unknown]
    )


def _box(node: ElementTree.Element) -> tuple[list[float], str]:
    """Read a box by decimals, which lose nothing -> (box, what is wrong with it)."""
    texts = [_text(node, f"bndbox/{name}") for name in _CORNERS]
    if "" in texts:
        return [math.nan] * 4, "it has no bndbox with xmin, ymin, xmax and ymax"
    try:
        lows = [decimal.Decimal(text) for text in texts[:2]]
        highs = [decimal.Decimal(text) for text in texts[2:]]
        if node.find("area") is None:
            pairs = zip(lows, highs, strict=True)
            highs = [high - 1 if high <= low else high for low, high in pairs]
        box = [float(number) for number in [*(low - 1 for low in lows), *highs]]
        if all(math.isfinite(number) for number in box):
            return box, ""
    except decimal.DecimalException:
        pass
    listed = ", ".join(text[:20] for text in texts)
    return [math.nan] * 4, f"its box ({listed}) is not four finite numbers"


def _areas(nodes: Sequence[ElementTree.Element], boxes: np.ndarray) -> np.ndarray:
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for index, node in enumerate(nodes):
        if node.find("area") is not None:
            areas[index] = _number(_text(node, "area"))
    return areas


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Read (height, width); some programs leave 0 for what they do not know."""
    sides = [_number(_text(root, f"size/{name}")) for name in ("height", "width")]
    if not all(1 <= side < math.inf for side in sides):
        return None
    return int(sides[0]), int(sides[1])


def _tree(
    picture: annotated.Picture, name: str, class_names: tuple[str, ...]
) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    _add(root, "filename", name)
    if picture.size:
        height, width = picture.size
        size = ElementTree.SubElement(root, "size")
        for tag, number in (("width", width), ("height", height), ("depth", 3)):
            _add(size, tag, number)
    for index, label in enumerate(picture.labels):
        node = ElementTree.SubElement(root, "object")
        _add(node, "name", class_names[label])
        _add(node, "difficult", int(picture.is_difficult[index]))
        if picture.is_crowd[index]:
            _add(node, "iscrowd", 1)
        box, area = picture.boxes[index], float(picture.areas[index])
        width, height = box[2:] - box[:2]
        if area != width * height or min(width, height) <= 1:
            _add(node, "area", repr(area))
        corners = ElementTree.SubElement(node, "bndbox")
        for tag, number, shift in zip(_CORNERS, box, (1, 1, 0, 0), strict=True):
            _add(corners, tag, _shifted(float(number), shift))
    return root


def _shifted(number: float, shift: int) -> str:
    if number.is_integer():
        return str(int(number) + shift)
    return format(decimal.Decimal(repr(number)) + shift, "f")


def _add(parent: ElementTree.Element, tag: str, content) -> None:
    ElementTree.SubElement(parent, tag).text = str(content)


def _text(node: ElementTree.Element, path: str) -> str:
    return (node.findtext(path) or "").strip()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _write_lines(path: pathlib.Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
