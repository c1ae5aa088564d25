import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import synthetic
from tfdl.tasks.detection import landmarks

POINTS = np.array([[[10, 20], [30, 40]], [[5, 5], [50, 50]]], np.float32)
VISIBLE = np.array([[1, 1], [1, 0]], np.float32)


def wing(error, bend=10.0, curvature=2.0):
    """Return the paper's equation 5, case by case."""
    constant = bend - bend * math.log(1 + bend / curvature)
    if abs(error) < bend:
        return bend * math.log(1 + abs(error) / curvature)
    return abs(error) - constant


def test_the_loss_is_the_papers():
    predicted = POINTS + np.array(
        [[[1, -2], [9.9, 0]], [[-30, 10], [7, 7]]], np.float32
    )
    found = landmarks.loss(POINTS, VISIBLE, predicted)
    first = (wing(1) + wing(2) + wing(9.9) + wing(0)) / 2
    np.testing.assert_allclose(found, [first, wing(-30) + wing(10)], rtol=1e-5)


def test_the_loss_and_its_slope_where_the_two_parts_meet():
    predicted = tf.constant([[[9.999, 0.0]], [[10.001, 0.0]]])
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        loss = landmarks.loss(tf.zeros([2, 1, 2]), tf.ones([2, 1]), predicted)
    np.testing.assert_allclose(loss[0], loss[1], atol=2e-3)
    slopes = tape.gradient(loss, predicted)[:, 0, 0]
    np.testing.assert_allclose(slopes, [10 / 12, 1], rtol=1e-3)


def test_what_is_not_visible_does_not_count_whatever_it_is():
    predicted = tf.Variable(POINTS + 3)
    points = POINTS.copy()
    points[1, 1] = 1e30
    with tf.GradientTape() as tape:
        loss = landmarks.loss(points, VISIBLE, predicted)
    np.testing.assert_allclose(loss, [2 * wing(3)] * 2, rtol=1e-5)
    assert not np.any(tape.gradient(loss, predicted)[1, 1])


def test_a_picture_without_visible_points_has_no_loss_and_no_error():
    nothing = np.zeros_like(VISIBLE)
    predicted = tf.Variable(POINTS + 3)
    with tf.GradientTape() as tape:
        loss = landmarks.loss(POINTS, nothing, predicted)
    assert not np.any(loss)
    assert not np.any(tape.gradient(loss, predicted))
    boxes = np.array([[0, 0, 10, 10]] * 2, np.float32)
    error = landmarks.normalized_mean_error(POINTS, nothing, POINTS, boxes)
    assert np.isnan(error).all()


def test_the_error_is_the_mean_distance_in_sizes_of_the_object():
    predicted = POINTS + np.array([[[3, 4], [0, 0]], [[6, 8], [99, 99]]], np.float32)
    boxes = np.array([[0, 0, 20, 5], [10, 10, 60, 60]], np.float32)  # sizes 10 and 50
    found = landmarks.normalized_mean_error(POINTS, VISIBLE, predicted, boxes)
    np.testing.assert_allclose(found, [0.25, 0.2], rtol=1e-6)


def test_an_untrained_network_points_near_the_centre_in_x_and_y():
    network = landmarks.network((64, 96, 3), 4, width=0.125)
    images = np.random.default_rng(0).random((2, 64, 96, 3), np.float32)
    points = np.array(network(images, training=True))
    assert points.shape == (2, 4, 2)
    np.testing.assert_allclose(points, np.broadcast_to([48, 32], points.shape), atol=5)


def test_under_bfloat16_points_keep_their_digits():
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = landmarks.network((64, 64, 3), 2, width=0.125)
    assert network.output.dtype == "float32"


@pytest.mark.parametrize(
    ("shape", "points", "named"),
    [((64, 64, 3), 0, "`num_points`"), ((64, None, 3), 2, "`image_shape`")],
)
def test_impossible_networks_are_refused(shape, points, named):
    with pytest.raises(errors.UsageError, match=named):
        landmarks.network(shape, points, width=0.125)


def test_a_wing_without_width_is_refused():
    with pytest.raises(errors.UsageError, match="`bend` and `curvature`"):
        landmarks.loss(POINTS, VISIBLE, POINTS, bend=0)


def points_of(mask):
    """Return the centroid, and the leftmost, rightmost, highest and lowest pixel."""
    rows, columns = np.nonzero(mask)
    ends = [columns.argmin(), columns.argmax(), rows.argmin(), rows.argmax()]
    found = np.stack([columns, rows], -1) + 0.5
    return np.stack([found.mean(0), *found[ends]]).astype(np.float32)


@pytest.mark.slow
def test_eight_pictures_are_overfitted():
    rng, size, steps = np.random.default_rng(3), 96, 200
    drawn = [synthetic.draw(rng, image_size=size, max_objects=1) for _ in range(8)]
    images = np.stack([each["image"] for each in drawn]).astype(np.float32) / 255
    points = np.stack([points_of(each["masks"][0]) for each in drawn])
    visible = np.ones(points.shape[:2], np.float32)
    visible[:, 2] = rng.integers(0, 2, 8)
    keras.utils.set_random_seed(1)
    network = landmarks.network((size, size, 3), 5, width=0.125)
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.003, steps)),
        lambda truth, found: landmarks.loss(truth[..., :2], truth[..., 2], found),
    )
    truth = np.concatenate([points, visible[..., None]], -1)
    for _ in range(steps):
        network.train_on_batch(images, truth)
    boxes = np.stack([each["boxes"][0] for each in drawn])
    found = landmarks.normalized_mean_error(points, visible, network(images), boxes)
    assert np.max(found) < 0.02
