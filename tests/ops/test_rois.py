"""RoIAlign by hand, against a slow loop, beyond the edges, and its gradient."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tfdl.ops import rois

STRIDE = 4


def picture(rows, columns, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, rows, columns, channels)).astype(np.float32)


def slope(rows, columns):
    """A plane over the centres of the cells: its height anywhere is known."""
    y, x = np.mgrid[:rows, :columns] + 0.5
    return np.float32(2 * STRIDE * y - 3 * STRIDE * x + 5)[None, ..., None]


def of_point(feature, y, x):
    """Interpolate one point, in cells, by the definition."""
    rows, columns = feature.shape[:2]
    if not (-1 <= y <= rows and -1 <= x <= columns):
        return np.zeros(feature.shape[-1])
    y, x = np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)
    total = np.zeros(feature.shape[-1])
    for row in range(rows):
        for column in range(columns):
            weight = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
            total += weight * feature[row, column]
    return total


def slow_align(feature, box, *, stride, size, samples):
    x_min, y_min, x_max, y_max = np.asarray(box, np.float64) / stride - 0.5
    answer = np.zeros((size, size, feature.shape[-1]))
    places = (np.arange(samples) + 0.5) / samples
    for row in range(size):
        for column in range(size):
            answer[row, column] = np.mean(
                [
                    of_point(
                        feature,
                        y_min + (row + down) * (y_max - y_min) / size,
                        x_min + (column + right) * (x_max - x_min) / size,
                    )
                    for down in places
                    for right in places
                ],
                axis=0,
            )
    return answer


def align(feature, boxes, **options):
    levels = np.zeros(np.shape(boxes)[:2], np.int32)
    return rois.align([feature], np.float32(boxes), levels, strides=[STRIDE], **options)


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_a_plane_is_read_exactly_at_the_middles_of_the_bins(samples):
    found = align(slope(8, 10), [[[6, 5, 30, 23]]], size=3, samples=samples)
    y, x = np.meshgrid(5 + 6 * (np.arange(3) + 0.5), 6 + 8 * (np.arange(3) + 0.5))
    np.testing.assert_allclose(found[0, 0, ..., 0], (2 * y - 3 * x + 5).T, atol=1e-4)


def test_any_box_is_read_as_by_the_definition():
    """Within the map, beyond each of its edges, around all of it, and nowhere near."""
    boxes = [
        [[3, 2, 21, 17], [-9, 2, 5, 9], [30, 20, 52, 47], [-8, -8, 60, 50]],
        [[0, 0, 40, 28], [10.5, 7.25, 11, 8], [100, 100, 140, 120], [5, 5, 6, 27]],
    ]
    feature = picture(7, 10)
    for size, samples in ((1, 1), (2, 3), (7, 2)):
        found = align(feature, boxes, size=size, samples=samples)
        expected = [
            [
                slow_align(each, box, stride=STRIDE, size=size, samples=samples)
                for box in some
            ]
            for each, some in zip(feature, boxes, strict=True)
        ]
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_no_box_gives_nothing_and_one_without_area_its_point():
    feature = picture(6, 6)
    assert align(feature, np.zeros((2, 0, 4)), size=7).shape == (2, 0, 7, 7, 3)
    found = align(feature, np.full((2, 1, 4), 10.0), size=2)
    expected = [of_point(each, 2.0, 2.0) for each in feature]
    np.testing.assert_allclose(found[:, 0, 0, 0], expected, atol=1e-6)
    assert np.ptp(np.asarray(found), axis=(2, 3)).max() == 0


def test_each_box_is_read_from_its_own_map():
    maps = [picture(16, 12), picture(8, 6, seed=1), picture(4, 3, seed=2)]
    boxes = np.float32([[[1, 2, 20, 30], [7, 3, 40, 31], [0, 0, 48, 64]]] * 2)
    levels = np.int32([[2, 0, 1], [1, 1, 0]])
    strides = [4, 8, 16]
    found = rois.align(maps, boxes, levels, strides=strides, size=3)
    for number, level in np.ndenumerate(levels):
        expected = slow_align(
            maps[level][number[0]],
            boxes[number],
            stride=strides[level],
            size=3,
            samples=2,
        )
        np.testing.assert_allclose(found[number], expected, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences():
    feature = picture(5, 4, channels=1).astype(np.float64)[:1]
    boxes = [[[1, 1, 14, 18], [-3, 6, 9, 30]]]
    weights = np.random.default_rng(3).normal(size=(1, 2, 2, 2, 1))

    def value(feature):
        found = align(feature, boxes, size=2)
        return ops.sum(ops.cast(found, "float64") * weights)

    variable = tf.Variable(feature)
    with tf.GradientTape() as tape:
        answer = value(variable.value())
    gradient = tf.convert_to_tensor(tape.gradient(answer, variable)).numpy()
    for place in np.ndindex(feature.shape):
        moved = [feature.copy() for _ in range(2)]
        moved[0][place] += 0.5
        moved[1][place] -= 0.5
        difference = float(value(moved[0]) - value(moved[1]))
        assert gradient[place] == pytest.approx(difference, abs=1e-5)


def test_sizes_may_be_unknown_until_pictures_come():
    feature, boxes = picture(6, 5), np.float32([[[2, 3, 17, 19]]] * 2)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, None, 3]),
            tf.TensorSpec([None, None, 4]),
        ]
    )
    def compiled(feature, boxes):
        levels = tf.zeros(tf.shape(boxes)[:2], tf.int32)
        return rois.align([feature], boxes, levels, strides=[STRIDE], size=3)

    np.testing.assert_allclose(
        compiled(feature, boxes), align(feature, boxes, size=3), atol=1e-6
    )


def test_the_levels_of_the_paper():
    """A side of 224 is read from p4; half of it from p3; none from the finest."""
    sides = np.float32([224, 223, 112, 111, 448, 5000, 1, 0])
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], axis=-1)
    levels = rois.pyramid_levels(boxes, num_levels=4)
    np.testing.assert_array_equal(levels, [2, 1, 1, 0, 3, 3, 0, 0])
