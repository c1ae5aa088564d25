import keras
import numpy as np
import tensorflow as tf

from tfdl.training import replicas

ONE = tf.distribute.OneDeviceStrategy("CPU:0")


def counted(where):
    """A mean that replica r has told r + 0.1 twice."""
    with where.scope():
        mean = keras.metrics.Mean()

    @tf.function
    def count():
        def on_replica():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            mean.update_state(tf.cast(replica, tf.float32) + 0.1)

        where.run(on_replica)

    count()
    count()
    return mean


def test_gathering_tells_the_replicas_apart(mirrored_strategy):
    mean = counted(mirrored_strategy)
    total, count = replicas.gatherer(mirrored_strategy, mean.variables)()
    np.testing.assert_allclose(total, [0.2, 2.2], rtol=1e-6)
    np.testing.assert_array_equal(count, [2, 2])


def test_what_was_gathered_is_given_back_exactly(mirrored_strategy):
    for where in (ONE, mirrored_strategy):
        mean = counted(where)
        gather = replicas.gatherer(where, mean.variables)
        rows = gather()
        mean.reset_state()
        replicas.scatter(where, mean.variables, rows)
        for before, after in zip(rows, gather(), strict=True):
            np.testing.assert_array_equal(before, after)


def test_another_number_of_replicas_keeps_the_sum(mirrored_strategy):
    rows = [np.float32([1, 2, 4]), np.float32([1, 1, 1])]
    for where, expected in ((ONE, [7]), (mirrored_strategy, [7, 0])):
        mean = counted(where)
        replicas.scatter(where, mean.variables, rows)
        total, _ = replicas.gatherer(where, mean.variables)()
        np.testing.assert_array_equal(total, expected)
        assert float(mean.result()) == np.float32(7 / 3)


def test_numbers_are_added_over_replicas(mirrored_strategy):
    assert replicas.adder(ONE)(3) == 3
    assert replicas.adder(mirrored_strategy)(3) == 6
    assert replicas.adder(ONE)(False) == 0


def test_two_devices_of_one_process_are_no_workers(mirrored_strategy):
    assert not replicas.has_several_workers(mirrored_strategy)
