"""Reads folders of pictures and of label maps, PNG files of class indices."""

import pathlib
from collections.abc import Callable, Sequence

from tfdl.data.sources import label_classes, labelled, masks_layout, semantic


def read(
    path: pathlib.Path,
    *,
    cache: pathlib.Path,
    ignore: Sequence[int],
    on_bad_data: str,
    warn: Callable[[str], None],
) -> dict[str, semantic.Source]:
    """Read a folder in one of the layouts of `masks_layout.find`.

    Values of label maps are numbered by `label_classes`: 255 is ignored, unless the
    data set has 0 and 255 alone.

    Args:
        path: the folder.
        cache: folder for the memory of scans and for copies of label maps.
        ignore: further values that are no class, such as 11 in CamVid.
        on_bad_data: "error" or "skip", see `labelled.sources`.
        warn: takes one line for everything that is left out.

    Returns:
        {split: Source} for the splits found.

    Raises:
        UsageError: a value to ignore is none of a label map.
        DataError: the layout is unknown, or a picture, a label map or a file of names
            is missing or broken.
    """
    layout = masks_layout.find(path)
    for folder in layout.without_labels:
        warn(f"left out {folder}: it holds pictures and no label maps")
    return labelled.sources(
        layout.splits,
        named=label_classes.read_names([layout.root, path]),
        ignore=ignore,
        place=str(path),
        cache=cache,
        on_bad_data=on_bad_data,
        warn=warn,
    )
