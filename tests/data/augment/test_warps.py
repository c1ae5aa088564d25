import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdl import errors
from tfdl.data import augment
from tfdl.data.augment import warps


def turn(sample, degrees, *, is_nearest=True):
    """Turn counterclockwise, as Pillow does."""
    return warps.warp(
        sample,
        warps.turn_back(tf.constant(-math.radians(degrees))),
        tf.zeros(2),
        fill=128,
        min_visibility=0.1,
        is_nearest=is_nearest,
    )


@pytest.mark.parametrize("degrees", [-90, 90, 180])
def test_a_quarter_turn_is_exact(make_scene, degrees):
    scene = make_scene(30, 30)
    turned = turn(scene, degrees)
    for name in ("image", "semantic"):
        expected = np.rot90(scene[name], degrees // 90)
        np.testing.assert_array_equal(turned[name], expected)


@pytest.mark.parametrize("degrees", [-33, 7, 120])
def test_nearest_rotation_equals_pillows_but_for_ties(noise, degrees):
    image = noise(41, 60)
    turned = turn({"image": image}, degrees)["image"]
    pillow = Image.fromarray(image.numpy()).rotate(degrees, fillcolor=(128,) * 3)
    differs = (turned.numpy() != np.asarray(pillow)).any(axis=-1)
    assert differs.mean() < 0.01


def test_bilinear_rotation_is_close_to_pillows(noise):
    image = noise(41, 60)
    turned = turn({"image": image}, 20, is_nearest=False)["image"].numpy().astype(int)
    pillow = Image.fromarray(image.numpy()).rotate(20, Image.BILINEAR)
    inner = np.s_[14:-14, 20:-20]  # where both see only the picture
    assert abs(turned[inner] - np.asarray(pillow)[inner]).max() <= 2


@pytest.mark.parametrize("level", [0, 1, 200, 255])
def test_an_even_colour_stays(level):
    even = {"image": tf.fill([28, 28, 1], tf.constant(level, tf.uint8))}
    for number in range(5):
        warped = augment.affine(even, seed=tf.constant([number, 1]), fill=level)
        assert (warped["image"].numpy() == level).all()


def test_nothing_moves_at_strengths_of_zero(make_scene):
    still = {"degrees": 0, "scales": (1, 1), "shift_rate": 0, "shear": 0}
    scene = make_scene()
    warped = augment.affine(scene, seed=tf.constant([1, 2]), **still)
    for name, value in scene.items():
        np.testing.assert_array_equal(warped[name], value)


def test_the_map_is_hand_computed(make_scene):
    # Twice as large about the centre (26, 20), then 3 to the right and 1 up.
    sample = make_scene() | {"boxes": tf.constant([[20.0, 16.0, 26.0, 20.0]])}
    del sample["masks"]
    backward, shift = tf.eye(2) / 2, tf.constant([3.0, -1.0])
    warped = warps.warp(sample, backward, shift, fill=0, min_visibility=0.1)
    np.testing.assert_allclose(warped["boxes"], [[17, 11, 29, 19]], atol=1e-5)


def test_rotations_reach_both_ends_of_their_range():
    # A dot to the right of the centre: its height tells the angle.
    image = np.zeros([41, 41, 1], np.uint8)
    image[20, 38] = 255
    sample = {
        "image": tf.constant(image),
        "boxes": tf.constant([[38.0, 20.0, 39.0, 21.0]]),
    }
    angles = []
    for number in range(60):
        turned = augment.rotate(sample, seed=tf.constant([number, 0]), degrees=40)
        x_min, y_min, x_max, y_max = turned["boxes"].numpy()[0]
        right, down = (x_min + x_max - 41) / 2, (y_min + y_max - 41) / 2
        angles.append(math.degrees(math.atan2(down, right)))
    assert -41 < min(angles) < -36
    assert 36 < max(angles) < 41


def test_sizes_that_the_graph_knows_stay_known():
    @tf.function
    def warped(image):
        result = augment.affine({"image": image}, seed=tf.constant([0, 1]))["image"]
        assert result.shape == (28, 28, 1)
        return result

    warped(tf.zeros([28, 28, 1], tf.uint8))


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (augment.rotate, {"degrees": 200}),
        (augment.rotate, {"degrees": 20, "fill": -1}),
        (augment.rotate, {"degrees": 20, "min_visibility": 2}),
        (augment.affine, {"scales": (1.2, 0.8)}),
        (augment.affine, {"shift_rate": 3}),
        (augment.affine, {"shear": -1}),
    ],
)
def test_parameters_out_of_range_are_refused(make_scene, function, parameters):
    with pytest.raises(errors.UsageError):
        function(make_scene(), seed=tf.constant([0, 0]), **parameters)
