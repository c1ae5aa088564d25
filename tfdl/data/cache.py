"""Keeps decoded pictures in memory, up to a limit, without changing their order."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfdl.data.sources import source

_CHUNK_BYTES = 64 << 20  # one at a time, small pictures would take three times as long


def keep_pictures(
    examples: source.Source,
    *,
    limit_bytes: int,
    annotations: Callable[[tf.Tensor], source.Sample],
) -> source.Source:
    """Decode the first pictures of a source once and keep their pixels.

    Args:
        examples: any source.
        limit_bytes: the most memory to use, and as much again while it is filled; what
            does not fit is decoded each time.
        annotations: index, int64 () -> what goes with the image, without a file.

    Returns:
        A source of the same images and of `annotations`, and nothing else.
    """

    def decoded(index: tf.Tensor) -> source.Sample:
        return {"image": examples.load(index)["image"]}

    sizes = np.cumsum(examples.pixels)
    count = int(np.searchsorted(sizes, limit_bytes, side="right"))
    if count == 0:
        return dataclasses.replace(
            examples, load=lambda index: decoded(index) | annotations(index)
        )
    pixels, shapes = _decode(examples, count)
    starts = tf.constant(np.concatenate([[0], sizes[: count - 1]]), tf.int64)

    def kept(index: tf.Tensor) -> source.Sample:
        shape = tf.gather(shapes, index)
        size = tf.reduce_prod(shape)
        image = tf.slice(pixels, [tf.gather(starts, index)], [size])
        return {"image": tf.reshape(image, shape)}

    def load(index: tf.Tensor) -> source.Sample:
        if count == len(examples):
            sample = kept(index)
        else:
            sample = tf.cond(index < count, lambda: kept(index), lambda: decoded(index))
        image = tf.ensure_shape(sample["image"], [None, None, channels])
        return {"image": image} | annotations(index)

    channels = int(shapes[0, 2])
    return dataclasses.replace(examples, load=load)


def _decode(examples: source.Source, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Decode pictures -> (uint8 (bytes,) pixels one after another, int64 shapes)."""
    chunk = min(count, max(1, _CHUNK_BYTES // int(examples.pixels[:count].max())))
    chunks = (
        tf.data.Dataset.range(count)
        .map(
            lambda index: _flat(examples.load(index)["image"]),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .ragged_batch(chunk)
    )
    with tf.device("CPU:0"):
        pixels, shapes = zip(*chunks, strict=True)
        return tf.concat(list(map(_joined, pixels)), 0), tf.concat(shapes, 0)


def _flat(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.reshape(image, [-1]), tf.shape(image, tf.int64)


def _joined(pictures: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
    """Join flat pictures, which are ragged unless their size is known in the graph."""
    if isinstance(pictures, tf.RaggedTensor):
        return pictures.flat_values
    return tf.reshape(pictures, [-1])
