import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from skimage import measure

from tfdl.tasks.segmentation import regions


def assert_same_partition(found, expected):
    """Assert that two maps tell the same pixels apart, whatever the numbers."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found == 0, expected == 0)
    pairs = {(int(a), int(b)) for a, b in zip(found.flat, expected.flat, strict=True)}
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


def spiral(size):
    """A path of one pixel that winds to the middle, a pixel from itself."""
    plane, position = np.zeros((size, size), int), np.array([0, -1])
    steps = itertools.cycle(np.array([(0, 1), (1, 0), (0, -1), (-1, 0)]))
    lengths = [size, *(length for length in range(size - 1, 0, -2) for _ in (0, 1))]
    for length, step in zip(lengths, steps, strict=False):
        for _ in range(length):
            position = position + step
            plane[tuple(position)] = 1
    return plane


def test_regions_are_told_apart_by_hand():
    labels = np.array(
        [
            [1, 1, 0, 2],
            [0, 1, 2, 2],
            [1, 0, 2, 1],  # the first and the last hang on corners and other classes
        ]
    )
    expected = [[1, 1, 0, 2], [0, 1, 2, 2], [3, 0, 2, 4]]
    assert_same_partition(regions.connected(labels), expected)


@pytest.mark.parametrize("density", [0.3, 0.5, 0.6, 0.75, 1.0])
def test_regions_equal_scipy(density):
    rng = np.random.default_rng(0)
    labels = (rng.uniform(size=(61, 47)) < density).astype(np.uint8)
    assert_same_partition(regions.connected(labels), ndimage.label(labels)[0])


def test_regions_of_classes_equal_scikit_image():
    labels = np.random.default_rng(1).integers(0, 3, (40, 53))
    expected = measure.label(labels, background=0, connectivity=1)
    assert_same_partition(regions.connected(labels), expected)


@pytest.mark.parametrize("size", [5, 33, 128])
def test_a_winding_region_is_one(size):
    labels = spiral(size)
    assert 0.5 < labels.mean() < 0.7
    # Nearly every pixel has two neighbours: it is a path.
    cross = [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    neighbours = ndimage.convolve(labels, cross, mode="constant")
    assert np.sum(neighbours[labels > 0] != 2) == 2
    assert ndimage.label(labels)[1] == 1
    assert_same_partition(regions.connected(labels), labels)
    assert_same_partition(regions.connected(labels.T[::-1]), labels.T[::-1])


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (0, 4), (4, 0)])
@pytest.mark.parametrize("value", [0, 1])
def test_small_and_empty_maps(shape, value):
    labels = np.full(shape, value)
    assert_same_partition(regions.connected(labels), labels)


def test_regions_are_found_in_tf_data():
    labels = np.random.default_rng(2).integers(0, 2, (3, 20, 20)).astype(np.uint8)
    found = tf.data.Dataset.from_tensor_slices(labels).map(regions.connected)
    for own, expected in zip(found, labels, strict=True):
        assert own.dtype == tf.int32
        assert_same_partition(own, ndimage.label(expected)[0])


def test_maps_of_unknown_size_share_a_graph():
    graph = tf.function(
        regions.connected, input_signature=[tf.TensorSpec([None, None], tf.uint8)]
    )
    for shape in ((7, 9), (30, 4)):
        labels = np.random.default_rng(3).integers(0, 2, shape).astype(np.uint8)
        assert_same_partition(graph(labels), ndimage.label(labels)[0])
