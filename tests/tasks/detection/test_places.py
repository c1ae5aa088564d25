"""Places of a grid: who owns one, what is written there and read from there."""

import numpy as np
import tensorflow as tf

from tfdl.tasks.detection import places


def _squares(*sides):
    return np.float32([[[0, 0, side, side] for side in sides]])


def _owners(numbers, boxes, weights):
    return places.owners(
        tf.constant(numbers, tf.int32), tf.constant(boxes), tf.constant(weights)
    ).numpy()


def test_the_largest_object_owns_a_place():
    weights = np.float32([[1, 0.5, 1, 1]])
    kept = _owners([[7, 7, 7, 3]], _squares(4, 6, 5, 1), weights)
    np.testing.assert_array_equal(kept, [[0, 0.5, 0, 1]])


def test_of_equal_objects_the_last_owns_a_place():
    kept = _owners([[7, 7, 7]], _squares(4, 4, 4), np.ones((1, 3), np.float32))
    np.testing.assert_array_equal(kept, [[0, 0, 1]])


def test_padding_owns_nothing_and_beats_nothing():
    kept = _owners([[7, 7]], _squares(2, 9), np.float32([[1, 0]]))
    np.testing.assert_array_equal(kept, [[1, 0]])


def test_every_occupied_place_has_one_owner_as_a_loop_finds_it():
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 5, (3, 20))
    boxes = np.concatenate([np.zeros((3, 20, 2)), rng.integers(1, 5, (3, 20, 2))], -1)
    weights = rng.choice([0, 0.5, 1], (3, 20)).astype(np.float32)
    kept = _owners(numbers, boxes.astype(np.float32), weights)
    for picture in range(3):
        best = {}
        for index in np.flatnonzero(weights[picture]):
            place, area = numbers[picture, index], boxes[picture, index, 2:].prod()
            if place not in best or area >= best[place][0]:
                best[place] = (area, index)
        expected = np.zeros(20)
        for _, index in best.values():
            expected[index] = weights[picture, index]
        np.testing.assert_array_equal(kept[picture], expected)


def test_weights_are_spread_within_their_own_picture():
    dense = places.spread(
        tf.constant([[1.0, 0.0], [0.5, 0.25]]), tf.constant([[2, 2], [0, 3]]), 4
    )
    np.testing.assert_array_equal(dense, [[0, 0, 1, 0], [0.5, 0, 0, 0.25]])


def test_what_is_predicted_is_looked_up_whatever_its_rank():
    values = np.arange(2 * 5 * 3 * 2, dtype=np.float32).reshape(2, 5, 3, 2)
    numbers = np.int32([[4, 0], [1, 1]])
    for shown in (values, values[..., 0], values[..., 0, 0]):
        found = places.predicted(tf.constant(shown), tf.constant(numbers))
        expected = [shown[picture][numbers[picture]] for picture in range(2)]
        np.testing.assert_array_equal(found, np.stack(expected))


def test_the_gradient_arrives_at_the_places_alone():
    values = tf.Variable(tf.ones((1, 4, 2)))
    with tf.GradientTape() as tape:
        found = places.predicted(tf.identity(values), tf.constant([[1, 1, 3]]))
        loss = tf.reduce_sum(found)
    gradient = tf.convert_to_tensor(tape.gradient(loss, values))
    np.testing.assert_array_equal(gradient[0, :, 0], [0, 2, 0, 1])


def test_it_works_in_a_graph_with_an_unknown_number_of_pictures():
    spec = [tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([None, 2, 4])]

    @tf.function(input_signature=spec)
    def dense(numbers, boxes):
        kept = places.owners(numbers, boxes, tf.ones_like(boxes[..., 0]))
        return places.spread(kept, numbers, 3)

    found = dense(tf.constant([[0, 0]]), tf.constant(_squares(1, 2)))
    np.testing.assert_array_equal(found, [[1, 0, 0]])
