"""Makes one model of several: its probabilities are the mean of theirs."""

import math
from collections.abc import Sequence

import keras
from keras import ops

from tfdl import errors


def averaged(models: Sequence[keras.Model], *, multi_label: bool) -> keras.Model:
    """Build the ensemble of some classifiers.

    It is evaluated, exported and served as each of them. Its logits are the logarithm
    of the mean probability, or with several labels the logit of it, computed from those
    of the members' probabilities: none is rounded to 0 or 1 on the way.

    Args:
        models: functional models, image, float32 (batch, height, width, channels) ->
            logits, float (batch, classes). They keep their layers and weights; the
            ensemble has copies of both, named after the member's number.
        multi_label: whether classes exclude one another (False) or not (True).

    Returns:
        The model; logits float32 (batch, classes).

    Raises:
        UsageError: there is no model, or they take or answer different shapes.
    """
    _refuse_unlike(models)
    inputs = keras.Input(models[0].input_shape[1:], name="image")
    logits = [
        ops.cast(_copied(model, inputs, prefix=f"member{number}"), "float32")
        for number, model in enumerate(models, 1)
    ]
    stacked = ops.stack(logits, axis=1)  # (batch, members, classes)
    if multi_label:
        outputs = _log_mean(ops.log_sigmoid(stacked)) - _log_mean(
            ops.log_sigmoid(-stacked)
        )
    else:
        outputs = _log_mean(ops.log_softmax(stacked, axis=-1))
    return keras.Model(inputs, outputs, name=f"ensemble_of_{len(models)}")


def _refuse_unlike(models: Sequence[keras.Model]) -> None:
    shapes = [(model.input_shape[1:], model.output_shape[1:]) for model in models]
    if not shapes or len(set(shapes)) > 1:
        found = " and ".join(f"{image} -> {logits}" for image, logits in set(shapes))
        raise errors.UsageError(
            "`models` must take pictures of one shape and answer with as many logits. "
            f"Received {found or 'none'}.",
            "name models of the same --image-size, --channels and classes",
        )


def _copied(model: keras.Model, inputs: keras.KerasTensor, *, prefix: str):
    """Repeat a model's graph on another input, with layers and weights of its own.

    Layers stand side by side, none within another: what looks for a layer finds it.
    """
    copies = {}

    def copy(operation):
        name = f"{prefix}_{operation.name}"
        if name not in copies:  # a layer may be called several times
            settings = operation.get_config() | {"name": name}
            copies[name] = type(operation).from_config(settings)
        return copies[name]

    again = keras.models.clone_model(model, input_tensors=inputs, clone_function=copy)
    for layer in model.layers:
        if layer.weights:
            copies[f"{prefix}_{layer.name}"].set_weights(layer.get_weights())
    return again.output


def _log_mean(logarithms: keras.KerasTensor) -> keras.KerasTensor:
    """Take the logarithm of the mean over the members of what is given by its own."""
    members = logarithms.shape[1]
    return ops.logsumexp(logarithms, axis=1) - math.log(members)
