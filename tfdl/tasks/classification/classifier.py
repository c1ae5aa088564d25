"""Compiles a backbone with its head as a classifier."""

import keras


def compile_model(
    model: keras.Model,
    optimizer: keras.Optimizer,
    multi_label: bool,
    *,
    label_smoothing: float = 0.0,
) -> keras.Model:
    """Give a classifier its loss and its metric.

    Args:
        model: image -> logits, float32 (batch, classes).
        optimizer: of `tfdl.training.optimizers`.
        multi_label: False, targets are distributions over classes, and the loss is the
            cross-entropy of the softmax; True, targets are multi-hot and each class has
            a cross-entropy of its own.
        label_smoothing: share of the target spread over all classes [Szegedy et al.,
            2016, section 7].

    Returns:
        The model.
    """
    if multi_label:
        loss = keras.losses.BinaryCrossentropy
        accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
    else:
        loss = keras.losses.CategoricalCrossentropy
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    model.compile(
        optimizer,
        loss(from_logits=True, label_smoothing=label_smoothing),
        metrics=[accuracy],
    )
    return model
