"""Compiles Keras's `train_step` under a strategy, several steps in one call."""

from collections.abc import Sequence

import keras
import tensorflow as tf

_DRAWS_PER_STEP = 1024  # of one seed generator; seeds of successive steps stay apart


def build_metrics(model: keras.Model, batches, where) -> None:
    """Create the metrics' variables before `train_step` is traced.

    Created inside the trace, they would be lifted into a cond, and a loop under several
    replicas fails: "You must feed a value for placeholder tensor".
    """

    @tf.function(autograph=False)
    def test(batch):
        where.run(model.test_step, args=(batch,))

    test(next(iter(batches)))
    model.reset_metrics()


def compile_steps(model: keras.Model, where: tf.distribute.Strategy, seed: int):
    """Build the function that runs several steps and stops at one that diverges.

    Args:
        model: compiled with an optimizer of `tfdl.training.optimizers`.
        where: the strategy.
        seed: of every layer that draws.

    Returns:
        (iterator, first step int64 (), count) -> {"loss", "learning_rate",
        "gradient_norm", "update_ratio"}, each float32 (steps,): the mean loss of the
        global batch, the norm of its gradient before clipping, and how much the step
        changed the weights, as a share of their norm; that of the last of `count` steps
        alone, 0 of the others, as it takes a copy of the weights. There are fewer than
        `count` rows where one is not finite; it is the last.

    Raises:
        ValueError: the model has no metric named loss.
    """
    step_once = _step_function(model, seed)

    @tf.function
    def run_steps(iterator, first, count):
        arrays = {
            name: tf.TensorArray(tf.float32, size=0, dynamic_size=True)
            for name in ("loss", "learning_rate", "gradient_norm", "update_ratio")
        }
        done = 0
        is_finite = True
        while done < count and is_finite:
            step = first + tf.cast(done, tf.int64)
            is_last = done + 1 == count
            result = where.run(step_once, args=(next(iterator), step, is_last))
            means = {
                name: where.reduce(tf.distribute.ReduceOp.MEAN, value, axis=None)
                for name, value in result.items()
            }
            arrays = {n: arrays[n].write(done, means[n]) for n in arrays}
            is_finite = tf.reduce_all(tf.math.is_finite(tf.stack([*means.values()])))
            done += 1
        return {name: array.stack() for name, array in arrays.items()}

    return lambda iterator, first, count: {
        name: values.numpy()
        for name, values in run_steps(iterator, first, tf.constant(count)).items()
    }


def _step_function(model: keras.Model, seed: int):
    """Build one step of one replica: (batch, step, whether the change is measured)."""
    loss_metric = {metric.name: metric for metric in model.metrics}.get("loss")
    if loss_metric is None:
        raise ValueError(
            "`model.metrics` must hold one named loss, which `train_step` updates and "
            f"returns. Received {[metric.name for metric in model.metrics]}."
        )
    weights = {id(variable) for variable in model.weights}
    seed_states = [v for v in model.variables if id(v) not in weights]

    @tf.autograph.experimental.do_not_convert
    def step_once(batch, step, is_measured):
        _seed(seed_states, seed, step)
        learning_rate = tf.convert_to_tensor(model.optimizer.learning_rate)
        before = _weights_if(is_measured, model)
        loss_metric.reset_state()  # else logs["loss"] would be a running mean
        logs = model.train_step(batch)
        return {
            "loss": logs["loss"],
            "learning_rate": learning_rate,
            "gradient_norm": tf.identity(model.optimizer.gradient_norm),
            "update_ratio": _update_ratio_if(is_measured, model, before),
        }

    return step_once


def _weights_if(is_measured: tf.Tensor, model: keras.Model) -> list[tf.Tensor]:
    """Copy the trainable weights; numbers in their place where they are not needed."""
    weights = [v.value for v in model.trainable_variables]
    return tf.cond(
        is_measured,
        lambda: [tf.identity(weight) for weight in weights],
        lambda: [tf.zeros([], weight.dtype) for weight in weights],
    )


def _update_ratio_if(is_measured: tf.Tensor, model: keras.Model, before) -> tf.Tensor:
    """Compare the weights with those before the step, or return 0."""

    def ratio() -> tf.Tensor:
        weights = [v.value for v in model.trainable_variables]
        changes = [after - b for b, after in zip(before, weights, strict=True)]
        norms = map(tf.linalg.global_norm, (changes, before))
        return tf.math.divide_no_nan(*norms)

    return tf.cond(is_measured, ratio, lambda: tf.zeros([]))


def _seed(seed_states: Sequence[keras.Variable], seed: int, step: tf.Tensor) -> None:
    """Key what layers draw by (seed, layer, step, replica).

    Left alone, Keras draws the same dropout mask on every replica.
    """
    context = tf.distribute.get_replica_context()
    replicas = tf.cast(context.num_replicas_in_sync, tf.int64)
    replica = tf.cast(context.replica_id_in_sync_group, tf.int64)
    place = (step * replicas + replica) * _DRAWS_PER_STEP
    for number, state in enumerate(seed_states):
        state.assign(tf.stack([tf.constant(seed + number, tf.int64), place]))
