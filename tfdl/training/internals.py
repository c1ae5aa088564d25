"""What goes on inside a model at its first step, from its input to its updates?

Of weights, the kernels are judged: biases and scales start at 0 and 1 by design.
"""

import keras
import numpy as np
import tensorflow as tf

from tfdl.findings import Finding
from tfdl.training import trial as trials

_PROBED_EXAMPLES = 32
_DEAD_SHARE = 0.5  # of the channels of a layer
_RATIO_TOO_HIGH, _RATIO_TOO_LOW = 0.3, 1e-6
_DEVIATIONS = (0.3, 3.0)
_OFF_CENTRE = 1.5  # deviations
_GROWTH = 20.0  # of the activations' deviation through the network


def inputs(model: keras.Model, batch) -> list[Finding]:
    """Look at the pictures, as they are fed and as the first kernel gets them.

    Args:
        model: a functional model, of pictures or of "image" and others.
        batch: what `model.train_step` takes.
    """
    few = _first_examples(batch)
    images = trials.image_of(few)
    between = float(np.std(images, axis=0).mean())
    if between < 1e-6:
        return [
            Finding(
                "pictures differ",
                "fail",
                f"all {len(images)} pictures of the first batch are the same: the "
                "input is constant, look at train_batch.png",
                is_about_data=True,
            )
        ]
    reached = _probe(model, [_first_kernel_layer(model).input], few)[0]
    mean, deviation = float(reached.mean()), float(reached.std())
    reason = f"mean {mean:.2f}, deviation {deviation:.2f} at the first kernel"
    low, high = _DEVIATIONS
    is_usual = low <= deviation <= high and abs(mean) <= _OFF_CENTRE * deviation
    if not is_usual:
        reason += ": pictures are not normalised; 0 and 1 are expected"
    return [
        Finding("pictures differ", "pass", f"by {between:.3f} of 1 in a pixel"),
        Finding("input scale", "pass" if is_usual else "fail", reason),
    ]


def activations(model: keras.Model, batch) -> Finding:
    """Look for units that never fire, and for values that grow or fade with depth.

    Args:
        model: a functional model.
        batch: what `model.train_step` takes.
    """
    layers = [layer for layer in model.layers if _is_rectified(layer)]
    if not layers:
        return Finding("activations", "pass", "the model has no ReLU")
    few = _first_examples(batch)
    values = _probe(model, [layer.output for layer in layers], few)
    dead = {
        layer.name: float(np.mean(value.reshape(-1, value.shape[-1]).max(axis=0) <= 0))
        for layer, value in zip(layers, values, strict=True)
    }
    worst = max(dead, key=dead.get)
    if dead[worst] >= _DEAD_SHARE:
        return Finding(
            "activations",
            "fail",
            f"dead ReLUs: {dead[worst]:.0%} of the channels of {worst} never fire; "
            "initialise its kernel by He's rule and its bias by 0",
        )
    deviations = [float(value.std()) for value in values]
    growth = deviations[-1] / deviations[0]
    reason = (
        f"deviation {deviations[0]:.2f} in {layers[0].name}, {deviations[-1]:.2f} in "
        f"{layers[-1].name}; at most {dead[worst]:.0%} of a layer's channels are dead"
    )
    if 1 / _GROWTH <= growth <= _GROWTH:
        return Finding("activations", "pass", reason)
    return Finding(
        "activations",
        "fail",
        f"{reason}: they {'grow' if growth > 1 else 'fade'} with depth; normalise "
        "between the convolutions, or initialise by He's rule",
    )


def gradients(
    trial: trials.Trial, batch, *, is_frozen: set[str]
) -> tuple[Finding, list[float]]:
    """See whether every weight is trained and gets a gradient.

    Args:
        trial: is reset after.
        batch: what `model.train_step` takes.
        is_frozen: names of the layers that are meant not to train.

    Returns:
        (finding, norm of each kernel's gradient as a share of the kernel's).
    """
    found = trial.gradients(batch)
    trial.reset()
    variables = trial.model.trainable_variables
    kernels = [
        _norm(gradient) / _norm(variable)
        for variable, gradient in zip(variables, found, strict=True)
        if _is_kernel(variable)
    ]
    frozen = [
        layer.name
        for layer in trial.model._flatten_layers(include_self=False)
        if layer.weights and not layer.trainable and layer.name not in is_frozen
    ]
    unreached = [
        variable.path
        for variable, gradient in zip(variables, found, strict=True)
        if gradient is None or not np.any(gradient)
    ]
    if frozen:
        reason = (
            f"the weights of {_listed(frozen)} are frozen (trainable is False), and "
            "--freeze does not ask for it"
        )
        return Finding("gradients", "fail", reason), kernels
    if unreached:
        reason = f"no gradient reaches {_listed(unreached)}"
        return Finding("gradients", "fail", reason), kernels
    reason = f"reach all {len(variables)} trainable weights"
    return Finding("gradients", "pass", reason), kernels


def updates(trial: trials.Trial, batch, *, rate: float) -> tuple[Finding, list[float]]:
    """See how much the first step at the run's rate changes each kernel.

    Args:
        trial: is reset after.
        batch: what `model.train_step` takes.
        rate: the run's learning rate.

    Returns:
        (finding, norm of each kernel's change as a share of the kernel's).
    """
    kernels = [v for v in trial.model.trainable_variables if _is_kernel(v)]
    before = [variable.numpy() for variable in kernels]
    trial.train(trials.repeated(batch), rate, 1)
    ratios = [
        _norm(variable.numpy() - value) / _norm(value)
        for variable, value in zip(kernels, before, strict=True)
    ]
    trial.reset()
    median = float(np.median(ratios))
    reason = f"median {median:.1e} over {len(ratios)} kernels, 1e-3 is usual"
    if not np.isfinite(median) or median > _RATIO_TOO_HIGH:
        reason += f": a step at rate {rate:.3g} throws the weights about"
        return Finding("update to weight", "fail", reason), ratios
    if median < _RATIO_TOO_LOW:
        reason += f": at rate {rate:.3g} the weights hardly move"
        return Finding("update to weight", "fail", reason), ratios
    return Finding("update to weight", "pass", reason), ratios


def _first_examples(batch):
    """Take some of a batch's inputs, as arrays."""
    x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
    return tf.nest.map_structure(lambda t: np.asarray(t[:_PROBED_EXAMPLES]), x)


def _first_kernel_layer(model: keras.Model) -> keras.layers.Layer:
    return next(layer for layer in model.layers if any(map(_is_kernel, layer.weights)))


def _probe(model: keras.Model, tensors, inputs) -> list[np.ndarray]:
    """Compute some tensors within the model, with the batch's own statistics."""
    probe = keras.Model(model.inputs, tensors)
    kept = [variable.numpy() for variable in model.non_trainable_variables]
    values = probe(tf.nest.flatten(inputs), training=True)
    for variable, value in zip(model.non_trainable_variables, kept, strict=True):
        variable.assign(value)
    return [np.asarray(tf.cast(value, tf.float32)) for value in tf.nest.flatten(values)]


def _is_rectified(layer: keras.layers.Layer) -> bool:
    activation = getattr(layer, "activation", None)
    return activation is keras.activations.relu or isinstance(layer, keras.layers.ReLU)


def _is_kernel(variable) -> bool:
    return len(variable.shape) >= 2


def _norm(values) -> float:
    return 0.0 if values is None else float(np.linalg.norm(np.asarray(values)))


def _listed(names: list[str]) -> str:
    """Name a few, and count the others."""
    shown = ", ".join(names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return shown + more
