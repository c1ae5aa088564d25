"""Which pixels hang together?"""

import keras
from keras import ops


def connected(labels: keras.KerasTensor) -> keras.KerasTensor:
    """Number the connected regions of every class but background.

    Pixels hang together with their four neighbours of the same class, and not over a
    corner: a border of one pixel keeps cells apart wherever it runs.

    A row is cut into runs, each a group of its own. Where runs of two rows touch, the
    group with the smaller number is told the larger one, everywhere at once; then each
    run goes on to the number that its group's number was told. That is repeated until
    nothing changes, about ten times however a region winds [Shiloach and Vishkin 1982].
    It works in tf.data and in graphs.

    Args:
        labels: integer (height, width), 0 for background; every other number is a
            class, so that what is ignored must be made background first.

    Returns:
        int32 (height, width), 0 for background, else a number from 1 on, the same for
        all pixels of a region and for no other; some numbers are left out.
    """
    labels = ops.cast(labels, "int32")
    runs, count = _runs(labels)
    num_groups = count + 1  # not in the loop, where JAX would not know it
    upper, lower = _touching(labels, runs)

    def merge(groups, _):
        first, second = ops.take(groups, upper), ops.take(groups, lower)
        largest = ops.maximum(first, second)
        for members in (first, second):
            told = ops.segment_max(largest, members, num_segments=num_groups)
            groups = ops.maximum(groups, told)
        followed = ops.take(groups, groups)
        is_done = ops.all(first == second) & ops.all(followed == groups)
        return ops.take(followed, followed), ops.logical_not(is_done)

    start = (ops.arange(num_groups, dtype="int32"), ops.convert_to_tensor(True))
    groups, _ = ops.while_loop(lambda _, is_changing: is_changing, merge, start)
    return ops.take(groups, runs)


def _runs(labels):
    """Number the runs of equal labels in rows, 0 for background -> (numbers, count)."""
    is_inside = labels != 0
    is_same = ops.pad(labels[:, 1:] == labels[:, :-1], [[0, 0], [1, 0]])
    begins = ops.cast(ops.logical_and(is_inside, ops.logical_not(is_same)), "int32")
    passed = ops.cumsum(ops.reshape(begins, (-1,)))
    runs = ops.where(is_inside, ops.reshape(passed, ops.shape(labels)), 0)
    return runs, ops.sum(begins)


def _touching(labels, runs):
    """List the pairs of runs that touch, the upper and the lower ones, int32 (pairs,).

    A pair stands there once, where its contact begins.
    """
    touches = ops.logical_and(labels[1:] == labels[:-1], labels[1:] != 0)
    upper, lower = (ops.where(touches, some, 0) for some in (runs[:-1], runs[1:]))
    goes_on = ops.logical_and(
        upper[:, 1:] == upper[:, :-1], lower[:, 1:] == lower[:, :-1]
    )
    begins = ops.logical_and(
        touches, ops.logical_not(ops.pad(goes_on, [[0, 0], [1, 0]]))
    )
    places = ops.nonzero(begins)
    flat = places[0] * ops.shape(labels)[1] + places[1]
    return [ops.take(ops.reshape(some, (-1,)), flat) for some in (upper, lower)]
