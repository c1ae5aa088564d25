"""What is a source of pictures whose objects are known to the pixel?

Masks are kept in files as layers of numbers, see `layered`: one PNG of 16 bits holds
all masks of a picture, however many there are and also where they overlap.
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfdl.data.sources import source

MOST_OBJECTS = 65535  # of a picture, as a layer has 16 bits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source(source.Source):
    """Pictures with masks that can be read by number, in any order.

    A sample has "image", "boxes", "labels" and "masks", uint8 (objects, height, width),
    1 inside the object; crowds are left out.

    Attributes:
        masks_of: number of a picture -> bool (objects, height, width), of all its
            `objects`, crowds too.
    """

    masks_of: Callable[[int], np.ndarray]

    def take(self, indices: np.ndarray) -> "Source":
        """Keep the examples of these numbers, renumbered from zero.

        Args:
            indices: int (kept,), each within the source.
        """
        return dataclasses.replace(
            super().take(indices),
            masks_of=lambda number: self.masks_of(int(indices[number])),
        )


def layered(masks: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Lay masks into as few layers as keep those apart that overlap.

    Args:
        masks: bool (height, width) each, at most `MOST_OBJECTS`.
        size: (height, width) of the picture in pixels.

    Returns:
        uint16 (layers, height, width), one layer at least: in one of them object k has
        the number k + 1.
    """
    layers = [np.zeros(size, np.uint16)]
    for number, mask in enumerate(masks, start=1):
        free = next((layer for layer in layers if not layer[mask].any()), None)
        if free is None:
            free = np.zeros(size, np.uint16)
            layers.append(free)
        free[mask] = number
    return np.stack(layers)


def write(path: pathlib.Path, layers: np.ndarray) -> None:
    """Write layers one below the other into a PNG, whole or not at all."""
    stacked = layers.reshape(-1, layers.shape[-1], 1)
    encoded = tf.io.encode_png(stacked, compression=1).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_bytes(encoded)
    os.replace(unfinished, path)


def with_masks(examples: source.Source, files: Sequence[pathlib.Path]) -> Source:
    """Add masks to a source that knows its objects.

    Args:
        examples: any source with `objects`.
        files: of each picture, as `write` made it, with the numbers of its `objects`.
    """
    paths = tf.constant([os.fsencode(file) for file in files])
    singles = [np.flatnonzero(~known.is_crowd) + 1 for known in examples.objects]
    numbers = tf.constant(np.concatenate([np.zeros(0, np.int64), *singles]), tf.int32)
    ends = np.cumsum([0, *map(len, singles)])
    bounds = tf.constant(np.stack([ends[:-1], ends[1:]], axis=1))

    def load(index: tf.Tensor) -> source.Sample:
        sample = examples.load(index)
        first, end = tf.unstack(tf.gather(bounds, index))
        height = tf.shape(sample["image"])[0]
        layers = _read(tf.gather(paths, index), height)
        masks = _masks(layers, numbers[first:end])
        return sample | {"masks": tf.cast(masks, tf.uint8)}

    def masks_of(number: int) -> np.ndarray:
        known = examples.objects[number]
        layers = _read(os.fsencode(files[number]), known.size[0])
        return _masks(layers, tf.range(1, len(known) + 1)).numpy()

    fields = {f.name: getattr(examples, f.name) for f in dataclasses.fields(examples)}
    return Source(**fields | {"load": load}, masks_of=masks_of)


def _read(path: tf.Tensor | bytes, height: tf.Tensor | int) -> tf.Tensor:
    """Read layers, int32 (layers, height, width)."""
    content = tf.io.read_file(path)
    stacked = tf.io.decode_png(content, channels=1, dtype=tf.uint16)[..., 0]
    layers = tf.reshape(stacked, [-1, height, tf.shape(stacked)[1]])
    return tf.cast(layers, tf.int32)


def _masks(layers: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
    """Find the objects of these numbers, bool (objects, height, width)."""
    return tf.reduce_any(layers == numbers[:, None, None, None], axis=1)
