import numpy as np
import pytest

from tfdl.drawing import filters, pictures

GREY = (128, 128, 128)


@pytest.fixture
def tiles(monkeypatch):
    """Catch what is laid out: the tiles and their titles."""
    caught = {}
    grid = pictures.grid

    def caught_grid(images, *, titles, columns):
        caught.update(images=images, titles=titles, columns=columns)
        return grid(images, titles=titles, columns=columns)

    monkeypatch.setattr(filters.pictures, "grid", caught_grid)
    return caught


def test_weights_are_drawn_around_grey_by_their_own_largest():
    """Of 0.2, 0 and -0.1: white, grey and a quarter."""
    kernel = np.array([0.2, 0.0, -0.1]).reshape(1, 3, 1, 1)
    kernel = np.concatenate([kernel, 1000 * kernel], axis=3)
    drawn = filters.filters(kernel, heading="two filters")
    levels = {tuple(colour) for colour in drawn.reshape(-1, 3).tolist()}
    assert {(255, 255, 255), GREY, (64, 64, 64)} <= levels


def test_filters_over_three_channels_are_in_colour():
    kernel = np.zeros((3, 3, 3, 2), np.float32)
    kernel[..., 0, 1] = 1  # red alone is positive, the others are 0
    drawn = filters.filters(kernel, heading="colours")
    assert drawn.dtype == np.uint8
    assert (drawn == (255, 128, 128)).all(-1).any()
    assert (drawn == GREY).all(-1).any()


@pytest.mark.parametrize("channels", [1, 2, 16])
def test_filters_over_other_channels_are_their_mean(tiles, channels):
    kernel = np.random.default_rng(0).normal(size=(5, 5, channels, 4))
    filters.filters(kernel, heading="grey")
    expected = kernel.mean(axis=2)
    for number, tile in enumerate(tiles["images"]):
        found = np.corrcoef(tile.ravel(), expected[..., number].ravel())[0, 1]
        assert found == pytest.approx(1)
        assert 0 <= tile.min() < tile.max() <= 1


def test_the_first_of_very_many_filters_are_drawn(tiles):
    filters.filters(np.ones((3, 3, 3, 200)), heading="many")
    assert tiles["titles"] == [str(number) for number in range(96)]


def test_the_strongest_map_comes_first_after_the_picture(tiles):
    maps = np.zeros((4, 6, 5), np.float32)
    maps[0, 0, 3], maps[1, 1, 1] = 250, -7
    image = np.full((8, 12, 3), 0.5)
    filters.activation_maps(image, maps, heading="maps", most=3)
    assert tiles["titles"] == ["picture", "3: 0 to 250", "1: -7 to 0", "0: 0 to 0"]
    assert tiles["images"][0] is image


def test_a_map_runs_from_dark_blue_to_yellow(tiles):
    maps = np.linspace(-3, 5, 12).reshape(3, 4, 1)
    filters.activation_maps(np.zeros((6, 8, 1)), maps, heading="ramp")
    ramp = tiles["images"][1]
    assert ramp.shape == (3, 4, 3)
    assert ramp[0, 0].tolist() == [68, 1, 84]  # viridis, published ends
    assert ramp[2, 3].tolist() == [253, 231, 36]


def test_a_single_value_and_a_dead_map_are_drawn():
    drawn = filters.activation_maps(np.zeros((2, 2)), np.zeros((1, 1, 2)), heading="x")
    assert drawn.dtype == np.uint8
    assert (drawn == (68, 1, 84)).all(-1).any()
    assert (filters.filters(np.zeros((1, 1, 3, 1)), heading="x") == GREY).all(-1).any()


def test_a_long_heading_takes_more_lines():
    maps = np.zeros((2, 2, 9))
    short = filters.activation_maps(np.zeros((2, 2)), maps, heading="x")
    long = filters.activation_maps(np.zeros((2, 2)), maps, heading="word " * 60)
    assert long.shape[0] > short.shape[0]
    assert long.shape[1] == short.shape[1]
