"""The idx files of MNIST and its relatives, plain or gzipped (LeCun et al., 1998)."""

import gzip
import hashlib
import pathlib

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import source

_UNSIGNED_BYTE = 8  # the third byte of an idx file's magic number


def read(path: pathlib.Path) -> dict[str, source.Source]:
    """Read the four files of a folder.

    Args:
        path: folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and the
            t10k- pair, each plain or with `.gz`.

    Returns:
        {"train": Source, "test": Source}; images uint8 (28, 28, 1), digits as classes.

    Raises:
        DataError: a file is missing, cut short or no idx file.
    """
    return {
        "train": _read_split(path, prefix="train"),
        "test": _read_split(path, prefix="t10k"),
    }


def read_idx(path: pathlib.Path) -> np.ndarray:
    """Read one idx file of unsigned bytes.

    Returns:
        uint8, of the shape that the header says.

    Raises:
        DataError: the file is cut short, longer than its header says, or no idx file.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            content = file.read()
    except (OSError, EOFError) as error:
        raise _broken(path, f"it cannot be read ({error})") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, _UNSIGNED_BYTE]):
        raise _broken(path, "its first bytes are not those of an idx file of bytes")
    rank = content[3]
    header_size = 4 + 4 * rank
    shape = np.frombuffer(content[4:header_size], ">u4").astype(np.int64)
    values = np.frombuffer(content[header_size:], np.uint8)
    if len(shape) != rank or values.size != shape.prod():
        expected = f"{values.size} values where its header says {shape.tolist()}"
        raise _broken(path, expected)
    return values.reshape(shape)


def _read_split(path: pathlib.Path, *, prefix: str) -> source.Source:
    images = read_idx(_find(path, f"{prefix}-images-idx3-ubyte"))
    labels = read_idx(_find(path, f"{prefix}-labels-idx1-ubyte")).astype(np.int32)
    if len(images) != len(labels):
        raise _broken(path, f"{len(images)} images but {len(labels)} labels")
    pictures = tf.constant(images[..., np.newaxis])
    classes = tf.constant(labels)
    return source.Source(
        class_names=tuple(str(digit) for digit in range(labels.max() + 1)),
        names=[f"{prefix}-images[{number}]" for number in range(len(images))],
        labels=labels,
        digests=np.array(
            [hashlib.blake2b(i.tobytes(), digest_size=16).digest() for i in images],
            dtype="S16",
        ),
        pixels=np.full(len(images), images[0].size, np.int64),
        load=lambda index: {
            "image": tf.gather(pictures, index),
            "label": tf.gather(classes, index),
        },
    )


def _find(path: pathlib.Path, name: str) -> pathlib.Path:
    for candidate in (path / name, path / f"{name}.gz"):
        if candidate.exists():
            return candidate
    raise errors.DataError(
        f"{path / name} is missing, with and without .gz",
        "name the folder that holds the four idx files: --data mnist:PATH",
    )


def _broken(path: pathlib.Path, reason: str) -> errors.DataError:
    return errors.DataError(f"{path} is damaged: {reason}", "fetch the file again")
