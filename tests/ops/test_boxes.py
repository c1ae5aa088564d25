import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.ops import boxes


def random_boxes(count, *, seed=0, size=50.0):
    corners = np.random.default_rng(seed).uniform(0, size, (count, 2, 2))
    low, high = corners.min(axis=1), corners.max(axis=1)
    return np.concatenate([low, high], axis=1).astype(np.float32)


def test_area_is_width_times_height():
    assert boxes.area(tf.constant([[1.0, 2.0, 4.0, 7.0]])).numpy() == [15]


def test_a_box_with_crossed_corners_has_no_area():
    assert boxes.area(tf.constant([[4.0, 7.0, 1.0, 2.0]])).numpy() == [0]


def test_iou_of_boxes_that_share_a_quarter():
    # Two squares of 4 that share one of 1: 1 / (4 + 4 - 1).
    first, second = [[0.0, 0.0, 2.0, 2.0]], [[1.0, 1.0, 3.0, 3.0]]
    result = boxes.iou(tf.constant(first), tf.constant(second))
    np.testing.assert_allclose(result, [[1 / 7]], rtol=1e-6)


def test_iou_of_disjoint_and_of_touching_boxes_is_zero():
    others = tf.constant([[5.0, 5.0, 6.0, 6.0], [2.0, 0.0, 4.0, 2.0]])
    result = boxes.iou(tf.constant([[0.0, 0.0, 2.0, 2.0]]), others)
    np.testing.assert_array_equal(result, [[0, 0]])


def test_iou_of_boxes_without_area_is_zero():
    empty = tf.zeros([2, 4])
    np.testing.assert_array_equal(boxes.iou(empty, empty), np.zeros([2, 2]))


def test_iou_equals_keras_cv():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, at import
        keras_cv = pytest.importorskip("keras_cv")
    first, second = random_boxes(40), random_boxes(30, seed=1)
    expected = keras_cv.bounding_box.compute_iou(first, second, "xyxy")
    result = boxes.iou(tf.constant(first), tf.constant(second))
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_intersection_equals_a_slow_one_in_batches():
    first = np.stack([random_boxes(5, seed=seed) for seed in (0, 1)])
    second = np.stack([random_boxes(7, seed=seed) for seed in (2, 3)])
    result = boxes.intersection(tf.constant(first), tf.constant(second))
    assert result.shape == (2, 5, 7)
    for batch, row, column in np.ndindex(2, 5, 7):
        (left, top, right, bottom) = first[batch, row]
        (x_min, y_min, x_max, y_max) = second[batch, column]
        width = max(min(right, x_max) - max(left, x_min), 0)
        height = max(min(bottom, y_max) - max(top, y_min), 0)
        np.testing.assert_allclose(
            result[batch, row, column], width * height, rtol=1e-5
        )


def test_iou_without_boxes_is_empty():
    assert boxes.iou(tf.zeros([0, 4]), tf.zeros([3, 4])).shape == (0, 3)


def test_iou_has_finite_gradients_even_without_area():
    first = tf.Variable([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
    second = tf.constant([[1.0, 1.0, 3.0, 3.0], [1.0, 1.0, 1.0, 1.0]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(boxes.iou(first, second))
    gradient = tape.gradient(total, first).numpy()
    assert np.isfinite(gradient).all()
    assert gradient[0, 2] > 0  # a wider box shares more


def test_clip_cuts_to_the_picture():
    outside = tf.constant([[-3.0, 2.0, 30.0, 9.0], [12.0, 1.0, 15.0, 3.0]])
    clipped = boxes.clip(outside, height=8, width=10)
    np.testing.assert_array_equal(clipped, [[0, 2, 10, 8], [10, 1, 10, 3]])


def test_flips_are_hand_computed():
    box = tf.constant([[1.0, 2.0, 4.0, 7.0]])
    np.testing.assert_array_equal(boxes.flip_horizontal(box, width=10), [[6, 2, 9, 7]])
    np.testing.assert_array_equal(boxes.flip_vertical(box, height=8), [[1, 1, 4, 6]])


def test_two_flips_give_the_box_back():
    original = random_boxes(10)
    flipped = boxes.flip_horizontal(tf.constant(original), width=50)
    flipped = boxes.flip_vertical(flipped, height=50)
    flipped = boxes.flip_horizontal(flipped, width=50)
    np.testing.assert_allclose(
        boxes.flip_vertical(flipped, height=50), original, atol=1e-5
    )


def test_scale_and_shift_is_hand_computed():
    moved = boxes.scale_and_shift(
        tf.constant([[1.0, 2.0, 4.0, 7.0]]),
        scale=tf.constant([2.0, 3.0]),
        shift=tf.constant([10.0, -1.0]),
    )
    np.testing.assert_array_equal(moved, [[12, 5, 18, 20]])


def test_affine_hull_encloses_the_four_moved_corners():
    original = random_boxes(20)
    matrix = np.float32([[0.8, -0.6, 3], [0.5, 0.9, -2]])
    result = boxes.affine_hull(tf.constant(original), tf.constant(matrix))
    corners = original[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]  # (boxes, corners, xy)
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    expected = np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
    np.testing.assert_allclose(result, expected, atol=1e-4)


def test_affine_hull_of_no_boxes_is_empty():
    assert boxes.affine_hull(tf.zeros([0, 4]), tf.eye(2, 3)).shape == (0, 4)


def test_from_masks_finds_tight_boxes_and_zeros_for_an_empty_mask():
    masks = np.zeros([3, 6, 9], np.uint8)
    masks[0, 2:5, 3:4] = 1
    masks[1, 0, 0] = masks[1, 5, 8] = 255
    expected = [[3, 2, 4, 5], [0, 0, 9, 6], [0, 0, 0, 0]]
    np.testing.assert_array_equal(boxes.from_masks(tf.constant(masks)), expected)


def test_from_masks_without_masks_is_empty():
    assert boxes.from_masks(tf.zeros([0, 4, 5], tf.uint8)).shape == (0, 4)


def test_from_masks_works_where_the_graph_knows_no_shape():
    signature = [tf.TensorSpec([None, None, None], tf.uint8)]
    traced = tf.function(boxes.from_masks, input_signature=signature)
    np.testing.assert_array_equal(traced(tf.ones([1, 2, 3], tf.uint8)), [[0, 0, 3, 2]])


def test_conversions_are_hand_computed():
    box = tf.constant([[1.0, 2.0, 4.0, 8.0]])
    np.testing.assert_array_equal(boxes.to_xywh(box), [[1, 2, 3, 6]])
    np.testing.assert_array_equal(boxes.to_cxcywh(box), [[2.5, 5, 3, 6]])


@pytest.mark.parametrize(
    ("there", "back"),
    [
        (boxes.to_xywh, boxes.from_xywh),
        (boxes.to_cxcywh, boxes.from_cxcywh),
    ],
)
def test_conversions_are_inverse_to_each_other(there, back):
    original = random_boxes(10)
    np.testing.assert_allclose(back(there(tf.constant(original))), original, atol=1e-5)


def test_boxes_follow_inside_a_keras_model():
    inputs = keras.Input([None, 4])
    model = keras.Model(inputs, boxes.to_cxcywh(boxes.clip(inputs, height=8, width=9)))
    np.testing.assert_array_equal(
        model(tf.constant([[[-2.0, 0.0, 4.0, 20.0]]])), [[[2, 4, 4, 8]]]
    )
