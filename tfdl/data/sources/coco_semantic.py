"""Reads COCO's outlines as label maps: the background, then the classes."""

import pathlib
from collections.abc import Callable, Sequence

from tfdl.data.sources import (
    annotated,
    box_faults,
    coco,
    coco_masks,
    coco_outlines,
    label_classes,
    label_maps,
    labelled,
    semantic,
    upright,
)

_BACKGROUND = "background"


def read(
    path: pathlib.Path,
    *,
    cache: pathlib.Path,
    on_bad_data: str,
    warn: Callable[[str], None],
) -> dict[str, semantic.Source]:
    """Read what `coco.read` does, with a label map painted of each picture's outlines.

    Class 0 is the background, class k + 1 is COCO's class k; see `coco_masks.paint` for
    objects that overlap. Maps are painted once into the cache.

    Args:
        path: as of `coco.read`.
        cache: folder for the memory of scans and for the maps.
        on_bad_data: "error" refuses pictures with a faulty or missing outline, "skip"
            leaves up to 5 % of the pictures out.
        warn: takes one line for every picture that is left out.

    Returns:
        {split: Source} for the splits found.

    Raises:
        DataError: as `coco.read` and `labelled.sources`.
    """
    annotations = coco.read(path)
    files = {"train": path} if path.is_file() else coco.files_of_splits(path)
    names = (_BACKGROUND, *annotations.class_names)
    named = label_classes.Named(names, frozenset(), str(path))
    return labelled.sources(
        {
            split: _pairs(pictures, files[split], cache / "label_maps")
            for split, pictures in annotations.splits.items()
        },
        named=named,
        ignore=(),
        place=str(path),
        cache=cache,
        on_bad_data=on_bad_data,
        warn=warn,
    )


def _pairs(
    pictures: Sequence[annotated.Picture], file: pathlib.Path, folder: pathlib.Path
) -> list[labelled.Pair]:
    """Paint the label map of every picture that has none yet and is without fault."""
    own = folder / coco_outlines.folder_name(file)
    maps = [own / coco_outlines.file_name(p.path, p.places) for p in pictures]
    sizes = upright.sizes([picture.path for picture in pictures])
    outlines = {}
    if not all(label.exists() for label in maps):
        outlines = coco_outlines.read(file)
    return [
        _pair(*row, outlines, file=file)
        for row in zip(pictures, sizes, maps, strict=True)
    ]


def _pair(picture, size, label, outlines, *, file) -> labelled.Pair:
    if size is None or label.exists():  # a scan tells what is wrong with the picture
        return labelled.Pair(picture.path, label)
    own = [outlines[place] for place in picture.places]
    fault = _fault(picture, size, own)
    if fault:
        return labelled.Pair(picture.path, file, fault)
    masks = [coco_masks.mask(outline, size) for outline in own]
    classes = picture.labels + 1
    painted = coco_masks.paint(masks, classes, is_crowd=picture.is_crowd, size=size)
    label_maps.write(label, painted)
    return labelled.Pair(picture.path, label)


def _fault(
    picture: annotated.Picture,
    size: tuple[int, int],
    outlines: Sequence[coco_masks.Outline | None],
) -> str:
    """Say what keeps a picture's objects from being painted, empty for nothing."""
    if picture.size not in (None, size):
        return (
            f"{picture.path.name} is annotated in {box_faults.text(picture.size)} and "
            f"has {box_faults.text(size)}"
        )
    faults = dict(reversed(picture.faults))
    for index, outline in enumerate(outlines):
        reason = faults.get(index, "") or coco_outlines.fault(outline, size)
        if reason:
            return f"{picture.places[index]}: {reason}"
    return ""
