"""Pictures in one folder per class, split or not, or a zip of them."""

import hashlib
import os
import pathlib

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data import archive, images, scan
from tfdl.data.sources import source

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


def read(
    path: pathlib.Path, *, cache: pathlib.Path, on_bad_data: str, warn
) -> dict[str, source.Source]:
    """Read `<class>/<picture>`, or `<split>/<class>/<picture>`.

    Folders that hold nothing but one folder are descended into. A split is a folder of
    folders named train, training, val, valid, validation or test.

    Args:
        path: the folder, or a zip file of it.
        cache: folder for unpacked archives and the memory of scans.
        on_bad_data: "error" or "skip", see `scan.usable`.
        warn: takes one line for every picture that is left out.

    Returns:
        {split: Source} for the splits found; {"train": Source} where there are none.

    Raises:
        DataError: nothing there, no picture of a class, fewer than two classes, a class
            that is in one split but not in train, two folders for one split, or a
            broken picture.
    """
    root = archive.unpack(path, cache=cache / "archives") if path.is_file() else path
    root = _descend(root)
    folders = _split_folders(root)
    class_names = _class_names(folders["train"])
    sources = {
        split: _read_split(
            folder, class_names, cache=cache, on_bad_data=on_bad_data, warn=warn
        )
        for split, folder in folders.items()
    }
    _refuse_empty_classes(folders["train"], sources["train"])
    return sources


def _split_folders(root: pathlib.Path) -> dict[str, pathlib.Path]:
    """Find the folder of each split; without splits, all of it is train."""
    folders = {}
    for folder in _folders(root):
        split = _SPLIT_NAMES.get(folder.name.lower())
        if split is None or not _folders(folder):  # "train" may be a class of vehicles
            continue
        if split in folders:
            raise errors.DataError(
                f"{folders[split]} and {folder} are both for {split}",
                "keep one of them, or merge them",
            )
        folders[split] = folder
    if folders and "train" not in folders:
        raise errors.DataError(
            f"{root} has {', '.join(folders)} but no train folder",
            "add train/<class>/<picture>",
        )
    return folders or {"train": root}


def _read_split(folder, class_names, *, cache, on_bad_data, warn) -> source.Source:
    _refuse_unknown_classes(folder, class_names)
    files = [path for name in class_names for path in scan.picture_files(folder / name)]
    if not files:
        raise errors.DataError(
            f"{folder} holds no picture in a folder of a class",
            f"pictures end in {', '.join(images.EXTENSIONS)}",
        )
    memory = cache / "scans" / f"{_digest(folder)}.json"
    pictures = scan.scan(files, memory=memory)
    kept = scan.usable(pictures, on_bad_data=on_bad_data, warn=warn)
    pictures = [pictures[index] for index in kept]
    numbers = {name: number for number, name in enumerate(class_names)}
    labels = [numbers[p.path.relative_to(folder).parts[0]] for p in pictures]
    paths = tf.constant([os.fsencode(picture.path) for picture in pictures])
    classes = tf.constant(labels, tf.int32)
    return source.Source(
        class_names=class_names,
        names=[str(picture.path) for picture in pictures],
        labels=np.array(labels, np.int32),
        digests=np.array([picture.digest for picture in pictures], "S32"),
        pixels=np.array([picture.pixels for picture in pictures], np.int64),
        load=lambda index: {
            "image": images.decode(tf.io.read_file(tf.gather(paths, index))),
            "label": tf.gather(classes, index),
        },
    )


def _class_names(folder: pathlib.Path) -> tuple[str, ...]:
    names = tuple(child.name for child in _folders(folder))
    if len(names) < 2:
        raise errors.DataError(
            f"{folder} has {len(names)} class folders where two or more are needed",
            "lay the pictures out as <class>/<picture> or <split>/<class>/<picture>",
        )
    return names


def _refuse_unknown_classes(folder: pathlib.Path, class_names) -> None:
    unknown = {child.name for child in _folders(folder)} - set(class_names)
    if unknown:
        raise errors.DataError(
            f"{folder / sorted(unknown)[0]}: train has no class of this name",
            f"name it as one of {', '.join(class_names[:20])}",
        )


def _refuse_empty_classes(folder: pathlib.Path, train: source.Source) -> None:
    empty = set(range(len(train.class_names))) - set(train.labels.tolist())
    if empty:
        raise errors.DataError(
            f"{folder / train.class_names[min(empty)]} holds no picture to train on",
            f"remove it, or add files that end in {', '.join(images.EXTENSIONS)}",
        )


def _descend(root: pathlib.Path) -> pathlib.Path:
    children = _folders(root)
    has_pictures = any(
        child.suffix.lower() in images.EXTENSIONS for child in root.iterdir()
    )
    if len(children) == 1 and not has_pictures:
        return _descend(children[0])
    return root


def _folders(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(
        child
        for child in folder.iterdir()
        if child.is_dir() and not child.name.startswith((".", "__MACOSX"))
    )


def _digest(folder: pathlib.Path) -> str:
    """Name a folder by its whole path, in a length that file systems take."""
    name = os.fsencode(folder.resolve())
    return hashlib.blake2b(name, digest_size=16).hexdigest()
