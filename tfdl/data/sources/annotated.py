"""Pictures with boxes, as every file format of them is read and written."""

import collections
import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data import images, scan
from tfdl.data.sources import box_faults, class_gaps, lookup, source, upright

_MAX_SKIPPED_SHARE = 0.05
_MAX_LINES = 20  # warned of one by one


@dataclasses.dataclass(frozen=True)
class Picture:
    """What a file says about one picture, before anything is checked.

    Attributes:
        path: the picture.
        size: (height, width) in pixels as the annotation has it, or None.
        boxes: float64 (objects, 4), (x_min, y_min, x_max, y_max), half open, pixels.
        labels: int32 (objects,), indices into the class names; -1 for an unknown class.
        areas: float64 (objects,), square pixels, of the outline or the box.
        is_crowd: bool (objects,).
        is_difficult: bool (objects,).
        places: what a message calls each object: file, and number or id within it.
        faults: what the format itself finds wrong: (index of the object, reason).
    """

    path: pathlib.Path
    size: tuple[int, int] | None
    boxes: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    is_difficult: np.ndarray
    places: Sequence[str]
    faults: Sequence[tuple[int, str]] = ()


@dataclasses.dataclass(frozen=True)
class Annotations:
    """A whole data set of annotated pictures.

    Attributes:
        class_names: the names that labels index.
        splits: "train" and perhaps "validation" and "test" -> pictures.
    """

    class_names: tuple[str, ...]
    splits: Mapping[str, Sequence[Picture]]


def sources(
    annotations: Annotations,
    *,
    cache: pathlib.Path,
    on_bad_data: str,
    warn: Callable[[str], None],
) -> dict[str, source.Source]:
    """Check every object and every picture, and make them readable by number.

    Args:
        annotations: of a data set, as a format reads them.
        cache: folder for the memory of scans.
        on_bad_data: "error" or "skip", see `sound` and `scan.usable`.
        warn: takes one line for everything that is left out, and for every split with
            classes that cannot be learned.

    Returns:
        {split: Source}; samples have "image", "boxes" and "labels". `labels` of the
        source are multi-hot, the classes in a picture; crowds do not count.

    Raises:
        DataError: a picture is broken or an object faulty, a split is empty, or train
            has no object.
    """
    _refuse_empty(annotations.splits)
    annotations = sound(annotations, on_bad_data=on_bad_data, warn=warn)
    found = {}
    for split, pictures in annotations.splits.items():
        paths = [picture.path for picture in pictures]
        scanned = scan.scan(
            paths, memory=scan.memory_of(paths, split=split, cache=cache)
        )
        kept = scan.usable(scanned, on_bad_data=on_bad_data, warn=warn)
        found[split] = _source(
            annotations.class_names,
            [pictures[index] for index in kept],
            [scanned[index] for index in kept],
        )
    for line in class_gaps.lines(found):
        warn(line)
    return found


def sound(
    annotations: Annotations, *, on_bad_data: str, warn: Callable[[str], None]
) -> Annotations:
    """Decide what to do about faulty objects, before any picture is decoded.

    Args:
        annotations: of a data set.
        on_bad_data: "error" refuses faulty objects and missing pictures, "skip" leaves
            up to 5 % of the objects out.
        warn: takes a line for each of the first 20 that are left out, and one more.

    Returns:
        The annotations without faulty objects, and without pictures that had no others:
        they would teach that nothing is there. Boxes are cut to their pictures, whose
        `size` is that of the file; it is None where the picture cannot be read.

    Raises:
        DataError: an object is faulty or a picture missing and `on_bad_data` is
            "error", or too many objects are faulty.
    """
    sizes = {
        split: upright.sizes([picture.path for picture in pictures])
        for split, pictures in annotations.splits.items()
    }
    everything = [
        pair
        for split, pictures in annotations.splits.items()
        for pair in zip(pictures, sizes[split], strict=True)
    ]
    if on_bad_data == "error":
        _refuse_missing([picture for picture, size in everything if size is None])
    total = sum(len(picture.labels) for picture, _ in everything)
    _judge(_lines(everything), total, on_bad_data=on_bad_data, warn=warn)
    splits = {}
    for split, pictures in annotations.splits.items():
        kept = [_kept(*pair) for pair in zip(pictures, sizes[split], strict=True)]
        splits[split] = []
        for picture, whole in zip(pictures, kept, strict=True):
            if len(picture.labels) and not len(whole.labels):
                warn(f"left out {picture.path}: all of its objects are faulty")
            else:
                splits[split].append(whole)
    return dataclasses.replace(annotations, splits=splits)


def all_faults(annotations: Annotations) -> list[str]:
    """List all that is wrong with the objects of a data set, a line for each.

    Args:
        annotations: of a data set.

    Returns:
        Lines that name the file and the object, and the pictures that are missing.
    """
    pictures = [*itertools.chain.from_iterable(annotations.splits.values())]
    sizes = upright.sizes([picture.path for picture in pictures])
    pairs = list(zip(pictures, sizes, strict=True))
    missing = [_missing(picture) for picture, size in pairs if size is None]
    return missing + _lines(pairs)


def faults(picture: Picture, size: tuple[int, int]) -> list[tuple[int, str]]:
    """Find the objects of a picture that cannot be trained on.

    An object is faulty if its format says so, if the annotation is of a picture of
    another size, if its class is unknown, if a number is not finite, if it has no width
    or height, or if it reaches more than one pixel out of the picture.

    Args:
        picture: as a file describes it.
        size: (height, width) that the picture has, upright.

    Returns:
        (index of the object, reason), one for each faulty object, in their order.
    """
    found = {index: reason for index, reason in reversed(picture.faults)}
    if picture.size not in (None, tuple(size)):
        reason = (
            f"it is annotated in {box_faults.text(picture.size)}, the picture has "
            f"{box_faults.text(size)}"
        )
        found = dict.fromkeys(range(len(picture.labels)), reason) | found
    unsound = box_faults.find(picture.boxes, picture.labels, picture.areas, size=size)
    return sorted((unsound | found).items())


def refuse_repeated(class_names: Sequence[str], *, place: pathlib.Path) -> None:
    """Make sure that a list of classes has every name once.

    Raises:
        DataError: it has none, or one twice.
    """
    counts = collections.Counter(class_names)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated or not class_names:
        fault = f"names the class {repeated[0]!r} twice" if repeated else "is empty"
        raise errors.DataError(
            f"{place} {fault}", "give every class a name of its own, in their order"
        )


def _kept(picture: Picture, size: tuple[int, int] | None) -> Picture:
    """Leave the faulty objects of a picture out, and cut the others to it."""
    if size is None:
        return dataclasses.replace(picture, size=None)
    is_kept = np.ones(len(picture.labels), bool)
    is_kept[[index for index, _ in faults(picture, size)]] = False
    return dataclasses.replace(
        picture,
        size=size,
        boxes=box_faults.clip(picture.boxes[is_kept], size).astype(np.float64),
        labels=picture.labels[is_kept],
        areas=picture.areas[is_kept],
        is_crowd=picture.is_crowd[is_kept],
        is_difficult=picture.is_difficult[is_kept],
        places=list(itertools.compress(picture.places, is_kept)),
        faults=(),
    )


def _lines(pairs: Sequence[tuple[Picture, tuple[int, int] | None]]) -> list[str]:
    """Describe every faulty object of the pictures that can be read."""
    return [
        f"{picture.places[index]}: {reason}"
        for picture, size in pairs
        if size is not None
        for index, reason in faults(picture, size)
    ]


def _judge(lines: list[str], total: int, *, on_bad_data: str, warn) -> None:
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    if lines and on_bad_data == "error":
        raise errors.DataError(
            f"{lines[0]}{more}",
            "mend or remove it, or leave faulty objects out: --on-bad-data skip",
        )
    if len(lines) > _MAX_SKIPPED_SHARE * total:
        raise errors.DataError(
            f"{len(lines)} of {total} objects are faulty, the first is {lines[0]}",
            f"at most {_MAX_SKIPPED_SHARE:.0%} are skipped: mend or remove them",
        )
    for line in lines[:_MAX_LINES]:
        warn(f"left out {line}")
    if len(lines) > _MAX_LINES:
        warn(f"left out {len(lines) - _MAX_LINES} more faulty objects of {total}")


def _refuse_missing(pictures: Sequence[Picture]) -> None:
    """Name the annotation as well; a scan names what is there but broken."""
    missing = [picture for picture in pictures if not picture.path.exists()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise errors.DataError(
            f"{_missing(missing[0])}{more}",
            "add the picture or remove its annotation, or leave such pictures out: "
            "--on-bad-data skip",
        )


def _missing(picture: Picture) -> str:
    state = "cannot be read" if picture.path.exists() else "does not exist"
    place = f", the picture of {picture.places[0]}," if picture.places else ""
    return f"{picture.path}{place} {state}"


def _refuse_empty(splits: Mapping[str, Sequence[Picture]]) -> None:
    for split in dict.fromkeys(["train", *splits]):
        if not splits.get(split):
            raise errors.DataError(
                f"the data set has no picture of its split {split}",
                f"add pictures to {split}, or look at the lists of its pictures",
            )
    if not any(len(picture.labels) for picture in splits["train"]):
        raise errors.DataError(
            f"none of the {len(splits['train'])} pictures of train has an object",
            "check that the annotations lie where the format has them",
        )


def _source(
    class_names: tuple[str, ...],
    pictures: Sequence[Picture],
    scanned: Sequence[scan.Picture],
) -> source.Source:
    objects = [_objects(picture) for picture in pictures]
    labels = np.zeros((len(pictures), len(class_names)), np.int32)
    for row, known in zip(labels, objects, strict=True):
        row[known.labels[~known.is_crowd]] = 1
    paths = tf.constant([os.fsencode(picture.path) for picture in pictures])
    find = lookup.objects(objects)
    return source.Source(
        class_names=class_names,
        names=[str(picture.path) for picture in pictures],
        labels=labels,
        digests=np.array([found.digest for found in scanned], "S32"),
        pixels=np.array([found.pixels for found in scanned], np.int64),
        load=lambda index: {
            "image": images.decode(tf.io.read_file(tf.gather(paths, index))),
            **find(index),
        },
        objects=objects,
    )


def _objects(picture: Picture) -> source.Objects:
    return source.Objects(
        size=picture.size,
        boxes=picture.boxes.astype(np.float32),
        labels=picture.labels.astype(np.int32),
        areas=picture.areas.astype(np.float32),
        is_crowd=picture.is_crowd,
        is_difficult=picture.is_difficult,
        places=picture.places,
    )
