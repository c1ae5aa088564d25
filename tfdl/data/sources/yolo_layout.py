"""Finds classes and pictures of a data set in YOLO's layout, by data.yaml or folders.

Nothing that data.yaml says is run, fetched, or looked for outside its folder.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from tfdl import errors
from tfdl.data import images, scan
from tfdl.data.sources import annotated

FOLDERS = {"train": "train", "validation": "val", "test": "test"}
_ALIASES = {
    "train": ("train",),
    "validation": ("val", "valid", "validation"),
    "test": ("test",),
}
_CLASS_FILES = ("classes.txt", "labels.txt", "obj.names")
_MAX_BYTES = {".yaml": 200_000, ".yml": 200_000}  # a second of parsing
_MAX_DEPTH = 10
_MAX_LIST_BYTES = 100_000_000


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where everything is.

    Attributes:
        root: the folder that everything is below.
        class_names: the names that numbers in label files index.
        place: the file that has them.
        pictures: {split: picture files}.
    """

    root: pathlib.Path
    class_names: tuple[str, ...]
    place: pathlib.Path
    pictures: Mapping[str, Sequence[pathlib.Path]]

    def label_file(self, picture: pathlib.Path) -> pathlib.Path:
        """Name the labels of a picture: in `labels` if it is in `images`, or beside it.

        Args:
            picture: below `root`; the last folder called `images` on the way counts.
        """
        *folders, name = picture.relative_to(self.root).with_suffix(".txt").parts
        if "images" in folders:
            folders[len(folders) - 1 - folders[::-1].index("images")] = "labels"
        return self.root.joinpath(*folders, name)


def find(path: pathlib.Path, *, warn: Callable[[str], None]) -> Layout:
    """Find a data set.

    Args:
        path: data.yaml, the folder that holds it or some other such file, or a folder
            with `images/<split>` and a file of class names; without splits, `images`
            is train. Folders that hold nothing but one folder are descended into.
        warn: takes a line about what data.yaml asks for and does not get.

    Raises:
        DataError: there is no such file, it is not plain YAML or leaves its folder, or
            a split has no pictures.
    """
    if path.is_file():
        return _by_yaml(path, warn)
    folder = pathlib.Path(os.path.normpath(_descend(path).absolute()))
    files = [file for file in folder.iterdir() if file.suffix in _MAX_BYTES]
    named = [file for file in files if file.stem in ("data", "dataset")]
    if named or len(files) == 1:
        return _by_yaml([*sorted(named), *files][0], warn)
    return _by_folders(folder)


def _by_folders(folder: pathlib.Path) -> Layout:
    pictures = {
        split: scan.picture_files(folder / "images" / name)
        for split, names in _ALIASES.items()
        for name in names
        if (folder / "images" / name).is_dir()
    }
    pictures = pictures or {"train": scan.picture_files(folder / "images")}
    for name in _CLASS_FILES:
        place = folder / name
        if place.is_file() and any(pictures.values()):
            lines = _read(place).splitlines()
            names = tuple(line.strip() for line in lines if line.strip())
            annotated.refuse_repeated(names, place=place)
            return Layout(folder, names, place, pictures)
    raise errors.DataError(
        f"{folder} has no data.yaml, nor both images and {_CLASS_FILES[0]}",
        "write a data.yaml with train, val and names",
    )


def _by_yaml(path: pathlib.Path, warn) -> Layout:
    content = _parse(path)
    if "download" in content:
        warn(f"{path}: what it says under download is neither fetched nor run")
    root = pathlib.Path(os.path.normpath(path.parent.absolute()))
    root = _inside(path, content.get("path") or ".", root)
    pictures = {}
    for split, keys in _ALIASES.items():
        entries = next((content[key] for key in keys if content.get(key)), [])
        entries = entries if isinstance(entries, list) else [entries]
        found = [_listed(path, name, root) for name in entries]
        if found:
            pictures[split] = [file for files in found for file in files]
    if not pictures:
        raise errors.DataError(f"{path} names no pictures", "add train: images/train")
    return Layout(root, _class_names(path, content), path, pictures)


def _parse(path: pathlib.Path) -> dict[str, Any]:
    try:
        text = _read(path)
        _refuse_bombs(text)
        content = yaml.safe_load(text)
    except errors.DataError:
        raise
    except Exception as error:  # hostile files raise of many kinds, a tag among them
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise errors.DataError(
            f"{path} is not plain YAML: {reason}", "write train, val and names only"
        ) from error
    if not isinstance(content, dict):
        raise errors.DataError(
            f"{path} has no train and names", "write them as train: images/train"
        )
    return content


def _refuse_bombs(text: str) -> None:
    """Refuse what takes long to load: copies of copies, and lists in lists in lists."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _MAX_DEPTH:
            raise ValueError(f"it has aliases (*), or is over {_MAX_DEPTH} levels deep")


def _class_names(path: pathlib.Path, content: dict[str, Any]) -> tuple[str, ...]:
    names = content.get("names")
    if isinstance(names, dict):
        numbered = {str(number): name for number, name in names.items()}
        names = [numbered.get(str(number)) for number in range(len(names))]
    is_list = isinstance(names, list)
    if not is_list or not all(type(name) in (str, int, float) for name in names):
        raise errors.DataError(
            f"{path}: names is no list of class names, nor one by numbers from 0",
            "write names: [first, second], in quotes where they are yes or no",
        )
    names = tuple(str(name).strip() for name in names)
    annotated.refuse_repeated(names, place=path)
    if content.get("nc", len(names)) != len(names):
        raise errors.DataError(
            f"{path}: nc is {content['nc']}, but names has {len(names)}",
            "correct nc, or remove it",
        )
    return names


def _listed(path: pathlib.Path, name: Any, root: pathlib.Path) -> list[pathlib.Path]:
    """List the pictures of a folder, or of a file with a path in each line."""
    place = _inside(path, name, root)
    if place.is_dir():
        found = scan.picture_files(place)
    elif place.suffix == ".txt" and place.is_file():
        lines = [line.strip() for line in _read(place).splitlines()]
        found = [_inside(place, line, root) for line in lines if line]
    else:
        raise errors.DataError(
            f"{path}: there is no {place}", f"correct the path {name!r} in it"
        )
    if not found:
        raise errors.DataError(
            f"{path}: {place} holds no picture",
            f"pictures end in {', '.join(images.EXTENSIONS)}",
        )
    return found


def _inside(path: pathlib.Path, name: Any, root: pathlib.Path) -> pathlib.Path:
    """Join a path to the root, refusing what leaves it.

    Some programs write ../train/images for the train/images beside data.yaml.
    """
    name = str(name)
    place = pathlib.Path(os.path.normpath(root / name))
    if place.is_relative_to(root):
        return place
    inner = pathlib.Path(os.path.normpath(root / name.removeprefix("../")))
    if inner.is_relative_to(root) and inner.exists():
        return inner
    raise errors.DataError(
        f"{path}: {name[:200]!r} is not below {root}",
        "put the data below the file, and name them by a path from there",
    )


def _read(path: pathlib.Path) -> str:
    try:
        limit = _MAX_BYTES.get(path.suffix, _MAX_LIST_BYTES)
        if path.stat().st_size > limit:
            raise errors.DataError(
                f"{path} has more than {limit} bytes", "name a file that has only names"
            )
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.DataError(
            f"{path} cannot be read as text: {error}", "save it as UTF-8"
        ) from error


def _descend(folder: pathlib.Path) -> pathlib.Path:
    if not folder.is_dir():
        raise errors.DataError(
            f"{folder} is no folder and no file", "name data.yaml or its folder"
        )
    children = list(folder.iterdir())
    is_lone = len(children) == 1 and children[0].is_dir()
    return _descend(children[0]) if is_lone and children[0].name != "images" else folder
