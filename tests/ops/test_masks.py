"""Masks through windows, against SciPy's interpolation and by hand."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tfdl.ops import masks


def scipy_resample(mask, frame, window, size):
    """Interpolate at the centres of the window's pixels, with zeros around the mask."""
    places = []
    for axis, cells, count in (
        (1, mask.shape[0], size[0]),
        (0, mask.shape[1], size[1]),
    ):
        low, high = window[axis], window[axis + 2]
        pixels = low + (np.arange(count) + 0.5) * (high - low) / count
        span = frame[axis + 2] - frame[axis]
        places.append((pixels - frame[axis]) / span * cells - 0.5)
    grid = np.stack(np.meshgrid(*places, indexing="ij"))
    return ndimage.map_coordinates(mask, grid, order=1, mode="grid-constant")


def test_it_equals_scipy_s_interpolation():
    rng = np.random.default_rng(0)
    found = rng.random((3, 2, 5, 7), np.float32)
    low = rng.uniform(0, 20, (2, 3, 2, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 30, low.shape)], -1)
    frames, windows = boxes.astype(np.float32)
    seen = masks.resample(found, frames, windows, (11, 6))
    assert seen.shape == (3, 2, 11, 6)
    for place in np.ndindex(3, 2):
        expected = scipy_resample(
            found[place], frames[place], windows[place], size=(11, 6)
        )
        np.testing.assert_allclose(seen[place], expected, atol=1e-4)


def test_its_own_frame_shows_it_as_it_is():
    mask = np.random.default_rng(0).random((4, 6), np.float32)
    frame = np.array([3.0, -2.0, 15.0, 7.0], np.float32)
    np.testing.assert_allclose(
        masks.resample(mask, frame, frame, mask.shape), mask, atol=1e-6
    )


def test_a_full_mask_covers_exactly_the_pixels_of_its_box():
    frames = np.array([[2.0, 1.0, 5.0, 8.0], [0.0, 0.0, 1.0, 1.0]], np.float32)
    picture = np.array([0.0, 0.0, 10.0, 9.0], np.float32)
    seen = np.array(masks.resample(np.ones((2, 28, 28)), frames, picture, (9, 10)))
    expected = np.zeros((2, 9, 10), bool)
    expected[0, 1:8, 2:5] = True
    expected[1, 0, 0] = True
    np.testing.assert_array_equal(seen >= 0.5, expected)


@pytest.mark.parametrize("frame", [[3, 3, 3, 3], [5, 2, 5, 8], [90, 90, 99, 99]])
def test_frames_without_area_or_elsewhere_show_nothing(frame):
    frame = np.array(frame, np.float32)
    picture = np.array([0.0, 0.0, 8.0, 8.0], np.float32)
    assert not np.any(masks.resample(np.ones((4, 4)), frame, picture, (8, 8)))


def test_sizes_may_be_tensors_and_the_gradient_reaches_the_mask():
    mask, frame = tf.Variable(tf.ones([4, 4])), tf.constant([0.0, 0.0, 4.0, 4.0])

    @tf.function
    def gradient(size):
        with tf.GradientTape() as tape:
            seen = masks.resample(mask, frame, frame, tf.unstack(size))
            total = tf.reduce_sum(seen)
        return seen, tape.gradient(total, mask)

    seen, slope = gradient(tf.constant([8, 6]))
    assert seen.shape == (8, 6)
    assert np.all(slope.numpy() > 0)
