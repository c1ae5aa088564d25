import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from tfdl import errors
from tfdl.data import augment
from tfdl.data.augment import colours

NEUTRAL = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}


def adjusted(image, **changes):
    values = {name: tf.constant(value) for name, value in (NEUTRAL | changes).items()}
    return colours.adjust(image, **values).numpy().astype(int)


@pytest.mark.parametrize("factor", [0.6, 0.9, 1.2, 1.4])
@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
def test_each_change_alone_equals_pillows_to_two_levels(noise, name, enhancer, factor):
    image = noise()
    expected = enhancer(Image.fromarray(image.numpy())).enhance(factor)
    difference = adjusted(image, **{name: factor}) - np.asarray(expected).astype(int)
    assert abs(difference).max() <= 2


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_changes_at_neutral(noise, channels):
    image = noise(channels=channels)
    np.testing.assert_array_equal(adjusted(image), image)


def test_changes_follow_one_another_in_order(noise):
    image = noise() // 2  # so that nothing is cut off between them
    once = adjusted(image, brightness=1.3, contrast=0.7, saturation=1.2, hue=0.05)
    step = adjusted(image, brightness=1.3)
    for change in ({"contrast": 0.7}, {"saturation": 1.2}, {"hue": 0.05}):
        step = adjusted(tf.constant(step.astype(np.uint8)), **change)
    assert abs(once - step).max() <= 2


def test_a_third_of_the_circle_turns_red_to_about_green():
    red = tf.constant([[[150, 60, 60]]], tf.uint8)
    turned = adjusted(red, hue=1 / 3)[0, 0]
    assert abs(colorsys.rgb_to_hsv(*turned)[0] - 1 / 3) < 0.1


def test_hue_keeps_the_brightness_of_each_pixel(noise):
    image = noise() // 4 + 96  # away from the ends, where colours are cut off
    weights = np.array([0.299, 0.587, 0.114])
    difference = adjusted(image, hue=0.1) @ weights - image.numpy() @ weights
    assert abs(difference).max() < 1


def test_a_whole_turn_of_the_hue_is_none(noise):
    image = noise()
    assert abs(adjusted(image, hue=1.0) - image.numpy()).max() <= 1


def test_a_grey_picture_has_no_colour_to_change(noise):
    image = noise(channels=1)
    changed = adjusted(image, saturation=0.2, hue=0.3)
    np.testing.assert_array_equal(changed, image)
    grey = tf.repeat(image, 3, axis=-1)
    assert abs(adjusted(grey, saturation=0.2, hue=0.3) - grey.numpy()).max() <= 1


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_strengths_reach_both_ends_of_their_range(monkeypatch, noise, name):
    drawn = []
    monkeypatch.setattr(
        colours, "adjust", lambda image, **factors: drawn.append(factors) or image
    )
    strengths = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0}
    for number in range(100):
        augment.colour(
            {"image": noise(4, 4)},
            seed=tf.constant([number, 0]),
            **(strengths | {name: 0.4}),
        )
    factors = [float(each[name]) for each in drawn]
    assert 0.6 <= min(factors) < 0.63
    assert 1.37 < max(factors) <= 1.4
    assert {float(each["hue"]) for each in drawn} == {0}


def test_random_grey_equals_pillows_and_keeps_three_channels(noise):
    image = noise()
    grey = augment.random_grey({"image": image}, seed=tf.constant([1, 2]), rate=1.0)
    expected = np.asarray(Image.fromarray(image.numpy()).convert("L")).astype(int)
    difference = grey["image"].numpy().astype(int) - expected[..., None]
    assert abs(difference).max() <= 1


def test_random_grey_happens_as_often_as_told(noise):
    sample = {"image": noise(4, 4)}
    changed = [
        not np.array_equal(
            augment.random_grey(sample, seed=tf.constant([n, 1]), rate=0.2)["image"],
            sample["image"],
        )
        for n in range(300)
    ]
    assert 0.11 < np.mean(changed) < 0.29  # four standard deviations


@pytest.mark.parametrize(
    "parameters",
    [{"brightness": 1.5}, {"contrast": -1}, {"saturation": 2}, {"hue": 0.6}],
)
def test_parameters_out_of_range_are_refused(noise, parameters):
    with pytest.raises(errors.UsageError):
        augment.colour({"image": noise()}, seed=tf.constant([0, 0]), **parameters)
