"""The idx files of MNIST and its relatives, plain or gzipped (LeCun et al., 1998)."""

import gzip
import hashlib
import math
import pathlib
import struct
import zlib

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import source

_PREFIXES = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTE = 8  # the third byte of an idx file's magic number


def read(path: pathlib.Path) -> dict[str, source.Source]:
    """Read the four files of a folder.

    Args:
        path: folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and the
            t10k- pair, each plain or with `.gz`.

    Returns:
        {"train": Source, "test": Source}; images uint8 (28, 28, 1), digits as classes.

    Raises:
        DataError: a file is missing, cut short, empty or no idx file of its kind.
    """
    pairs = {split: _read_pair(path, prefix) for split, prefix in _PREFIXES.items()}
    num_classes = 1 + max(int(labels.max()) for _, labels in pairs.values())
    return {
        split: _source(*pair, prefix=_PREFIXES[split], num_classes=num_classes)
        for split, pair in pairs.items()
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
    except (OSError, EOFError, zlib.error) as error:
        raise _broken(path, f"it cannot be read ({error})") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, _UNSIGNED_BYTE]):
        raise _broken(path, "its first bytes are not those of an idx file of bytes")
    rank = content[3]
    header_size = 4 + 4 * rank
    if len(content) < header_size:
        raise _broken(path, "it ends within its header")
    shape = struct.unpack(f">{rank}I", content[4:header_size])
    values = np.frombuffer(content[header_size:], np.uint8)
    if values.size != math.prod(shape):
        raise _broken(path, f"{values.size} values where its header says {shape}")
    return values.reshape(shape)


def _read_pair(path: pathlib.Path, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the images of a split, uint8 (images, height, width), and their labels."""
    images_path = _find(path, f"{prefix}-images-idx3-ubyte")
    labels_path = _find(path, f"{prefix}-labels-idx1-ubyte")
    images, labels = read_idx(images_path), read_idx(labels_path)
    for file, values, rank in ((images_path, images, 3), (labels_path, labels, 1)):
        if values.ndim != rank or not values.size:
            raise _broken(file, f"its values are {values.shape}, not of rank {rank}")
    if len(images) != len(labels):
        raise _broken(labels_path, f"{len(images)} images but {len(labels)} labels")
    return images, labels.astype(np.int32)


def _source(images, labels, *, prefix: str, num_classes: int) -> source.Source:
    with tf.device("CPU:0"):
        pictures = tf.constant(images[..., np.newaxis])
        classes = tf.constant(labels)
    return source.Source(
        class_names=tuple(str(digit) for digit in range(num_classes)),
        names=[f"{prefix}-images[{number}]" for number in range(len(images))],
        labels=labels,
        digests=np.array(
            [hashlib.blake2b(i.tobytes(), digest_size=16).hexdigest() for i in images],
            dtype="S32",
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
