"""YOLOv3's candidates: their number and order, boxes read and written, places."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.ops import boxes
from tfdl.tasks.detection import yolov3_grid

GRID = yolov3_grid.grid((416, 416, 3))
OBLONG = yolov3_grid.grid((64, 96, 3))


def _sigmoid(x):
    return 1 / (1 + math.exp(-x))


def _all_candidates(grid):
    """List (stride, column, row, width, height) of each, in nested loops."""
    for level, stride in enumerate((8, 16, 32)):
        for row in range(grid.size[0] // stride):
            for column in range(grid.size[1] // stride):
                for width, height in grid.shapes[3 * level : 3 * level + 3]:
                    yield stride, column, row, width, height


def test_416_pixels_have_10647_candidates():
    assert GRID.num_candidates == 10647 == 3 * (52**2 + 26**2 + 13**2)


def test_published_anchors_grow_with_the_picture():
    shapes = yolov3_grid.grid((832, 832, 3)).shapes
    np.testing.assert_allclose(shapes, 2 * np.array(yolov3_grid.PUBLISHED_ANCHORS))


def test_given_anchors_are_sorted_by_area():
    given = [(20 * side, side) for side in (9, 1, 8, 2, 7, 3, 6, 4, 5)]
    shapes = yolov3_grid.grid((416, 416, 3), given).shapes
    assert [height for _, height in shapes] == list(range(1, 10))


def test_a_box_is_read_as_by_hand():
    """Candidate 1 of cell (3, 2) at stride 32, with t = (0, ln 3, ln 2, -ln 2)."""
    number = 3 * (52**2 + 26**2) + 3 * (2 * 13 + 3) + 1
    raw = np.zeros((1, 10647, 4), np.float32)
    raw[0, number] = [0, math.log(3), math.log(2), -math.log(2)]
    found = GRID.boxes(tf.constant(raw))[0, number]
    x, y, width, height = 3.5 * 32, 2.75 * 32, 2 * 156, 198 / 2
    expected = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_all_boxes_are_read_as_nested_loops_do():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(2, OBLONG.num_candidates, 4)).astype(np.float32)
    found = boxes.to_cxcywh(OBLONG.boxes(tf.constant(raw))).numpy()
    for picture in range(2):
        candidates = _all_candidates(OBLONG)
        for number, (stride, column, row, width, height) in enumerate(candidates):
            own = raw[picture, number]
            expected = [
                (_sigmoid(own[0]) + column) * stride,
                (_sigmoid(own[1]) + row) * stride,
                math.exp(own[2]) * width,
                math.exp(own[3]) * height,
            ]
            np.testing.assert_allclose(found[picture, number], expected, rtol=1e-3)


def test_nothing_is_read_as_the_anchors():
    found = GRID.boxes(tf.zeros((1, 10647, 4)))[0]
    np.testing.assert_allclose(found, GRID.anchors, atol=1e-3)


def test_boxes_of_any_numbers_are_finite():
    for number in (-1e6, 1e6):
        found = GRID.boxes(tf.fill((1, 10647, 4), number))
        assert np.isfinite(found).all()


def test_an_object_belongs_to_the_anchor_of_its_shape_and_to_its_cell():
    """A 60 x 119 box is anchor 5, the last of stride 16; centre (100, 200)."""
    box = tf.constant([[[70, 140.5, 130, 259.5]]], tf.float32)
    expected = 3 * 52**2 + 3 * (12 * 26 + 6) + 2
    assert GRID.places(box)[0, 0] == expected


def test_an_anchor_at_its_cell_has_its_own_place():
    found = OBLONG.places(tf.constant(OBLONG.anchors[None]))
    np.testing.assert_array_equal(found[0], np.arange(OBLONG.num_candidates))


def test_places_of_centres_outside_the_picture_are_at_its_border():
    outside = tf.constant([[[-40, -40, -20, -20], [96, 64, 106, 74]]], tf.float32)
    found = OBLONG.places(outside)[0]
    candidates = list(_all_candidates(OBLONG))
    assert candidates[found[0]][1:3] == (0, 0)
    stride, column, row, *_ = candidates[found[1]]
    assert ((column + 1) * stride, (row + 1) * stride) == (96, 64)


def test_offsets_are_read_back_as_the_boxes():
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 300, (2, 50, 2))
    drawn = np.concatenate([low, low + rng.uniform(2, 110, (2, 50, 2))], axis=-1)
    drawn = tf.constant(drawn, tf.float32)
    places = GRID.places(drawn)
    offsets = GRID.offsets(drawn, places).numpy()
    assert (offsets[..., :2] >= 0).all()
    assert (offsets[..., :2] <= 1).all()
    within = np.clip(offsets[..., :2], 1e-6, 1 - 1e-6)
    raw = np.zeros((2, 10647, 4), np.float32)
    written = np.concatenate([np.log(within / (1 - within)), offsets[..., 2:]], axis=-1)
    for picture in range(2):
        for number in range(50):
            raw[picture, places[picture, number]] = written[picture, number]
            found = GRID.boxes(tf.constant(raw[picture][None]))[0]
            found = found[places[picture, number]]
            np.testing.assert_allclose(found, drawn[picture, number], atol=1e-2)


def test_boxes_without_area_have_finite_offsets():
    empty = tf.zeros((1, 1, 4))
    assert np.isfinite(GRID.offsets(empty, GRID.places(empty))).all()


@pytest.mark.parametrize("shape", [(400, 416, 3), (None, 416, 3), (0, 32, 3)])
def test_sides_that_are_no_multiples_of_32_are_refused(shape):
    with pytest.raises(errors.UsageError, match="--image-size"):
        yolov3_grid.grid(shape)


@pytest.mark.parametrize("anchors", [[(1, 1)] * 8, [(1, 1)] * 8 + [(0, 3)], []])
def test_anchors_other_than_nine_are_refused(anchors):
    with pytest.raises(errors.UsageError, match="anchors"):
        yolov3_grid.grid((416, 416, 3), anchors)
