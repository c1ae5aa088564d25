"""Carries numbers between the replicas of all workers and this process."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

_SUM = tf.distribute.ReduceOp.SUM


def gatherer(
    where: tf.distribute.Strategy, variables: Sequence[keras.Variable]
) -> Callable[[], list[np.ndarray]]:
    """Build the function that reads variables which every replica has to itself.

    A metric counts on each replica alone. TensorFlow's own checkpoint keeps the sum and
    hands out equal shares of it, whose later sums round otherwise than those of a run
    that was never interrupted.

    Args:
        where: the strategy; each of its workers must call the function.
        variables: of metrics.

    Returns:
        () -> for each variable its values, (replicas, ...).
    """
    if where.num_replicas_in_sync == 1:
        return lambda: [variable.numpy()[np.newaxis] for variable in variables]

    def own_rows():
        context = tf.distribute.get_replica_context()
        place = [[context.replica_id_in_sync_group]]
        rows = [
            tf.scatter_nd(
                place,
                tf.convert_to_tensor(variable.value)[tf.newaxis],
                [context.num_replicas_in_sync, *variable.shape],
            )
            for variable in variables
        ]
        return context.all_reduce(_SUM, rows)

    @tf.function
    def rows():
        return [
            where.experimental_local_results(values)[0]
            for values in where.run(own_rows)
        ]

    return lambda: [values.numpy() for values in rows()]


def scatter(
    where: tf.distribute.Strategy,
    variables: Sequence[keras.Variable],
    rows: Sequence[np.ndarray],
) -> None:
    """Give every replica back what `gatherer`'s function read.

    Args:
        where: the strategy.
        variables: of metrics.
        rows: for each variable its values, (replicas, ...). Those of another number of
            replicas are summed and given to the first.
    """
    replicas = where.num_replicas_in_sync
    rows = [_fit(values, replicas) for values in rows]

    def assign_own():
        context = tf.distribute.get_replica_context()
        for variable, values in zip(variables, rows, strict=True):
            variable.assign(tf.gather(values, context.replica_id_in_sync_group))

    tf.function(where.run)(assign_own)


def adder(where: tf.distribute.Strategy) -> Callable[[int], int]:
    """Build the function that adds a number up over the replicas.

    Args:
        where: the strategy.

    Returns:
        Each worker's number -> their sum, each counted once for each replica of the
        worker. Every worker must call it.
    """
    if not has_several_workers(where):
        return lambda number: number * where.num_replicas_in_sync

    @tf.function
    def add(number: tf.Tensor) -> tf.Tensor:
        numbers = where.run(lambda: tf.identity(number))
        return where.reduce(_SUM, numbers, axis=None)

    return lambda number: int(add(tf.constant(int(number), tf.int64)))


def has_several_workers(where: tf.distribute.Strategy) -> bool:
    """Tell whether other processes take part, so that all must do the same."""
    return isinstance(where, tf.distribute.MultiWorkerMirroredStrategy)


def _fit(rows: np.ndarray, replicas: int) -> np.ndarray:
    if len(rows) == replicas:
        return rows
    others = np.zeros((replicas - 1, *rows.shape[1:]), rows.dtype)
    return np.concatenate([rows.sum(0, keepdims=True, dtype=rows.dtype), others])
