"""Anchors against numbers of the papers and their released models, and keras-cv."""

import warnings

import numpy as np
import pytest

from tfdl.ops import anchors


def import_keras_cv():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras_cv")


def sizes(boxes):
    return boxes[:, 2:] - boxes[:, :2]


def test_centres_are_ordered_row_by_row():
    expected = [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12]]
    np.testing.assert_array_equal(anchors.grid((2, 3), 8), expected)
    assert anchors.grid((2, 3), 8).dtype == np.float32


def test_cells_need_not_be_square():
    np.testing.assert_array_equal(anchors.grid((1, 2), (10, 4)), [[2, 5], [6, 5]])


def test_shapes_of_a_cell_follow_each_other():
    boxes = anchors.over_grid((1, 2), 10, shapes=[(2, 4), (6, 6)])
    expected = [[4, 3, 6, 7], [2, 2, 8, 8], [14, 3, 16, 7], [12, 2, 18, 8]]
    np.testing.assert_array_equal(boxes, expected)


def test_shapes_of_ssd_by_hand():
    """Caffe's PriorBox with min_size 30, max_size 60 and aspect ratio 2."""
    expected = [(30, 30), (42.426, 42.426), (42.426, 21.213), (21.213, 42.426)]
    found = anchors.ssd_shapes(30, 60, ratios=(2,))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_six_boxes_of_ssd_have_the_ratios_of_the_paper():
    widths, heights = np.transpose(anchors.ssd_shapes(60, 111, ratios=(2, 3)))
    np.testing.assert_allclose(widths / heights, [1, 1, 2, 0.5, 3, 1 / 3])
    np.testing.assert_allclose((widths * heights)[[0, 2, 3, 4, 5]], 3600)


@pytest.mark.parametrize(
    ("image_size", "count"),
    [((640, 640), 76725), ((64, 96), 9 * (96 + 24 + 6 + 2 + 1))],
)
def test_number_of_retinanet_anchors(image_size, count):
    assert anchors.retinanet(image_size).shape == (count, 4)


def test_first_and_last_anchors_of_retinanet_by_hand():
    boxes = anchors.retinanet((640, 640))
    root = 2**0.5  # 32 pixels of area squared, twice as wide as high
    expected = [4 - 16 * root, 4 - 8 * root, 4 + 16 * root, 4 + 8 * root]
    np.testing.assert_allclose(boxes[0], expected, rtol=1e-6)
    largest = 512 * 2 ** (2 / 3)
    expected = [largest / root, largest * root]
    np.testing.assert_allclose(sizes(boxes)[-1], expected, rtol=1e-6)


def test_retinanet_anchors_equal_keras_cv():
    """Their ratio is width / height, and they round sizes of maps up as we do."""
    keras_cv = import_keras_cv()
    levels = range(3, 8)
    generator = keras_cv.layers.AnchorGenerator(
        bounding_box_format="xyxy",
        sizes={f"P{level}": 4.0 * 2**level for level in levels},
        strides={f"P{level}": 2**level for level in levels},
        scales=list(anchors.RETINANET_SCALES),
        aspect_ratios=list(anchors.RETINANET_RATIOS),
    )
    theirs = np.concatenate(
        [np.asarray(boxes) for boxes in generator(image_shape=(128, 256, 3)).values()]
    )
    ours = anchors.retinanet((128, 256))
    assert ours.shape == theirs.shape
    order = [np.lexsort(np.round(boxes, 2).T) for boxes in (ours, theirs)]
    np.testing.assert_allclose(ours[order[0]], theirs[order[1]], atol=1e-3)
