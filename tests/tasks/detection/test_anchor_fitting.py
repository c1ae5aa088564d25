"""Anchors fitted to a data set: k-means over shapes."""

import numpy as np
import pytest

from tfdl import errors
from tfdl.ops import boxes
from tfdl.tasks.detection import anchor_fitting

CLUSTERS = np.float32([[10, 12], [40, 20], [90, 150]])


def _sizes(seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([c * rng.uniform(0.9, 1.1, (50, 2)) for c in CLUSTERS])


def _mean_iou(sizes, anchors):
    return anchor_fitting.shape_iou(sizes, anchors).max(axis=1).mean()


def test_two_shapes_share_half():
    """4 x 2 and 2 x 4 share 4 of 12."""
    found = anchor_fitting.shape_iou(np.array([[4, 2]]), np.array([[2, 4], [4, 1]]))
    np.testing.assert_allclose(found, [[1 / 3, 1 / 2]])


def test_shape_iou_is_that_of_boxes_with_a_common_corner():
    rng = np.random.default_rng(1)
    sizes, others = rng.uniform(1, 9, (2, 30, 2)).astype(np.float32)
    cornered = [np.concatenate([0 * some, some], axis=1) for some in (sizes, others)]
    found = anchor_fitting.shape_iou(sizes, others)
    np.testing.assert_allclose(found, boxes.iou(*cornered), rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_means_of_clusters_are_found_in_the_order_of_areas(seed):
    sizes = np.random.default_rng(seed).permutation(_sizes())
    found = anchor_fitting.fit_anchors(sizes, 3, seed)
    means = _sizes().reshape(3, 50, 2).mean(axis=1)
    np.testing.assert_allclose(found, means, rtol=1e-5)
    assert found.dtype == np.float32


def test_the_same_seed_gives_the_same_anchors():
    first, again = (anchor_fitting.fit_anchors(_sizes(), 7, 3) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_more_anchors_resemble_the_data_better():
    sizes = np.random.default_rng(2).uniform(5, 200, (400, 2))
    fits = [
        _mean_iou(sizes, anchor_fitting.fit_anchors(sizes, k, 0)) for k in (1, 3, 9)
    ]
    assert fits == sorted(fits)
    assert fits[-1] > 0.65
    random = sizes[np.random.default_rng(0).choice(400, 9)]
    assert fits[-1] > _mean_iou(sizes, random)


def test_as_many_anchors_as_sizes_are_the_sizes():
    found = anchor_fitting.fit_anchors(CLUSTERS.repeat(4, axis=0), 3, 0)
    np.testing.assert_array_equal(found, CLUSTERS)


@pytest.mark.parametrize("sizes", [np.zeros((0, 2)), [[3, 4]] * 5, [[1, 2], [0, 3]]])
def test_sizes_without_as_many_shapes_are_refused(sizes):
    with pytest.raises(errors.DataError):
        anchor_fitting.fit_anchors(np.array(sizes), 2, 0)
