"""Reads COCO's outlines as the masks of its objects."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping

from tfdl.data.sources import (
    annotated,
    coco,
    coco_masks,
    coco_outlines,
    instances,
    source,
    upright,
)


def read(
    path: pathlib.Path,
    *,
    cache: pathlib.Path,
    on_bad_data: str,
    warn: Callable[[str], None],
) -> dict[str, instances.Source]:
    """Read what `coco.read` does, with the mask of each object.

    Masks are painted once into the cache. An object whose outline is missing, or of
    another picture, is faulty as one with an unsound box is.

    Args:
        path: as of `coco.read`.
        cache: folder for the memory of scans and for the masks.
        on_bad_data: as of `annotated.sources`.
        warn: likewise.

    Returns:
        {split: Source} for the splits found.

    Raises:
        DataError: as `coco.read` and `annotated.sources`.
    """
    annotations = coco.read(path)
    files = {"train": path} if path.is_file() else coco.files_of_splits(path)
    outlines = {}
    for split in annotations.splits:
        outlines |= coco_outlines.read(files[split])
    judged = {
        split: _judged(pictures, outlines)
        for split, pictures in annotations.splits.items()
    }
    found = annotated.sources(
        dataclasses.replace(annotations, splits=judged),
        cache=cache,
        on_bad_data=on_bad_data,
        warn=warn,
    )
    return {
        split: instances.with_masks(
            examples, _painted(examples, outlines, files[split], cache / "masks")
        )
        for split, examples in found.items()
    }


def _judged(pictures, outlines: Mapping) -> list[annotated.Picture]:
    """Add what is wrong with outlines to what is wrong with objects."""
    sizes = upright.sizes([picture.path for picture in pictures])
    return [
        dataclasses.replace(
            picture,
            faults=[
                *picture.faults,
                *(
                    (index, reason)
                    for index, place in enumerate(picture.places)
                    if size and (reason := coco_outlines.fault(outlines[place], size))
                ),
            ],
        )
        for picture, size in zip(pictures, sizes, strict=True)
    ]


def _painted(
    examples: source.Source, outlines: Mapping, file: pathlib.Path, folder: pathlib.Path
) -> list[pathlib.Path]:
    """Paint the masks of every picture that has none yet."""
    own, painted = folder / coco_outlines.folder_name(file), []
    for name, known in zip(examples.names, examples.objects, strict=True):
        target = own / coco_outlines.file_name(name, known.places)
        if not target.exists():
            masks = [
                coco_masks.mask(outlines[place], known.size) for place in known.places
            ]
            instances.write(target, instances.layered(masks, known.size))
        painted.append(target)
    return painted
