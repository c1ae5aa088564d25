"""Finds the files of a data set of pictures and label maps, in one of four layouts."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

from tfdl import errors
from tfdl.data import scan
from tfdl.data.sources import labelled, voc_layout

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_IMAGES = ("images", "image")
_LABELS = ("masks", "mask", "labels", "label", "annotations")
_ANNOT = "annot"  # behind a split, CamVid's label maps
_VOC = ("JPEGImages", "SegmentationClass")
_REMEDY = "lay it out as train/images/<name>.jpg and train/masks/<name>.png"

Splits = Mapping[str, Sequence[labelled.Pair]]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the files of a data set are.

    Attributes:
        root: the folder of its layout.
        splits: "train" and perhaps "validation" and "test" -> pairs in a fixed order.
        without_labels: folders of splits that hold pictures and no label maps.
    """

    root: pathlib.Path
    splits: Splits
    without_labels: Sequence[pathlib.Path]


def find(path: pathlib.Path) -> Layout:
    """Find pictures and label maps.

    The layouts are: `<split>/images` and `<split>/masks`, or both without splits, or
    with splits below them; CamVid's `train` and `trainannot`, perhaps with `train.txt`;
    Pascal VOC's `JPEGImages`, `SegmentationClass` and `ImageSets/Segmentation`. Splits
    are named train, training, val, valid, validation or test, `images` may be `image`,
    and `masks` may be mask, labels, label or annotations. A label map is a PNG with the
    name of its picture. Folders that hold one folder alone, or `CamVid`, are descended
    into.

    Args:
        path: the folder.

    Raises:
        DataError: it is no folder or of no such layout, there are two folders for a
            split, none for train, or two pictures of the same name.
    """
    if not path.is_dir():
        raise errors.DataError(f"{path} is no folder", "name the data set's folder")
    root = path
    while not (splits := _splits(root)):
        root = _below(root)
        if root is None:
            raise errors.DataError(
                f"{path} holds no folders of pictures and label maps", _REMEDY
            )
    if "train" not in splits:
        raise errors.DataError(
            f"{root} has {', '.join(splits)} and no train with label maps", _REMEDY
        )
    order = dict.fromkeys(SPLITS.values())
    return Layout(
        root,
        {split: splits[split] for split in order if split in splits},
        _without_labels(root, splits),
    )


def _splits(root: pathlib.Path) -> Splits:
    """Find the pairs of each split; nothing where the layout is none of these."""
    if all((root / name).is_dir() for name in _VOC):
        return _voc(root)
    if any((root / f"{name}{_ANNOT}").is_dir() for name in SPLITS):
        return _camvid(root)
    both = _both(root)
    if both:
        inside = _in_splits(*both)
        return inside or {"train": _paired(*both)}
    found = {name: _both(folder) for name, folder in _split_folders(root).items()}
    return _joined(
        {root / name: _paired(*both) for name, both in found.items() if both}
    )


def _both(folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path] | None:
    """Find the folders of pictures and of label maps."""
    first, second = (
        next((folder / name for name in names if (folder / name).is_dir()), None)
        for names in (_IMAGES, _LABELS)
    )
    return (first, second) if first and second else None


def _in_splits(pictures: pathlib.Path, labels: pathlib.Path) -> Splits:
    """Find splits that are below both folders."""
    inner = {name: labels / name for name in _split_folders(pictures)}
    return _joined(
        {
            pictures / name: _paired(pictures / name, folder)
            for name, folder in inner.items()
            if folder.is_dir()
        }
    )


def _camvid(root: pathlib.Path) -> Splits:
    found = {}
    for name in SPLITS:
        pictures, labels = root / name, root / f"{name}{_ANNOT}"
        listed = root / f"{name}.txt"
        if not (pictures.is_dir() and labels.is_dir()):
            continue
        if listed.is_file():
            lines = filter(None, voc_layout.read_lines(listed))
            found[pictures] = [_listed(line, pictures, labels) for line in lines]
        else:
            found[pictures] = _paired(pictures, labels)
    return _joined(found)


def _listed(line: str, pictures: pathlib.Path, labels: pathlib.Path) -> labelled.Pair:
    """Read "<picture> <label map>", of whose paths other machines' folders are part."""
    names = [pathlib.PureWindowsPath(path).name for path in line.split()]
    return labelled.Pair(pictures / names[0], labels / names[-1])


def _voc(root: pathlib.Path) -> Splits:
    """Read the lists of splits; trainval stands in for train, less validation."""
    named = _Named.of(*(root / name for name in _VOC))
    lists = {
        name: root / "ImageSets" / "Segmentation" / f"{name}.txt"
        for name in ("train", "trainval", "val", "test")
    }
    found = {
        name: [named.pair(stem) for stem in filter(None, voc_layout.read_lines(path))]
        for name, path in lists.items()
        if path.is_file()
    }
    both = found.pop("trainval", [])
    if "train" not in found and both:
        held_out = found.get("val", [])
        found["train"] = [pair for pair in both if pair not in held_out]
    if not found:
        found = {"train": [named.pair(stem) for stem in named.maps]}
    return {SPLITS[name]: pairs for name, pairs in found.items()}


def _paired(pictures: pathlib.Path, labels: pathlib.Path) -> list[labelled.Pair]:
    """Pair all pictures with the label maps of their names, below folders too."""
    named = _Named.of(pictures, labels)
    return [named.pair(stem) for stem in sorted({*named.images, *named.maps})]


@dataclasses.dataclass(frozen=True)
class _Named:
    """The pictures and label maps of two folders by their names without ending."""

    folders: tuple[pathlib.Path, pathlib.Path]
    images: Mapping[str, pathlib.Path]
    maps: Mapping[str, pathlib.Path]

    @classmethod
    def of(cls, pictures: pathlib.Path, labels: pathlib.Path) -> "_Named":
        images = _by_stem(pictures, scan.picture_files(pictures))
        return cls((pictures, labels), images, _by_stem(labels, _maps(labels)))

    def pair(self, stem: str) -> labelled.Pair:
        pictures, labels = self.folders
        label = self.maps.get(stem, labels / f"{stem}.png")
        if stem in self.images:
            return labelled.Pair(self.images[stem], label)
        missing = f"there is no picture {stem} in {pictures} for it"
        return labelled.Pair(pictures / f"{stem}.jpg", label, missing)


def _by_stem(
    folder: pathlib.Path, files: Sequence[pathlib.Path]
) -> dict[str, pathlib.Path]:
    """Find files by their names without ending, relative to the folder."""
    found = {}
    for path in files:
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise errors.DataError(
                f"{found[stem]} and {path} have the same name but for its ending",
                "rename one of them, and what belongs to it",
            )
        found[stem] = path
    return found


def _maps(folder: pathlib.Path) -> list[pathlib.Path]:
    files = scan.picture_files(folder)
    found = [path for path in files if path.suffix.lower() == ".png"]
    if files and not found:
        raise errors.DataError(
            f"{files[0]} is no PNG, nor is any other label map in {folder}",
            "write class indices as PNG, grey or with a palette: JPEG changes them",
        )
    return found


def _joined(found: Mapping[pathlib.Path, Sequence[labelled.Pair]]) -> Splits:
    """Name splits by their folders."""
    folders = collections.defaultdict(list)
    for folder in found:
        folders[SPLITS[folder.name]].append(folder)
    for split, same in folders.items():
        if len(same) > 1:
            raise errors.DataError(
                f"{same[0]} and {same[1]} are both for {split}",
                "keep one of them, or merge them",
            )
    return {split: found[folder] for split, [folder] in folders.items()}


def _without_labels(root: pathlib.Path, splits: Splits) -> list[pathlib.Path]:
    return [
        folder
        for name, folder in _split_folders(root).items()
        if SPLITS[name] not in splits and scan.picture_files(folder)
    ]


def _split_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    return {name: root / name for name in SPLITS if (root / name).is_dir()}


def _below(root: pathlib.Path) -> pathlib.Path | None:
    """Go down to the only folder in one, or to CamVid's."""
    if (root / "CamVid").is_dir():
        return root / "CamVid"
    children = [
        child
        for child in sorted(root.iterdir())
        if child.is_dir() and not child.name.startswith((".", "__MACOSX"))
    ]
    return children[0] if len(children) == 1 else None
