"""Pictures with label maps, as every file format of them is read."""

import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfdl import errors
from tfdl.data import scan
from tfdl.data.sources import box_faults, label_classes, label_maps, semantic, upright


@dataclasses.dataclass(frozen=True)
class Pair:
    """A picture and its label map, before anything is checked.

    Attributes:
        image: the picture.
        label: a PNG of class indices.
        fault: what the format itself finds wrong with the label map, or "".
    """

    image: pathlib.Path
    label: pathlib.Path
    fault: str = ""


def sources(
    splits: Mapping[str, Sequence[Pair]],
    *,
    named: label_classes.Named | None,
    ignore: Sequence[int],
    place: str,
    cache: pathlib.Path,
    on_bad_data: str,
    warn: Callable[[str], None],
) -> dict[str, semantic.Source]:
    """Check every picture and every label map, and make them readable by number.

    A label map is faulty if it is missing or cannot be read, if it has another size
    than its picture, or a value that is neither a class nor ignored.

    Args:
        splits: "train" and perhaps "validation" and "test" -> pairs.
        named: what is known of the classes.
        ignore: further values without class.
        place: what a message calls the data set.
        cache: folder for the memory of scans and for copies of label maps.
        on_bad_data: "error" refuses faulty pairs, "skip" leaves up to 5 % of them out.
        warn: takes one line for every pair that is left out.

    Raises:
        UsageError: a value to ignore is none of a label map.
        DataError: a split is empty, a pair is faulty, or there are fewer than two
            classes.
    """
    _refuse_empty(splits, place=place)
    looked = {split: _look(split, pairs, cache) for split, pairs in splits.items()}
    values = {
        value
        for seen in itertools.chain.from_iterable(looked.values())
        for value in seen.label_map.pixels
    }
    numbering = label_classes.numbering(values, named=named, ignore=ignore, place=place)
    found = {}
    for split, everything in looked.items():
        judged = [seen.judged(numbering) for seen in everything]
        kept = scan.usable(judged, on_bad_data=on_bad_data, warn=warn)
        found[split] = _source([everything[n] for n in kept], numbering, cache)
    return found


@dataclasses.dataclass(frozen=True)
class _Seen:
    """What was found out about a pair; `size` is None where there is no picture."""

    pair: Pair
    picture: scan.Picture
    size: tuple[int, int] | None
    label_map: label_maps.LabelMap

    def judged(self, numbering: label_classes.Numbering) -> scan.Picture:
        """Return the picture, or its label map with what is wrong with it."""
        if self.picture.fault and not self.pair.fault:
            return self.picture
        fault = self.pair.fault or self.label_map.fault
        if not fault and self.label_map.size != self.size:
            fault = (
                f"it has {box_faults.text(self.label_map.size)}, its picture "
                f"{self.pair.image.name} has {box_faults.text(self.size)}"
            )
        fault = fault or numbering.fault(self.label_map.pixels)
        path = self.pair.label if fault else self.picture.path
        return dataclasses.replace(self.picture, path=path, fault=fault)


def _look(split: str, pairs: Sequence[Pair], cache: pathlib.Path) -> list[_Seen]:
    image_paths = [pair.image for pair in pairs]
    label_paths = [pair.label for pair in pairs]
    memory = functools.partial(scan.memory_of, split=split, cache=cache)
    columns = (
        pairs,
        scan.scan(image_paths, memory=memory(image_paths)),
        upright.sizes(image_paths),
        label_maps.scan(label_paths, memory=memory(label_paths)),
    )
    return [_Seen(*row) for row in zip(*columns, strict=True)]


def _source(
    everything: Sequence[_Seen],
    numbering: label_classes.Numbering,
    cache: pathlib.Path,
) -> semantic.Source:
    maps = [seen.label_map for seen in everything]
    pixels = np.zeros((len(maps), semantic.NUM_VALUES), np.int64)
    for row, label_map in zip(pixels, maps, strict=True):
        row[list(label_map.pixels)] = list(label_map.pixels.values())
    class_pixels = numbering.class_pixels(pixels)
    pictures = [seen.picture for seen in everything]
    copies = label_maps.plain_copies(maps, folder=cache / "label_maps")
    return semantic.Source(
        class_names=numbering.class_names,
        names=[str(picture.path) for picture in pictures],
        labels=semantic.labels(class_pixels),
        digests=np.array([picture.digest for picture in pictures], "S32"),
        pixels=np.array([picture.pixels for picture in pictures], np.int64),
        load=semantic.loader(
            [os.fsencode(picture.path) for picture in pictures],
            [os.fsencode(path) for path in copies],
            numbering.table,
        ),
        class_pixels=class_pixels,
        sizes=np.array([seen.size for seen in everything], np.int32),
    )


def _refuse_empty(splits: Mapping[str, Sequence[Pair]], *, place: str) -> None:
    for split in dict.fromkeys(["train", *splits]):
        if not splits.get(split):
            raise errors.DataError(
                f"{place} has no picture of its split {split}",
                f"add pictures and label maps to {split}",
            )
