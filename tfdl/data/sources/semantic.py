"""What is a source of pictures with label maps: one that knows their classes and sizes.

A label map is uint8 (height, width), of the picture's size: class 0 to n - 1 at every
pixel, or 255 where it is ignored. Class 0 is a class like the others, also where it is
the background.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfdl.data import images
from tfdl.data.sources import source

IGNORED = 255
NUM_VALUES = 256  # of a label map's pixel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source(source.Source):
    """Pictures with label maps that can be read by number, in any order.

    `labels` are multi-hot, the classes that a map shows. A sample has "image", uint8
    (height, width, 3), and "semantic", uint8 (height, width).

    Attributes:
        class_pixels: int64 (examples, classes), pixels of each class in each map; what
            is missing of height x width is ignored.
        sizes: int32 (examples, 2), height and width of each picture in pixels.
    """

    class_pixels: np.ndarray
    sizes: np.ndarray

    def take(self, indices: np.ndarray) -> "Source":
        """Keep the examples of these numbers, renumbered from zero.

        Args:
            indices: int (kept,), each within the source.
        """
        return dataclasses.replace(
            super().take(indices),
            class_pixels=self.class_pixels[indices],
            sizes=self.sizes[indices],
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream(source.Stream):
    """Pictures with label maps that can only be read in the order of their files.

    Attributes:
        class_pixels: int64 (examples, classes), in the files' own order.
        sizes: int32 (examples, 2), likewise.
    """

    class_pixels: np.ndarray
    sizes: np.ndarray


def pixels_of_values(label_map: tf.Tensor) -> tf.Tensor:
    """Count the pixels of each value of a map, uint8 (height, width) -> int64 (256,).

    In the graph and without state.
    """
    values = tf.cast(tf.reshape(label_map, [-1]), tf.int32)
    counts = tf.math.bincount(values, minlength=NUM_VALUES, maxlength=NUM_VALUES)
    return tf.cast(counts, tf.int64)


def labels(class_pixels: np.ndarray) -> np.ndarray:
    """Say which classes each map shows, int32 (examples, classes), multi-hot."""
    return (class_pixels > 0).astype(np.int32)


def loader(
    image_paths: Sequence[bytes], label_paths: Sequence[bytes], table: np.ndarray
) -> Callable[[tf.Tensor], source.Sample]:
    """Build the function that reads a picture and its label map by number.

    Args:
        image_paths: picture files.
        label_paths: for each a PNG without palette, which TensorFlow reads unchanged.
        table: uint8 (256,), the class of each value of a label map, 255 for ignored.

    Returns:
        index, int64 () -> sample, in the graph.
    """
    pairs = tf.stack([tf.constant(image_paths), tf.constant(label_paths)], axis=1)
    classes = tf.constant(table)

    def load(index: tf.Tensor) -> source.Sample:
        image_path, label_path = tf.unstack(tf.gather(pairs, index))
        values = tf.io.decode_png(tf.io.read_file(label_path), channels=1)[..., 0]
        return {
            "image": images.decode(tf.io.read_file(image_path)),
            "semantic": tf.gather(classes, tf.cast(values, tf.int32)),
        }

    return load
