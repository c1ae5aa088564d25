import colorsys

import numpy as np
import pytest
from skimage import draw

from tfdl.data import shapes


def test_area_of_a_right_triangle():
    assert shapes.area(np.array([(0, 0), (4, 0), (0, 3)])) == 6


def test_rotation_by_a_quarter_turn():
    turned = np.array([(1.0, 0.0)]) @ shapes.rotation(np.pi / 2)
    np.testing.assert_allclose(turned, [(0, 1)], atol=1e-12)


def test_coverage_of_a_half_covered_pixel():
    outline = np.array([(1, 1), (3.5, 1), (3.5, 4), (1, 4)])
    expected = np.zeros((5, 5))
    expected[1:4, 1:3] = 1
    expected[1:4, 3] = 0.5
    # One sub-pixel of four more, as Pillow fills the far edges too.
    expected[1:4, 3] += 0.25
    expected[4, 1:4] = 0.25 * expected[3, 1:4]
    covered = shapes.coverage([outline], 5)
    np.testing.assert_allclose(covered, expected, atol=2 / 255)


@pytest.mark.parametrize("name", shapes.OUTLINES)
def test_coverage_equals_the_area(name):
    outline = shapes.OUTLINES[name] * 40 + 48
    covered = shapes.coverage([outline], 96).sum()
    assert covered == pytest.approx(shapes.area(outline), rel=0.03)


@pytest.mark.parametrize("name", shapes.OUTLINES)
def test_coverage_agrees_with_skimage(name):
    outline = shapes.OUTLINES[name] * 40 + 48
    # scikit-image takes (row, column) and tests the centres of the pixels.
    mask = draw.polygon2mask((96, 96), outline[:, ::-1] - 0.5)
    assert (mask == (shapes.coverage([outline], 96) >= 0.5)).mean() > 0.97


@pytest.mark.parametrize("name", shapes.OUTLINES)
def test_outline_lies_in_the_unit_disc_and_fills_it(name):
    radii = np.linalg.norm(shapes.OUTLINES[name], axis=1)
    assert 0.9 < radii.max() < 1.02


def test_ring_has_a_hole():
    covered = shapes.coverage([shapes.OUTLINES["ring"] * 20 + 24], 48)
    assert covered[24, 24] == 0
    assert covered[24, 8] == 1


def test_colours_come_from_the_colour_circle():
    class FixedRandom:
        def random(self, shape):
            return np.broadcast_to(np.array([0.4, 1, 1])[:, None, None], shape)

    # Saturation 1 and value 1 are mapped to 0.9 and 1.
    colour = shapes._random_colours(FixedRandom(), 1)[0]
    np.testing.assert_allclose(colour, colorsys.hsv_to_rgb(0.4, 0.9, 1), atol=1e-9)


def test_contrasting_colours_are_far_from_the_others():
    grey = np.full(3, 0.5)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        colours = shapes.contrasting_colours(rng, [grey])
        assert np.linalg.norm(colours - grey, axis=1).min() > 0.2


def test_paint_changes_only_the_covered_pixels():
    rng = np.random.default_rng(0)
    image = np.zeros((16, 16, 3), np.float32)
    outline = np.array([(4, 4), (12, 4), (12, 12), (4, 12)])
    painted = shapes.paint(rng, image, [outline], [np.ones(3), np.ones(3)])
    np.testing.assert_array_equal(painted[4:12, 4:12], 1)
    assert painted[:3].max() == 0
    assert painted.dtype == np.float32


@pytest.mark.parametrize("image_size", [16, 47])
def test_background_is_a_picture(image_size):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        image, colours = shapes.background(rng, image_size)
        assert image.shape == (image_size, image_size, 3)
        assert np.isfinite(image).all()
        assert len(colours) == 2


def test_expose_rounds_to_uint8_and_keeps_the_brightness():
    image = np.full((64, 64, 3), 0.5, np.float32)
    exposed = shapes.expose(np.random.default_rng(0), image)
    assert exposed.dtype == np.uint8
    assert exposed.mean() == pytest.approx(127.5, abs=1)
