import re

import numpy as np
import pytest

from tfdl.data.sources import box_faults

SIZE = (40, 60)  # height, width


def find(box, *, label=0, area=1.0):
    boxes = np.array([[1, 1, 2, 2], box, [0, 0, 60, 40]], np.float64)
    labels = np.array([0, label, 1], np.int32)
    return box_faults.find(boxes, labels, np.array([1, area, 2400]), size=SIZE)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((5, 5, 5, 9), "0 x 4 pixels has no area"),
        ((5, 9, 9, 5), "4 x -4 pixels has no area"),
        ((5, 5, np.nan, 9), "not of finite numbers"),
        ((-np.inf, 5, 7, 9), "not of finite numbers"),
        ((5, 5, 61.5, 9), r"box \(5, 5, 61.5, 9\) is not within .* 60 x 40 pixels"),
        ((5, -1.01, 7, 9), "not within"),
        ((60.2, 5, 60.8, 9), "not within"),
        ((7, 5, 7 + 1e-9, 9), "not within"),
    ],
)
def test_a_faulty_box_is_found_among_sound_ones(box, words):
    [(index, reason)] = find(box).items()
    assert index == 1
    assert re.search(words, reason), reason


@pytest.mark.parametrize(
    "box", [(0, 0, 60, 40), (-1, -1, 61, 41), (59.5, 39.5, 60, 40), (3, 4, 3.01, 4.01)]
)
def test_a_pixel_outside_is_forgiven(box):
    assert not find(box)


def test_labels_and_areas_are_looked_at():
    assert find((1, 1, 5, 5), label=-1) == {1: "its class is unknown"}
    assert "not of finite" in find((1, 1, 5, 5), area=np.nan)[1]
    assert "negative" in find((1, 1, 5, 5), area=-2)[1]


def test_clipping_by_hand():
    boxes = np.array([[-0.5, 3, 60.5, 40.25], [61, 0, 62, 5]], np.float64)
    clipped = box_faults.clip(boxes, SIZE)
    assert clipped.dtype == np.float32
    assert clipped.tolist() == [[0, 3, 60, 40], [60, 0, 60, 5]]


def test_no_boxes_have_no_faults():
    empty = np.zeros(0)
    boxes = empty.reshape(0, 4)
    assert box_faults.find(boxes, empty, empty, size=SIZE) == {}
    assert box_faults.clip(boxes, SIZE).shape == (0, 4)


def test_random_boxes_agree_with_plain_comparisons():
    rng = np.random.default_rng(0)
    corners = rng.uniform(-3, 63, (500, 4))
    found = box_faults.find(corners, np.zeros(500), np.ones(500), size=SIZE)
    for index, (left, top, right, bottom) in enumerate(corners):
        is_inside = min(left, top) >= -1 and right <= 61 and bottom <= 41
        is_box = max(left, 0) < min(right, 60) and max(top, 0) < min(bottom, 40)
        assert (index not in found) == (is_inside and is_box)


def test_sizes_are_written_width_first():
    assert box_faults.text(SIZE) == "60 x 40 pixels"
