"""Keras's optimizers, made right for several replicas, and the penalties on weights."""

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfdl import errors
from tfdl.training import fused

_MOMENTUM = 0.9

OPTIMIZERS = {
    "sgd": (fused.SGD, {}),
    "momentum": (fused.SGD, {"momentum": _MOMENTUM}),
    "nesterov": (fused.SGD, {"momentum": _MOMENTUM, "nesterov": True}),
    "adagrad": (keras.optimizers.Adagrad, {}),
    "rmsprop": (keras.optimizers.RMSprop, {}),
    "adam": (fused.Adam, {}),
    "adamw": (fused.Adam, {}),  # decay is decoupled in every one of these
    "lion": (keras.optimizers.Lion, {}),
}


_AVERAGE_DELAY = 9  # steps after which half of the average is from before


class _ReducedFirst:
    """Sums gradients over the replicas first; then each replica updates its own copy.

    Keras clips each replica's gradient and sums afterwards, so that clipping depends on
    the number of replicas, and its accumulation cannot be traced under several ("
    `merge_call` called while defining a new graph"). Here every replica sees the global
    gradient, and does the same to its own copy of every variable.
    """

    def build(self, variables):
        super().build(variables)
        self._gradient_norm = tf.Variable(
            0.0,
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    @property
    def gradient_norm(self) -> tf.Variable:
        """Global L2 norm of the last gradient, before clipping, float32 ()."""
        return self._gradient_norm

    def apply(self, grads, trainable_variables=None):
        """Reduce, measure and apply; arguments as in Keras."""
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            grads = _all_reduce_sum(context, list(grads))
        self._gradient_norm.assign(
            tf.linalg.global_norm([g for g in grads if g is not None])
        )
        super().apply(grads, trainable_variables)

    def _update_model_variables_moving_average(self, trainable_variables):
        """Average the weights, at first over few steps: the start is soon forgotten."""
        done = tf.cast(self.iterations, tf.float32)
        momentum = tf.minimum(self.ema_momentum, done / (done + _AVERAGE_DELAY))
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            share = tf.cast(1 - momentum, variable.dtype)
            average.assign(average + share * (variable - average))

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        for grad, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(grad, variable, learning_rate)

    def _backend_increment_gradient_accumulators(self, grads, acc_grads):
        for grad, total in zip(grads, acc_grads, strict=True):
            total.assign_add(grad)

    def _apply_weight_decay(self, variables):
        if self.weight_decay is None:
            return
        share = self.weight_decay * self.learning_rate
        for variable in variables:
            if self._use_weight_decay(variable):
                variable.assign_sub(variable * tf.cast(share, variable.dtype))


def optimizer(
    name: str,
    learning_rate,
    *,
    weight_decay: float = 0.0,
    clip_norm: float = 0.0,
    accumulation: int = 1,
    average: float = 0.0,
) -> keras.Optimizer:
    """Build an optimizer.

    Args:
        name: a key of `OPTIMIZERS`.
        learning_rate: a number or a Keras schedule.
        weight_decay: decoupled decay of kernels, times the learning rate at each
            update [Loshchilov & Hutter, 2019]; `build` keeps it off biases and
            normalisation. 0 is none. A paper's L2 coefficient of SGD with momentum m
            passes through the momentum and so acts 1 / (1 - m) times as strongly: its
            5e-4 is 5e-3 here.
        clip_norm: the largest global norm of the gradient; 0 does not clip.
        accumulation: steps whose gradients are averaged into one update.
        average: momentum of the exponential moving average of the weights (Polyak
            averaging), reached by way of t / (t + 9) at step t; 0 keeps none.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in OPTIMIZERS:
        raise errors.UsageError(
            f"--optimizer {name} is unknown", f"choose one of {', '.join(OPTIMIZERS)}"
        )
    kind, arguments = OPTIMIZERS[name]
    reduced = type(kind.__name__, (_ReducedFirst, kind), {})
    return reduced(
        learning_rate,
        weight_decay=weight_decay or None,
        global_clipnorm=clip_norm or None,
        gradient_accumulation_steps=accumulation if accumulation > 1 else None,
        use_ema=average > 0,
        ema_momentum=average or None,
        **arguments,
    )


def build(model: keras.Model) -> None:
    """Create the optimizer's variables; kernels alone are decayed.

    Args:
        model: compiled with an optimizer of this module.
    """
    free = [v for v in model.trainable_variables if len(v.shape) < 2]
    if model.optimizer.weight_decay:
        model.optimizer.exclude_from_weight_decay(free)
    model.optimizer.build(model.trainable_variables)


def freeze(model: keras.Model, *, until: str) -> None:
    """Keep the weights of the layers up to one as they are, for fine-tuning.

    Args:
        model: whose layers stand in the order from input to output.
        until: name of the last layer to freeze, or "none".

    Raises:
        UsageError: there is no layer of this name, or nothing is left to train.
    """
    if until == "none":
        return
    names = [layer.name for layer in model.layers]
    if until not in names:
        raise errors.UsageError(
            f"--freeze {until}: the model has no such layer",
            f"its layers are {', '.join(names)}",
        )
    for layer in model.layers[: names.index(until) + 1]:
        layer.trainable = False
    if not model.trainable_variables:
        raise errors.UsageError(
            f"--freeze {until}: no weights are left to train",
            f"name an earlier one of the layers {', '.join(names)}",
        )


def penalize(model: keras.Model, *, l1: float = 0.0, l2: float = 0.0) -> None:
    """Add l1 * sum |w| + l2 * sum w^2 of every kernel to the loss (elastic net).

    Args:
        model: a built model; biases and normalisation are left free.
        l1: weight of the absolute values; 0 is none.
        l2: weight of the squares; 0 is none.
    """
    if not l1 and not l2:
        return
    for variable in model.trainable_variables:
        if len(variable.shape) >= 2:
            variable.regularizer = keras.regularizers.L1L2(l1=l1, l2=l2)


@contextlib.contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Put the moving average of the weights into the model for a while.

    Keras's own SwapEMAWeights swaps by adding and subtracting, which rounds: weights
    would come back changed. Nothing happens where no average is kept.

    The running averages of normalisation stay those of the current weights: they fit
    the averaged ones once the learning rate has decayed, and less well before.
    """
    if not getattr(model.optimizer, "use_ema", False):
        yield
        return
    averages = model.optimizer._model_variables_moving_average
    variables = model.optimizer._trainable_variables
    kept = [variable.numpy() for variable in variables]
    for variable, average in zip(variables, averages, strict=True):
        variable.assign(average.numpy())
    try:
        yield
    finally:
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)


def _all_reduce_sum(context, grads: list) -> list:
    """Sum over the replicas; a weight that the loss does not touch keeps its None."""
    present = [grad for grad in grads if grad is not None]
    total = iter(context.all_reduce(tf.distribute.ReduceOp.SUM, present))
    return [None if grad is None else next(total) for grad in grads]
