"""Runs a model over a data set, without state and without dropping a row."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf


def compiled(model: keras.Model) -> Callable[[tf.Tensor], dict | tf.Tensor]:
    """Compile a model's inference once, for batches of any size.

    Args:
        model: takes one tensor, float32 (batch, height, width, channels).

    Returns:
        The function from such a batch to what the model returns, without dropout and
        with the running averages of normalisation.
    """
    batch = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)

    @tf.function(input_signature=[batch])
    def infer(images: tf.Tensor) -> dict | tf.Tensor:
        return model(images, training=False)

    return infer


def outputs(
    infer: Callable[[tf.Tensor], dict | tf.Tensor],
    batches: tf.data.Dataset,
    *,
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[dict | np.ndarray, dict[str, np.ndarray]]]:
    """Run inference on every batch, on this process's first device.

    Args:
        infer: as `compiled` makes it; takes `batch["image"]`.
        batches: dicts of tensors; the last batch may be smaller.
        check: called before each batch; what it raises ends the work.

    Yields:
        (what the model returns, the whole batch), both as NumPy arrays.
    """
    for batch in batches:
        check()
        result = tf.nest.map_structure(lambda t: t.numpy(), infer(batch["image"]))
        yield result, {name: value.numpy() for name, value in batch.items()}
