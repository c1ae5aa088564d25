import math
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


def import_keras_cv():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, at import
        return pytest.importorskip("keras_cv")


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
    keras_cv = import_keras_cv()
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


PAIRED = [boxes.giou, boxes.diou, boxes.ciou]


def slow_scores(box, other):
    """Compute GIoU, DIoU and CIoU of two boxes as the papers have them."""
    (left, top, right, bottom), (x_min, y_min, x_max, y_max) = box, other
    width = max(min(right, x_max) - max(left, x_min), 0)
    height = max(min(bottom, y_max) - max(top, y_min), 0)
    sides = (right - left, bottom - top), (x_max - x_min, y_max - y_min)
    union = math.prod(sides[0]) + math.prod(sides[1]) - width * height
    iou = width * height / union
    around = (
        max(right, x_max) - min(left, x_min),
        max(bottom, y_max) - min(top, y_min),
    )
    apart = (left + right - x_min - x_max) / 2, (top + bottom - y_min - y_max) / 2
    diou = iou - math.hypot(*apart) ** 2 / math.hypot(*around) ** 2
    angles = [math.atan(one[0] / one[1]) for one in sides]
    shape = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    ciou = diou - shape**2 / (1 - iou + shape)
    return iou - 1 + union / math.prod(around), diou, ciou


def test_paired_scores_of_boxes_that_share_a_quarter():
    # Shared 1 of 7; around both 3 x 3; the centres are (1, 1) apart.
    first, second = tf.constant([0.0, 0.0, 2.0, 2.0]), tf.constant([1.0, 1.0, 3.0, 3.0])
    assert boxes.giou(first, second).numpy() == pytest.approx(1 / 7 - 2 / 9)
    assert boxes.diou(first, second).numpy() == pytest.approx(1 / 7 - 2 / 18)
    assert boxes.ciou(first, second).numpy() == pytest.approx(1 / 7 - 2 / 18)


def test_paired_scores_equal_slow_ones():
    first, second = random_boxes(40), random_boxes(40, seed=1)
    expected = [slow_scores(*pair) for pair in zip(first, second, strict=True)]
    for score, column in zip(PAIRED, np.transpose(expected), strict=True):
        result = score(tf.constant(first), tf.constant(second))
        np.testing.assert_allclose(result, column, atol=1e-5)


def test_giou_equals_keras_cv():
    keras_cv = import_keras_cv()
    first, second = random_boxes(40), random_boxes(40, seed=1)
    loss = keras_cv.losses.GIoULoss("xyxy")  # the mean over one pair
    expected = [
        1 - float(loss.call(first[n : n + 1], second[n : n + 1])) for n in range(40)
    ]
    result = boxes.giou(tf.constant(first), tf.constant(second))
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_ciou_of_boxes_of_one_shape_equals_keras_cv():
    # Of other shapes it squares the factor 4 / pi^2, too.
    keras_cv = import_keras_cv()
    first = random_boxes(40)
    second = first * np.float32(1.3) + np.float32([5, -4, 5, -4])
    expected = keras_cv.bounding_box.compute_ciou(first, second, "xyxy")
    result = boxes.ciou(tf.constant(first), tf.constant(second))
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("score", PAIRED)
def test_a_paired_score_is_one_for_a_box_with_itself(score):
    original = tf.constant(random_boxes(10))
    np.testing.assert_allclose(score(original, original), np.ones(10), atol=1e-6)


@pytest.mark.parametrize("score", PAIRED)
def test_paired_scores_broadcast(score):
    first, second = tf.constant(random_boxes(4)), tf.constant(random_boxes(3, seed=1))
    result = score(first[:, None], second[None])
    assert result.shape == (4, 3)
    np.testing.assert_allclose(result[2, 1], score(first[2], second[1]), rtol=1e-6)
    assert score(tf.zeros([0, 4]), tf.zeros([0, 4])).shape == (0,)


@pytest.mark.parametrize("score", PAIRED)
def test_a_paired_score_pulls_distant_boxes_together(score):
    first = tf.Variable([[0.0, 0.0, 2.0, 3.0]])
    with tf.GradientTape() as tape:
        value = score(first, tf.constant([[10.0, 20.0, 14.0, 25.0]]))
    gradient = tape.gradient(value, first).numpy()[0]
    assert gradient[2] > 0
    assert gradient[3] > 0


@pytest.mark.parametrize("score", PAIRED)
def test_paired_scores_are_finite_without_area(score):
    first = tf.Variable(
        [
            [1.0, 1.0, 1.0, 1.0],  # a point, the other one, too
            [1.0, 1.0, 1.0, 1.0],  # a point
            [1.0, 1.0, 5.0, 1.0],  # a line
            [4.0, 4.0, 2.0, 2.0],  # crossed corners
            [0.0, 0.0, 1e-20, 1e-20],
        ]
    )
    second = [[1.0, 1.0, 1.0, 1.0]] + [[0.0, 0.0, 3.0, 3.0]] * 3 + [[0.0] * 4]
    with tf.GradientTape() as tape:
        value = score(first, tf.constant(second))
    assert np.isfinite(value).all()
    assert np.isfinite(tape.gradient(value, first)).all()


@pytest.mark.parametrize("score", [boxes.giou, boxes.diou])
def test_gradients_equal_finite_differences(score):
    first, second = random_boxes(6), tf.constant(random_boxes(6, seed=1))
    theirs, numbers = tf.test.compute_gradient(
        lambda moved: score(moved, second), [tf.constant(first)], delta=1e-2
    )
    np.testing.assert_allclose(theirs[0], numbers[0], atol=2e-3)


def test_the_shape_weight_of_ciou_is_a_constant_to_the_gradient():
    # Zheng 2020, equation 12: the shape's slope by the width of 4 x 2 against 2 x 4.
    box, other = [[0.0, 0.0, 4.0, 2.0]], tf.constant([[1.0, -1.0, 3.0, 3.0]])
    moved = tf.Variable(box)
    with tf.GradientTape(persistent=True) as tape:
        overlap = boxes.iou(moved, other)[0, 0]
        value = boxes.ciou(moved, other)[0]
        distance = boxes.diou(moved, other)[0]
    shape = 4 / math.pi**2 * (math.atan(2) - math.atan(1 / 2)) ** 2
    weight = shape / (1 - float(overlap) + shape)
    by_width = 8 / math.pi**2 * (math.atan(2) - math.atan(1 / 2)) * 2 / (4**2 + 2**2)
    both = tape.gradient(value, moved) - tape.gradient(distance, moved)
    assert both.numpy()[0, 2] == pytest.approx(-weight * by_width, rel=1e-4)


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
