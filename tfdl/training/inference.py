"""Runs a model over a data set, without state and without dropping a row."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf


def outputs(
    model: keras.Model,
    batches: tf.data.Dataset,
    *,
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[dict | np.ndarray, dict[str, np.ndarray]]]:
    """Run the model on every batch, on this process's first device.

    Args:
        model: takes `batch["image"]`, float32 (batch, height, width, channels).
        batches: dicts of tensors; the last batch may be smaller.
        check: called before each batch; what it raises ends the work.

    Yields:
        (what the model returns, the whole batch), both as NumPy arrays.
    """

    @tf.function(reduce_retracing=True)
    def infer(images: tf.Tensor):
        return model(images, training=False)

    for batch in batches:
        check()
        result = tf.nest.map_structure(lambda t: t.numpy(), infer(batch["image"]))
        yield result, {name: value.numpy() for name, value in batch.items()}
