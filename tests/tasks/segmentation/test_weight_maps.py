import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tfdl import errors
from tfdl.tasks.segmentation import weight_maps


def draw_cells(*, seed=0, shape=(61, 83), num_cells=40):
    """Discs of one to seven pixels that do not touch, numbered from 1."""
    rng = np.random.default_rng(seed)
    cells = np.zeros(shape, np.int32)
    rows, columns = np.indices(shape)
    for number in range(1, num_cells + 1):
        centre, radius = rng.uniform(0, shape), rng.uniform(0.5, 3.5)
        distance = np.hypot(rows - centre[0], columns - centre[1])
        if not cells[distance < radius + 2].any():
            cells[distance < radius] = number
    return cells


def distance_oracle(cells):
    """The two least of scipy's distances to every cell."""
    numbers = np.unique(cells[cells > 0])
    distances = [ndimage.distance_transform_edt(cells != number) for number in numbers]
    nowhere = [np.full(cells.shape, np.inf)] * 2
    return np.sort(np.stack(distances + nowhere), axis=0)[:2]


def border_oracle(cells, *, border_weight, sigma):
    first, second = distance_oracle(cells)
    weights = border_weight * np.exp(-((first + second) ** 2) / (2 * sigma**2))
    return np.where(cells == 0, weights, 0)


def two_cells(gap):
    """A row of two cells of three pixels, so many pixels apart."""
    return np.array([[1] * 3 + [0] * gap + [1] * 3], np.uint8)


def nearest_two(cells, *, reach):
    places = np.argwhere(np.ones(cells.shape))
    return [
        np.reshape(distances, cells.shape)
        for distances in weight_maps.nearest_two(cells, places, reach=reach)
    ]


def test_the_weights_of_a_gap_are_hand_computed():
    weights = weight_maps.unet(two_cells(3), class_weights=[2.0, 0.5])
    # In a gap of three pixels the distances are 1 and 3, 2 and 2, 3 and 1: 4 in all.
    inside = 2 + 10 * np.exp(-16 / 50)
    expected = [[0.5] * 3 + [inside] * 3 + [0.5] * 3]
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_the_narrower_a_gap_the_more_it_counts():
    middles = [
        weight_maps.unet(two_cells(gap), class_weights=[0, 0])[0, 3 + gap // 2].numpy()
        for gap in (1, 3, 5, 9, 15)
    ]
    assert (np.diff(middles) < 0).all()
    assert middles[0] == pytest.approx(10 * np.exp(-4 / 50), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_distances_equal_scipy(seed):
    cells = draw_cells(seed=seed)
    assert len(np.unique(cells)) > 15
    for found, expected in zip(
        nearest_two(cells, reach=90), distance_oracle(cells), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_distances_are_exact_up_to_the_reach():
    cells = draw_cells(seed=4, num_cells=8)
    for found, expected in zip(
        nearest_two(cells, reach=12), distance_oracle(cells), strict=True
    ):
        is_near = expected <= 12
        assert 0.1 < is_near.mean() < 0.9
        np.testing.assert_allclose(found[is_near], expected[is_near], rtol=1e-6)
        assert (found[~is_near] > 12).all()


@pytest.mark.parametrize("sigma", [2.0, 5.0])
def test_borders_equal_scipy(sigma):
    cells = draw_cells(seed=5)
    expected = border_oracle(cells, border_weight=7.0, sigma=sigma)
    found = weight_maps.borders(cells, border_weight=7.0, sigma=sigma)
    assert expected.max() > 0.5
    np.testing.assert_allclose(found, expected, atol=7 * 4e-6)
    assert found.dtype == tf.float32


def test_cells_are_regions_and_what_is_ignored_weighs_nothing():
    labels = np.zeros((24, 24), np.uint8)
    labels[2:8, 2:8] = labels[2:8, 10:16] = 1
    labels[10:16, 2:8] = 2
    labels[18:, :] = 255
    weights = weight_maps.unet(labels, class_weights=[1, 2, 3]).numpy()
    numbered = ndimage.label(labels == 1)[0] + 3 * (labels == 2)
    expected = border_oracle(numbered, border_weight=10, sigma=5)
    expected += np.array([1, 2, 3, *[0] * 253])[labels]
    np.testing.assert_allclose(weights[:18], expected[:18], atol=1e-4)
    np.testing.assert_array_equal(weights[18:], 0)


@pytest.mark.parametrize("num_cells", [0, 1])
def test_without_two_cells_there_is_no_border(num_cells):
    labels = np.zeros((9, 9), np.uint8)
    labels[3:5, 3:5] = num_cells
    weights = weight_maps.unet(labels, class_weights=[1, 4])
    np.testing.assert_array_equal(weights, np.where(labels, 4, 1))


def test_a_map_of_nothing_but_ignored_weighs_nothing():
    labels = np.full((5, 7), 255, np.uint8)
    weights = weight_maps.unet(labels, class_weights=[1, 4])
    np.testing.assert_array_equal(weights, np.zeros((5, 7)))


def test_weights_are_drawn_in_tf_data():
    maps = [(draw_cells(seed=seed) > 0).astype(np.uint8) for seed in (6, 7)]

    def weigh(labels):
        return weight_maps.unet(labels, class_weights=tf.constant([1.0, 2.0]))

    drawn = tf.data.Dataset.from_tensor_slices(maps).map(
        weigh, num_parallel_calls=2, deterministic=True
    )
    assert drawn.element_spec.shape == maps[0].shape
    for found, labels in zip(drawn, maps, strict=True):
        np.testing.assert_array_equal(found, weigh(labels))


def test_maps_of_unknown_size_share_a_graph():
    graph = tf.function(
        lambda labels: weight_maps.unet(labels, class_weights=[1.0, 2.0]),
        input_signature=[tf.TensorSpec([None, None], tf.uint8)],
    )
    for shape in ((17, 31), (40, 12)):
        labels = (draw_cells(shape=shape) > 0).astype(np.uint8)
        found = graph(labels)
        assert found.shape == shape
        cells = ndimage.label(labels)[0]
        expected = 1 + labels + border_oracle(cells, border_weight=10, sigma=5)
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("sigma", [0, -1.0])
def test_a_border_without_width_is_refused(sigma):
    with pytest.raises(errors.UsageError, match="`sigma` must be positive"):
        weight_maps.borders(np.zeros((3, 3), np.int32), sigma=sigma)
