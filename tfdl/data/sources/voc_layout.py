"""Finds the files of a data set in PASCAL VOC's layout, or with XML beside pictures."""

import collections
import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

from tfdl import errors
from tfdl.data import images

LISTS = {"train": "train", "validation": "val", "test": "test"}
CLASS_FILES = ("labels.txt", "classes.txt")
_FOLDERS = {
    "train": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_PICTURE_FOLDERS = ("jpegimages", "images")


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures of one folder.

    Attributes:
        folder: where they are.
        by_stem: name without ending -> the files of that name.
    """

    folder: pathlib.Path
    by_stem: Mapping[str, Sequence[pathlib.Path]]

    def find(self, stem: str, name: str) -> pathlib.Path:
        """Find the picture of an annotation; one that is missing is named all the same.

        Args:
            stem: of the annotation's file, which names the picture.
            name: that the annotation has for the picture, decides where two pictures
                differ by their endings. Folders in it are not believed.
        """
        name = pathlib.PureWindowsPath(name).name  # knows both slashes
        candidates = self.by_stem.get(stem) or self.by_stem.get(
            pathlib.PurePath(name).stem, []
        )
        named = [candidate for candidate in candidates if candidate.name == name]
        missing = self.folder / (name or f"{stem}.jpg")
        return [*named, *candidates, missing][0]


def descend(folder: pathlib.Path) -> pathlib.Path:
    """Go down to the data set through folders that hold nothing else.

    Raises:
        DataError: it is no folder.
    """
    if not folder.is_dir():
        raise errors.DataError(f"{folder} is no folder", "name the data set's folder")
    children = [
        child
        for child in folder.iterdir()
        if child.is_dir() and not child.name.startswith((".", "__MACOSX"))
    ]
    has_xml = _below(folder, ("annotations",)) or any(folder.glob("*.xml"))
    if len(children) != 1 or has_xml or children[0].name.lower() in _FOLDERS:
        return folder
    return descend(children[0])


def split_files(root: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """Find the XML files of each split; without splits, all of them are train.

    Args:
        root: with `Annotations`, with a folder for each split, or with XML files.

    Raises:
        DataError: there is none, or a list names one that is missing.
    """
    folder = _below(root, ("annotations",))
    if folder:
        files = {file.stem: file for file in sorted(folder.glob("*.xml"))}
        found = _listed_files(root / "ImageSets" / "Main", files, folder)
        found = found or {"train": list(files.values())}
    else:
        found = {
            _FOLDERS[child.name.lower()]: sorted(child.glob("*.xml"))
            for child in sorted(root.iterdir())
            if child.name.lower() in _FOLDERS and child.is_dir()
        }
        found = found or {"train": sorted(root.glob("*.xml"))}
    if not any(found.values()):
        raise errors.DataError(
            f"{root} holds no XML file of annotations",
            "lay them out as Annotations/<name>.xml and JPEGImages/<name>.jpg",
        )
    return {split: found[split] for split in LISTS if split in found}


def pictures(
    root: pathlib.Path, files: Mapping[str, Sequence[pathlib.Path]]
) -> dict[pathlib.Path, Pictures]:
    """Find the pictures for the annotations of each folder.

    Args:
        root: of the data set.
        files: {split: annotations}.

    Returns:
        {folder of annotations: its pictures}, which are in `JPEGImages` or `images` of
        the root if it has one of them, else beside their annotations.
    """
    folder = _below(root, _PICTURE_FOLDERS)
    parents = {file.parent for listed in files.values() for file in listed}
    return {parent: _pictures_in(folder or parent) for parent in parents}


def read_lines(path: pathlib.Path) -> list[str]:
    """Read lines of text, without the blanks around them.

    Raises:
        DataError: it cannot be read.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.DataError(
            f"{path} cannot be read as lines of text: {error}", "save it as UTF-8"
        ) from error
    return [line.strip() for line in text.splitlines()]


def _listed_files(
    lists: pathlib.Path, files: Mapping[str, pathlib.Path], folder: pathlib.Path
) -> dict[str, list[pathlib.Path]]:
    """Read the lists of splits; trainval stands in for train, less validation."""
    found = {
        split: _read_list(lists / f"{name}.txt", files, folder)
        for split, name in LISTS.items()
        if (lists / f"{name}.txt").is_file()
    }
    if "train" not in found and (lists / "trainval.txt").is_file():
        both = _read_list(lists / "trainval.txt", files, folder)
        held_out = set(found.get("validation", ()))
        found["train"] = [file for file in both if file not in held_out]
    return found


def _read_list(path, files, folder) -> list[pathlib.Path]:
    listed = []
    for number, name in enumerate(read_lines(path), start=1):
        if name not in files:  # the lists of single classes add 1, 0 or -1
            name = re.sub(r"\s+(-1|0|1)$", "", name)
        if name and name not in files:
            raise errors.DataError(
                f"{path}, line {number}: there is no {folder / name[:200]}.xml",
                "add the annotation, or remove the line",
            )
        listed += [files[name]] if name else []
    return listed


def _pictures_in(folder: pathlib.Path) -> Pictures:
    by_stem = collections.defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in images.EXTENSIONS:
            by_stem[path.stem].append(path)
    return Pictures(folder, dict(by_stem))


def _below(folder: pathlib.Path, names: Sequence[str]) -> pathlib.Path | None:
    """Find a folder by its name in lower case."""
    for child in sorted(folder.iterdir()):
        if child.name.lower() in names and child.is_dir():
            return child
    return None
