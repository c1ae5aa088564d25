"""Runs a model over a data set, without state and without dropping a row."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tfdl import errors


def compiled(
    model: keras.Model, *, features: bool = False
) -> Callable[[tf.Tensor], dict | tf.Tensor | tuple]:
    """Compile a model's inference once, for batches of any size.

    Args:
        model: takes one tensor, float32 (batch, height, width, channels).
        features: whether what the last dense layer sees is wanted as well; where there
            is none, the mean of what the last layer with weights sees. An ensemble's
            are those of one of its members, the last that its graph lists.

    Returns:
        The function from such a batch to what the model returns, without dropout and
        with the running averages of normalisation; with `features`, to a pair of that
        and of float32 (batch, features).

    Raises:
        UsageError: features are wanted of a model without weights.
    """
    batch = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)
    if features:
        model = _with_features(model)

    @tf.function(input_signature=[batch], autograph=False)
    def infer(images: tf.Tensor) -> dict | tf.Tensor | tuple:
        if not features:
            return model(images, training=False)
        results, seen = model(images, training=False)
        return results, tf.cast(seen, tf.float32)

    return infer


def part_of(model: keras.Model) -> keras.Model:
    """Return what answers of a model: its `inference_model` if it has one, or itself.

    A model that is trained with more inputs or outputs than it answers with names the
    other, which shares its layers.
    """
    return getattr(model, "inference_model", model)


def outputs(
    infer: Callable[[tf.Tensor], dict | tf.Tensor | tuple],
    batches: tf.data.Dataset,
    *,
    finish: Callable = lambda result, batch: result,
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[dict | np.ndarray | tuple, dict[str, np.ndarray]]]:
    """Run inference on every batch, on this process's first device.

    Args:
        infer: as `compiled` makes it; takes `batch["image"]`.
        batches: dicts of tensors; the last batch may be smaller.
        finish: (what `infer` returns, the batch) -> what is yielded in its place.
        check: called before each batch; what it raises ends the work.

    Yields:
        (what `finish` returns, the whole batch), both as NumPy arrays.
    """
    for batch in batches:
        check()
        finished = finish(infer(batch["image"]), batch)
        result = tf.nest.map_structure(lambda t: t.numpy(), finished)
        yield result, {name: value.numpy() for name, value in batch.items()}


def _with_features(model: keras.Model) -> keras.Model:
    """Add what the last dense layer sees, or the last convolution, averaged."""
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    weighted = [layer for layer in model.layers if layer.weights]
    if not weighted:
        raise errors.UsageError(
            f"`model` must have weights to have features. Received {model.name}.",
            "Ask for its outputs alone.",
        )
    seen = (dense or weighted)[-1].input
    if len(seen.shape) > 2:  # the map of a fully convolutional model
        seen = keras.layers.GlobalAveragePooling2D(dtype="float32")(seen)
    return keras.Model(model.inputs, [model.output, seen])
