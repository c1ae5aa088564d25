"""Keeps decoded pictures in memory, up to a limit, without changing their order."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfdl.data.sources import source


def keep_pictures(examples: source.Source, *, limit_bytes: int) -> source.Source:
    """Decode the first pictures of a source once and keep their pixels.

    Only sources of single-label pictures are kept; the rest of a sample is small or
    follows the picture, and is read as before.

    Args:
        examples: any source whose samples are an image and a label.
        limit_bytes: the most memory to use; what does not fit is decoded each time.

    Returns:
        A source with the same samples.
    """
    sizes = np.cumsum(examples.pixels)
    count = int(np.searchsorted(sizes, limit_bytes, side="right"))
    if count == 0:
        return examples
    pixels, shapes = _decode(examples, count)
    starts = tf.constant(np.concatenate([[0], sizes[: count - 1]]), tf.int64)
    labels = tf.constant(examples.labels)

    def kept(index: tf.Tensor) -> source.Sample:
        shape = tf.gather(shapes, index)
        size = tf.reduce_prod(shape)
        image = tf.slice(pixels, [tf.gather(starts, index)], [size])
        return {
            "image": tf.reshape(image, shape),
            "label": tf.gather(labels, index),
        }

    def load(index: tf.Tensor) -> source.Sample:
        if count == len(examples):
            sample = kept(index)
        else:
            sample = tf.cond(
                index < count, lambda: kept(index), lambda: examples.load(index)
            )
        sample["image"] = tf.ensure_shape(sample["image"], [None, None, channels])
        return sample

    channels = int(shapes[0, 2])
    return dataclasses.replace(examples, load=load)


def _decode(examples: source.Source, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode pictures -> (uint8 (bytes,) pixels one after another, int64 shapes)."""
    images = tf.data.Dataset.range(count).map(
        lambda index: examples.load(index)["image"],
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    flat = images.map(lambda image: (tf.reshape(image, [-1]), tf.shape(image)))
    buffer = np.empty(int(examples.pixels[:count].sum()), np.uint8)
    shapes = np.empty((count, 3), np.int64)
    start = 0
    for number, (values, shape) in enumerate(flat.as_numpy_iterator()):
        buffer[start : start + len(values)] = values
        shapes[number] = shape
        start += len(values)
    with tf.device("CPU:0"):
        return tf.constant(buffer), tf.constant(shapes)
