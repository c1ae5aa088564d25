"""What a source of examples is: numbered examples with names, classes and digests."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Sample = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Objects:
    """What is known of the objects in one picture, apart from its pixels.

    Attributes:
        size: (height, width) of the picture, upright, in pixels.
        boxes: float32 (objects, 4), pixels of that picture.
        labels: int32 (objects,), indices into the class names.
        areas: float32 (objects,), square pixels: of the object where its outline is
            known, of its box where it is not.
        is_crowd: bool (objects,); a crowd's box is around many objects. It is not
            trained on, and what is found in it does not count.
        is_difficult: bool (objects,); may be missed without being counted.
        places: what a message calls each object, such as "cells.xml, object 3".
    """

    size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    is_difficult: np.ndarray
    places: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Source:
    """Examples that can be read by number, in any order.

    Attributes:
        class_names: the names that labels index.
        names: what a message calls each example: a path, or file[number].
        labels: int32 (examples,), the class of each example, or (examples, classes)
            multi-hot where an example has several.
        digests: (examples,) of bytes, a digest of each picture's pixels.
        pixels: int64 (examples,), height x width x channels of each picture.
        load: index, int64 () -> sample, in the graph and without state. A sample has
            "image", uint8 (height, width, channels), and of "label", "boxes",
            "labels", "masks" and "semantic" what the format knows; crowds are left out.
        objects: of each picture, where the format knows them; none of another.
    """

    class_names: tuple[str, ...]
    names: Sequence[str]
    labels: np.ndarray
    digests: np.ndarray
    pixels: np.ndarray
    load: Callable[[tf.Tensor], Sample]
    objects: Sequence[Objects] = ()

    def __len__(self) -> int:
        return len(self.names)

    def records(self) -> tf.data.Dataset:
        """List in order what `load` takes."""
        return tf.data.Dataset.range(len(self))

    def take(self, indices: np.ndarray) -> "Source":
        """Keep the examples of these numbers, renumbered from zero.

        Args:
            indices: int (kept,), each within the source.
        """
        chosen = tf.constant(indices, tf.int64)
        return dataclasses.replace(
            self,
            names=[self.names[index] for index in indices],
            labels=self.labels[indices],
            digests=self.digests[indices],
            pixels=self.pixels[indices],
            load=lambda index: self.load(tf.gather(chosen, index)),
            objects=[self.objects[index] for index in indices] if self.objects else (),
        )


@dataclasses.dataclass(frozen=True)
class Stream:
    """Examples that can only be read in the order of their files.

    Attributes:
        class_names: the names that labels index.
        size: number of examples.
        read: seed of the order, int64 (), or None for the files' own order -> data set
            of records, cheap to pass over; also in the graph. The same seed gives the
            same order.
        load: record -> sample as of a Source, in the graph and without state.
        objects: of each picture in the files' own order, where the format knows them.
    """

    class_names: tuple[str, ...]
    size: int
    read: Callable[[tf.Tensor | None], tf.data.Dataset]
    load: Callable[..., Sample]
    objects: Sequence[Objects] = ()

    def __len__(self) -> int:
        return self.size

    def records(self) -> tf.data.Dataset:
        """List in order what `load` takes."""
        return self.read(None)
