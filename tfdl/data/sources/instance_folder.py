"""Reads folders with a mask file for each object, as the nuclei challenge has them.

Each example is a folder of its own: `<name>/images/<picture>` and `<name>/masks/*.png`,
grey, above 0 inside the object. All objects are of one class.
"""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import PIL.Image

from tfdl import errors
from tfdl.data.sources import annotated, coco_outlines, instances, source, upright

_CLASS = "object"
_SPLITS = {"train": "train", "val": "validation", "validation": "validation"} | {
    "test": "test"
}
_LAYOUT = "lay each example out as <name>/images/<picture> and <name>/masks/*.png"


def read(
    path: pathlib.Path,
    *,
    cache: pathlib.Path,
    on_bad_data: str,
    warn: Callable[[str], None],
) -> dict[str, instances.Source]:
    """Read a folder of examples, or one folder of them for each split.

    Args:
        path: folder of the examples, or of `train` and perhaps `val` or `validation`
            and `test`, or of a single folder with the examples.
        cache: folder for the memory of scans and for the masks of each picture.
        on_bad_data: as of `annotated.sources`; a mask is faulty that cannot be read,
            is empty, or of another size than its picture.
        warn: as of `annotated.sources`.

    Returns:
        {split: Source} for the splits found.

    Raises:
        DataError: there is no example, an example has not one picture, or as
            `annotated.sources`.
    """
    splits = {
        split: [_picture(example) for example in examples]
        for split, examples in _examples_of_splits(path).items()
    }
    found = annotated.sources(
        annotated.Annotations(class_names=(_CLASS,), splits=splits),
        cache=cache,
        on_bad_data=on_bad_data,
        warn=warn,
    )
    return {
        split: instances.with_masks(examples, _packed(examples, cache / "masks"))
        for split, examples in found.items()
    }


def _examples_of_splits(path: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    named = {
        split: examples
        for name, split in _SPLITS.items()
        if (examples := _examples(path / name))
    }
    if named:
        return named
    if examples := _examples(path):
        return {"train": examples}
    children = [child for child in _folders(path) if _examples(child)]
    if len(children) != 1:
        fault = f"{len(children)} folders of examples" if children else "no examples"
        raise errors.DataError(f"{path} holds {fault}", _LAYOUT)
    return {"train": _examples(children[0])}


def _examples(folder: pathlib.Path) -> list[pathlib.Path]:
    return [child for child in _folders(folder) if (child / "images").is_dir()]


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if child.is_dir())


def _picture(example: pathlib.Path) -> annotated.Picture:
    """Read the masks of an example."""
    pictures = sorted(p for p in (example / "images").iterdir() if p.is_file())
    if len(pictures) != 1:
        raise errors.DataError(
            f"{example / 'images'} holds {len(pictures)} pictures, not one", _LAYOUT
        )
    files = sorted((example / "masks").glob("*.png"))
    (size,) = upright.sizes(pictures)
    read = [_mask(file) for file in files]
    faults = [_fault(mask, size) for mask in read]
    masks = [np.zeros((1, 1), bool) if mask is None else mask for mask in read]
    none = np.zeros(len(files), bool)
    return annotated.Picture(
        path=pictures[0],
        size=size,
        boxes=np.array([_box(mask) for mask in masks], np.float64).reshape(-1, 4),
        labels=np.zeros(len(files), np.int32),
        areas=np.array([np.count_nonzero(mask) for mask in masks], np.float64),
        is_crowd=none,
        is_difficult=none,
        places=[str(file) for file in files],
        faults=[(index, fault) for index, fault in enumerate(faults) if fault],
    )


def _mask(file: pathlib.Path) -> np.ndarray | None:
    """Read a mask, bool (height, width), or None where it cannot be read."""
    try:
        with PIL.Image.open(file, formats=("PNG",)) as picture:
            return np.asarray(picture.convert("L")) > 0
    except Exception:  # Pillow raises a dozen kinds for hostile files
        return None


def _fault(mask: np.ndarray | None, size: tuple[int, int] | None) -> str:
    if mask is None:
        return "it cannot be read as a PNG"
    if size is not None and mask.shape != tuple(size):
        return f"it has {mask.shape[0]} x {mask.shape[1]} pixels, its picture {size}"
    return "" if mask.any() else "it is empty"


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    columns, rows = (np.flatnonzero(mask.any(axis=axis)) for axis in (0, 1))
    if not len(rows):
        return 0, 0, 0, 0
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def _packed(examples: source.Source, folder: pathlib.Path) -> list[pathlib.Path]:
    """Pack the masks of every picture for which it was not done yet."""
    packed = []
    for name, known in zip(examples.names, examples.objects, strict=True):
        target = folder / coco_outlines.file_name(name, _states(known.places))
        if not target.exists():
            masks = [_mask(pathlib.Path(place)) for place in known.places]
            instances.write(target, instances.layered(masks, known.size))
        packed.append(target)
    return packed


def _states(places: Sequence[str]) -> list[str]:
    """Tell files as they are now from what they were."""
    states = [(place, pathlib.Path(place).stat()) for place in places]
    return [f"{place}|{s.st_size}|{s.st_mtime_ns}" for place, s in states]
