"""Reads and writes annotations as COCO has them: one JSON file for each split.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014. Category ids have
gaps (80 of 1 to 90 are used), so that labels are numbered in their order. Most crowds
are outlined by runs, and their boxes are around all of their objects.
"""

import collections
import json
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfdl import errors
from tfdl.data.sources import annotated, coco_json, upright, writing

_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_FOLDERS = {"train": "train", "valid": "validation", "val": "validation"} | {
    "validation": "validation",
    "test": "test",
}
_LAYOUT = "lay it out as annotations/instances_train.json and train/<pictures>"
_PREFIX = "instances_"
_NUM_PROBED = 20  # pictures that tell a folder
_MAX_NAME_BYTES, _MAX_PATH_BYTES = 255, 2000  # file systems refuse more


def read(path: pathlib.Path) -> annotated.Annotations:
    """Read a folder of COCO's layout, or a single file.

    COCO's layout is `annotations/instances_train2017.json`, `instances_val2017.json`,
    or with any other year or none, and pictures in `train2017/`, `train/`, the same
    below `images/`, or all in `images/`. The other layout has folders `train`, `valid`
    and `test`, each with a JSON file among the pictures. A single file is all of train;
    its pictures are beside it or in the one folder there that has them.

    Args:
        path: the folder or the JSON file.

    Returns:
        Classes in the order of their category ids; pictures and objects in that of
        their files. An object with a wrong id, category or outline is a fault of its
        picture; what else may be wrong with boxes is found by `annotated.faults`.

    Raises:
        DataError: there is no annotation, a file is not of COCO's form, splits have
            other categories, or a file name leads out of the folder.
    """
    files = {"train": path} if path.is_file() else files_of_splits(path)
    contents = {split: coco_json.parse(file) for split, file in files.items()}
    _refuse_other_categories(files, contents)
    splits = {}
    for split, content in contents.items():
        folder = _picture_folder(files[split], content.images.values())
        splits[split] = _pictures(content, files[split], folder)
    names = contents[next(iter(contents))].categories.values()
    return annotated.Annotations(class_names=tuple(names), splits=splits)


def write(annotations: annotated.Annotations, folder: pathlib.Path) -> None:
    """Write COCO's layout, with copies of the pictures.

    `read` gives back the same classes, crowds, areas and boxes, these to float32.
    Difficult objects are told by a key `difficult`, which other programs pass over.
    Pictures keep their names, numbered where two of a split are the same.

    Args:
        annotations: of a data set.
        folder: where to write to; it is made, or must be empty.

    Raises:
        DataError: the folder is not empty, a picture cannot be copied, or an object is
            without class or box.
    """
    writing.refuse_occupied(folder)
    writing.refuse_faulty(annotations)
    for name, split in _SPLITS.items():
        pictures = annotations.splits.get(split)
        if pictures is None:
            continue
        copied = writing.copy([p.path for p in pictures], folder / name)
        content = {
            "images": _images(pictures, copied),
            "annotations": _annotations(pictures),
            "categories": [
                {"id": number, "name": class_name}
                for number, class_name in enumerate(annotations.class_names, start=1)
            ],
        }
        target = folder / "annotations" / f"{_PREFIX}{name}.json"
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(content, allow_nan=False), "utf-8")


def files_of_splits(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Find the file of each split below a folder.

    Raises:
        DataError: there is none, or several of one split.
    """
    folder = root / "annotations" if (root / "annotations").is_dir() else root
    found = collections.defaultdict(list)
    for name, split in _SPLITS.items():
        found[split] += folder.glob(f"{_PREFIX}{name}*.json")
    if not any(found.values()):
        for name, split in _FOLDERS.items():
            found[split] += (root / name).glob("*.json")
    for split, files in found.items():
        if len(files) > 1:
            names = ", ".join(str(file.relative_to(root)) for file in sorted(files))
            raise errors.DataError(
                f"{root} has {len(files)} files of its split {split}: {names}",
                "leave one of them there, or name a file instead of the folder",
            )
    if not any(found.values()):
        raise errors.DataError(f"{root} holds no annotations of COCO's form", _LAYOUT)
    return {split: files[0] for split, files in found.items() if files}


def _refuse_other_categories(
    files: Mapping[str, pathlib.Path], contents: Mapping[str, coco_json.Content]
) -> None:
    first = next(iter(files))
    own = contents[first].categories
    annotated.refuse_repeated(list(own.values()), place=files[first])
    for split, content in contents.items():
        others = content.categories
        differing = sorted(
            number for number in own | others if own.get(number) != others.get(number)
        )
        if differing:
            number = differing[0]
            said = [
                f"{c.get(number)!r}" if number in c else "none" for c in (own, others)
            ]
            raise errors.DataError(
                f"{files[first]} and {files[split]} differ in {len(differing)} "
                f"categories: that of id {number} is {said[0]} and {said[1]}",
                "give all splits the same categories, with the same ids",
            )


def _picture_folder(
    file: pathlib.Path, images: Iterable[coco_json.Image]
) -> pathlib.Path:
    """Find the folder that file names are below, by some of the pictures."""
    names = [image.file_name for image in images]
    for name in names:
        _check_name(name, file)
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    own = file.stem.removeprefix(_PREFIX)  # such as train2017
    split = re.match(f"({'|'.join(_SPLITS)})?", own)[0]
    places = [own, f"images/{own}", split, f"images/{split}", "images", "."]
    folders = [folder for place in places if (folder := root / place).is_dir()]
    holding = [f for f in folders if _holds(f, names[:_NUM_PROBED])]
    if holding:
        return holding[0]
    children = sorted(child for child in root.iterdir() if child.is_dir())
    holding = [c for c in children if _holds(c, names[:_NUM_PROBED])]
    if len(holding) > 1:
        raise errors.DataError(
            f"pictures of {file} are in both {holding[0]} and {holding[1]}", _LAYOUT
        )
    return [*holding, *folders][0]


def _holds(folder: pathlib.Path, names: Sequence[str]) -> bool:
    return any((folder / name).is_file() for name in names)


def _check_name(name: str, file: pathlib.Path) -> None:
    """Refuse what would read a file that is no part of the data set."""
    kinds = [kind(name) for kind in (pathlib.PurePosixPath, pathlib.PureWindowsPath)]
    fault = "" if _is_file_name(name) else "is not the name of a file"
    if any(kind.is_absolute() or ".." in kind.parts for kind in kinds):
        fault = "leads out of the data set"
    if fault:
        raise errors.DataError(
            f"{file}: the file name {name[:100]!r} {fault}",
            "name pictures relative to their folder",
        )


def _is_file_name(name: str) -> bool:
    try:
        content = os.fsencode(name)
    except UnicodeEncodeError:
        return False
    longest = max(map(len, content.split(b"/")))
    is_short = longest <= _MAX_NAME_BYTES and len(content) <= _MAX_PATH_BYTES
    return is_short and b"\0" not in content


def _pictures(
    content: coco_json.Content, file: pathlib.Path, folder: pathlib.Path
) -> list[annotated.Picture]:
    labels = {number: label for label, number in enumerate(content.categories)}
    objects = {number: [] for number in content.images}
    for annotation in content.annotations:
        objects[annotation.image].append(annotation)
    return [
        _picture(image, objects[number], labels, file=file, folder=folder)
        for number, image in content.images.items()
    ]


def _picture(
    image: coco_json.Image,
    objects: Sequence[coco_json.Annotation],
    labels: Mapping[int, int],
    *,
    file: pathlib.Path,
    folder: pathlib.Path,
) -> annotated.Picture:
    return annotated.Picture(
        path=folder / image.file_name,
        size=image.size,
        boxes=_corners([found.box for found in objects]),
        labels=np.array(
            [labels.get(found.category, -1) for found in objects], np.int32
        ),
        areas=np.array([found.area for found in objects], np.float64),
        is_crowd=np.array([found.is_crowd for found in objects], bool),
        is_difficult=np.array([found.is_difficult for found in objects], bool),
        places=[
            f"{file}, image {found.image}, annotation {found.number}"
            for found in objects
        ],
        faults=[
            (index, found.fault) for index, found in enumerate(objects) if found.fault
        ],
    )


def _corners(boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """Turn (x_min, y_min, width, height) into corners, in the precision of the file."""
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    with np.errstate(invalid="ignore", over="ignore"):  # they are told as faults
        boxes[:, 2:] += boxes[:, :2]
    return boxes


def _images(
    pictures: Sequence[annotated.Picture], copied: Sequence[pathlib.Path]
) -> list[dict]:
    sizes = [picture.size for picture in pictures]
    if None in sizes:
        sizes = upright.sizes(copied)
    for path, size in zip(copied, sizes, strict=True):
        if size is None:
            raise errors.DataError(
                f"{path} is no picture that can be read", "replace or remove it"
            )
    return [
        {"id": number, "file_name": path.name, "height": size[0], "width": size[1]}
        for number, (path, size) in enumerate(zip(copied, sizes, strict=True), start=1)
    ]


def _annotations(pictures: Sequence[annotated.Picture]) -> list[dict]:
    found = []
    for image, picture in enumerate(pictures, start=1):
        sizes = picture.boxes[:, 2:] - picture.boxes[:, :2]
        boxes = np.concatenate([picture.boxes[:, :2], sizes], axis=1)
        for index, box in enumerate(boxes.tolist()):
            found.append(
                {
                    "id": len(found) + 1,
                    "image_id": image,
                    "category_id": int(picture.labels[index]) + 1,
                    "bbox": box,
                    "area": float(picture.areas[index]),
                    "iscrowd": int(picture.is_crowd[index]),
                    "segmentation": [],  # other programs want the key
                    "difficult": int(picture.is_difficult[index]),
                }
            )
    return found
