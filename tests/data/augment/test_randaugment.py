import collections
import functools
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from tfdl import errors
from tfdl.data import augment

FILL = (128, 128, 128)


def pillows_results(image, strength):
    """Apply each operation of the paper with Pillow, in both directions."""
    height, width, _ = image.shape
    pillow = Image.fromarray(image.numpy())

    def affine(a, b, d, e):
        """Map about the centre of the picture, as Pillow does in `rotate`."""
        c = width / 2 - a * width / 2 - b * height / 2
        f = height / 2 - d * width / 2 - e * height / 2
        data = (a, b, c, d, e, f)
        return pillow.transform(pillow.size, Image.AFFINE, data, fillcolor=FILL)

    def moved(across, down):
        canvas = Image.new("RGB", pillow.size, FILL)
        canvas.paste(pillow, (across, down))
        return canvas

    results = {
        "identity": pillow,
        "autocontrast": ImageOps.autocontrast(pillow),
        "equalize": ImageOps.equalize(pillow),
        "posterize": ImageOps.posterize(pillow, 8 - round(4 * strength)),
        "solarize": ImageOps.solarize(pillow, 256 - round(256 * strength)),
    }
    for sign in (-1, 1):
        factor = 1 + sign * strength * 0.9
        angle = math.radians(30) * strength * sign
        slant = 0.3 * strength * sign
        share = 150 / 331 * strength * sign
        results |= {
            f"color {sign}": ImageEnhance.Color(pillow).enhance(factor),
            f"contrast {sign}": ImageEnhance.Contrast(pillow).enhance(factor),
            f"brightness {sign}": ImageEnhance.Brightness(pillow).enhance(factor),
            f"sharpness {sign}": ImageEnhance.Sharpness(pillow).enhance(factor),
            f"rotate {sign}": affine(
                math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle)
            ),
            f"shear_x {sign}": affine(1, slant, 0, 1),
            f"shear_y {sign}": affine(1, 0, slant, 1),
            f"translate_x {sign}": moved(round(share * width), 0),
            f"translate_y {sign}": moved(0, round(share * height)),
        }
    return {name: np.asarray(result).astype(int) for name, result in results.items()}


@pytest.mark.parametrize("magnitude", [9, 4])
def test_one_operation_is_always_one_of_the_papers_fourteen(noise, magnitude):
    image = noise(33, 47) // 2 + 30
    function = functools.partial(
        augment.rand_augment, num_ops=1, magnitude=magnitude, fill=FILL[0]
    )
    seeds = tf.data.Dataset.range(400, output_type=tf.int32)
    results = seeds.map(
        lambda number: function({"image": image}, seed=tf.stack([number, 5]))["image"]
    )
    expected = pillows_results(image, magnitude / 10)
    counts = collections.Counter()
    for result in results.as_numpy_iterator():
        # Pillow's grey rounds otherwise in few pixels, as ties do when warping.
        gaps = {
            name: (abs(result - picture) > 1).mean()
            for name, picture in expected.items()
        }
        nearest = min(gaps, key=gaps.get)
        assert gaps[nearest] < 0.015
        counts[nearest] += 1
    assert counts.keys() == expected.keys()
    operations = collections.Counter()
    for name, count in counts.items():
        operations[name.split()[0]] += count
    assert len(operations) == 14
    assert min(operations.values()) > 10  # of 29 expected


def test_a_magnitude_of_zero_changes_no_more_than_contrast(noise):
    image = noise()
    unchanged = ["autocontrast", "equalize", "identity"]
    expected = pillows_results(image, 0.0)
    for number in range(40):
        result = augment.rand_augment(
            {"image": image}, seed=tf.constant([number, 0]), num_ops=1, magnitude=0
        )["image"].numpy()
        assert any(np.array_equal(result, expected[name]) for name in unchanged)


def test_no_operations_change_nothing(make_scene):
    scene = make_scene()
    result = augment.rand_augment(scene, seed=tf.constant([1, 2]), num_ops=0)
    for name, value in scene.items():
        np.testing.assert_array_equal(result[name], value)


def test_a_graph_knows_the_channels_afterwards():
    @tf.function
    def augmented(image):
        seed = tf.constant([1, 2])
        result = augment.rand_augment({"image": image}, seed=seed)["image"]
        assert result.shape.as_list() == [32, 32, 3]
        return result

    augmented(tf.zeros([32, 32, 3], tf.uint8))


@pytest.mark.parametrize(
    "parameters",
    [{"magnitude": 11}, {"num_ops": -1}, {"fill": 256}, {"min_visibility": 2}],
)
def test_parameters_out_of_range_are_refused(make_scene, parameters):
    function = functools.partial(augment.rand_augment, make_scene(), **parameters)
    # Traced, since eagerly only the operations that are drawn are looked at.
    traced = tf.function(lambda seed: function(seed=seed), autograph=False)
    with pytest.raises(errors.UsageError):
        traced(tf.constant([0, 0]))
