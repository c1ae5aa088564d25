import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from tfdl import errors
from tfdl.data.augment import pixels

FACTORS = [0.0, 0.19, 0.75, 1.0, 1.4, 1.81]


def pillow(image):
    values = image.numpy()
    return Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)


def assert_equal(result, expected, *, tolerance=0):
    expected = np.asarray(expected).reshape(result.shape).astype(int)
    assert abs(result.numpy().astype(int) - expected).max() <= tolerance


@pytest.fixture(params=[(33, 47, 3), (20, 31, 1), (64, 64, 3)])
def image(request, noise):
    return noise(*request.param)


@pytest.fixture
def dark(noise):
    """Return pictures of few levels, at which rounding is delicate."""
    return [
        tf.cast(tf.cast(noise(seed=seed), tf.int32) // divisor + 3 * seed, tf.uint8)
        for seed, divisor in enumerate([2, 3, 4, 5, 10, 30, 100])
    ]


def test_autocontrast_equals_pillows(image, dark):
    for each in (image, *dark):
        expected = ImageOps.autocontrast(pillow(each))
        assert_equal(pixels.autocontrast(each), expected)


def test_equalize_equals_pillows(image, dark):
    for each in (image, *dark):
        assert_equal(pixels.equalize(each), ImageOps.equalize(pillow(each)))


@pytest.mark.parametrize("level", [0, 77, 255])
def test_an_even_picture_has_no_contrast_to_stretch(level):
    even = tf.fill([5, 6, 3], tf.constant(level, tf.uint8))
    assert_equal(pixels.autocontrast(even), even)
    assert_equal(pixels.equalize(even), even)


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_equals_pillows(image, bits):
    expected = ImageOps.posterize(pillow(image), bits)
    assert_equal(pixels.posterize(image, bits), expected)


@pytest.mark.parametrize("threshold", [1, 26, 128, 255, 256])
def test_solarize_equals_pillows(image, threshold):
    expected = ImageOps.solarize(pillow(image), threshold)
    assert_equal(pixels.solarize(image, threshold), expected)


def test_solarizing_everything_inverts(image):
    assert_equal(pixels.solarize(image, 0), ImageOps.invert(pillow(image)))


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize(
    ("operation", "enhancer", "tolerance"),
    [
        (pixels.brightness, ImageEnhance.Brightness, 0),
        (pixels.sharpness, ImageEnhance.Sharpness, 0),
        # Pillow's grey is of integer weights, one level off in few pixels.
        (pixels.contrast, ImageEnhance.Contrast, 1),
        (pixels.saturation, ImageEnhance.Color, 1),
    ],
)
def test_enhancements_equal_pillows(image, operation, enhancer, tolerance, factor):
    expected = enhancer(pillow(image)).enhance(factor)
    result = operation(image, tf.constant(factor))
    assert_equal(result, expected, tolerance=tolerance)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 8, 3), (8, 2, 1)])
def test_sharpness_leaves_a_picture_without_inner_pixels(noise, shape):
    image = noise(*shape)
    assert_equal(pixels.sharpness(image, 1.8), image)


def test_a_grey_picture_has_no_saturation(noise):
    image = noise(channels=1)
    assert_equal(pixels.saturation(image, 1.8), image)


def test_grey_is_hand_computed():
    # 0.299 * 10 + 0.587 * 20 + 0.114 * 30 = 18.15.
    colours = tf.constant([[10.0, 20.0, 30.0]])
    np.testing.assert_array_equal(pixels.grey(colours), [[18, 18, 18]])


def test_an_unknown_number_of_channels_is_refused():
    unknown = tf.TensorSpec([None, None, None], tf.uint8)
    count = tf.function(pixels.num_channels, autograph=False)
    with pytest.raises(errors.UsageError, match="grey or RGB"):
        count.get_concrete_function(unknown)
