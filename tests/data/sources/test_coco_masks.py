import json

import numpy as np
import pytest
from pycocotools import mask as oracle

from tfdl.data.sources import coco_masks


def by_the_coco_api(outline, size):
    height, width = size
    if not outline:
        return np.zeros(size, bool)
    if isinstance(outline, dict) and isinstance(outline["counts"], str):
        return oracle.decode(outline).astype(bool)
    runs = oracle.frPyObjects(outline, height, width)
    return oracle.decode(oracle.merge(runs) if isinstance(runs, list) else runs) == 1


def test_a_rectangle_on_whole_pixels_is_their_slice():
    """By hand: corners (1, 2) and (4, 6) are columns 1 to 3 and rows 2 to 5."""
    filled = coco_masks.mask([[1, 2, 4, 2, 4, 6, 1, 6]], (8, 9))
    expected = np.zeros((8, 9), bool)
    expected[2:6, 1:4] = True
    np.testing.assert_array_equal(filled, expected)


def test_runs_go_down_the_columns():
    """By hand: 2 outside, 3 inside, 1 outside of a picture of 3 x 2."""
    expected = [[False, True], [False, True], [True, False]]
    for counts in ([2, 3, 1], "231"):
        outline = {"size": [3, 2], "counts": counts}
        np.testing.assert_array_equal(coco_masks.mask(outline, (3, 2)), expected)
        np.testing.assert_array_equal(by_the_coco_api(outline, (3, 2)), expected)


@pytest.mark.parametrize("kind", ["fractions", "whole", "degenerate", "far"])
def test_random_polygons_are_filled_to_the_pixel_as_by_the_coco_api(kind):
    rng = np.random.default_rng(len(kind))
    for _ in range(1000):
        size = tuple(rng.integers(1, 40, 2).tolist())
        points = rng.uniform(-10, 50, (rng.integers(3, 9), 2))
        if kind == "far":
            points *= 4
        if kind == "whole":
            points = points.round()
        if kind == "degenerate":  # corners that coincide, edges along an axis
            points[1], points[2, 0] = points[0], points[0, 0]
        outline = [points.ravel().tolist()]
        filled = coco_masks.mask(outline, size)
        np.testing.assert_array_equal(filled, by_the_coco_api(outline, size))


def test_several_polygons_are_one_object_and_may_leave_a_gap():
    around = [
        [0, 0, 9, 0, 9, 3, 0, 3],
        [0, 6, 9, 6, 9, 9, 0, 9],
        [0, 3, 3, 3, 3, 6, 0, 6],
        [6, 2, 9, 2, 9, 7, 6, 7],
    ]
    filled = coco_masks.mask(around, (9, 9))
    assert not filled[3:6, 3:6].any()
    assert filled.sum() == 81 - 9
    np.testing.assert_array_equal(filled, by_the_coco_api(around, (9, 9)))


def test_an_empty_outline_is_nowhere():
    assert not coco_masks.mask([], (3, 4)).any()
    assert not coco_masks.mask([[50, 50, 60, 50, 60, 60]], (9, 9)).any()


def test_every_real_object_is_filled_as_by_the_coco_api(real_data):
    count = 0
    for split in ("train2017", "val2017"):
        file = real_data / "coco_mini" / "annotations" / f"instances_{split}.json"
        content = json.loads(file.read_text())
        sizes = {i["id"]: (i["height"], i["width"]) for i in content["images"]}
        for row in content["annotations"]:
            outline, size = row["segmentation"], sizes[row["image_id"]]
            expected = by_the_coco_api(outline, size)
            np.testing.assert_array_equal(coco_masks.mask(outline, size), expected)
            if isinstance(outline, dict):  # crowds, in their packed form too
                packed = oracle.frPyObjects(outline, *size)["counts"].decode()
                filled = coco_masks.mask(outline | {"counts": packed}, size)
                np.testing.assert_array_equal(filled, expected)
            count += 1
    assert count == 911


def paint(masks, classes, is_crowd=None):
    is_crowd = [False] * len(masks) if is_crowd is None else is_crowd
    return coco_masks.paint(masks, classes, is_crowd=is_crowd, size=(4, 6)).tolist()


def test_small_objects_are_seen_on_large_ones_and_crowds_are_below():
    table, cup, crowd = np.zeros((3, 4, 6), bool)
    table[1:4], cup[1:3, 1:3], crowd[:2, :4] = True, True, True
    expected = [[9, 9, 9, 9, 0, 0], [5, 3, 3, 5, 5, 5], [5, 3, 3, 5, 5, 5], [5] * 6]
    flags = [False, True, False]
    assert paint([table, crowd, cup], [5, 9, 3], flags) == expected
    assert paint([cup, table, crowd], [3, 5, 9], [False, False, True]) == expected


def test_of_equal_objects_the_last_is_seen():
    whole = np.ones((4, 6), bool)
    assert paint([whole, whole, whole], [7, 8, 2]) == [[2] * 6] * 4


def test_nothing_is_all_background():
    assert paint([], []) == [[0] * 6] * 4
