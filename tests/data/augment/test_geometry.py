import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment

SEEDS = [tf.constant([number, 7]) for number in range(300)]


def over_seeds(function, sample, **parameters):
    """Apply one function to one sample with every seed."""
    seeds = tf.data.Dataset.from_tensor_slices(SEEDS)
    return seeds.map(lambda seed: function(sample, seed=seed, **parameters))


@pytest.mark.parametrize(
    ("flip", "axis"), [(augment.flip_horizontal, 1), (augment.flip_vertical, 0)]
)
def test_a_flip_reverses_one_axis_of_all(make_scene, flip, axis):
    scene = make_scene()
    flipped = flip(scene, seed=SEEDS[0], rate=1.0)
    for name, first_axis in {"image": 0, "semantic": 0, "masks": 1}.items():
        expected = np.flip(scene[name], axis=first_axis + axis)
        np.testing.assert_array_equal(flipped[name], expected)


def test_flipped_boxes_are_hand_computed(make_scene):
    sample = make_scene(8, 10) | {"boxes": tf.constant([[1.0, 2.0, 4.0, 7.0]])}
    flipped = augment.flip_horizontal(sample, seed=SEEDS[0], rate=1.0)
    np.testing.assert_array_equal(flipped["boxes"], [[6, 2, 9, 7]])
    flipped = augment.flip_vertical(sample, seed=SEEDS[0], rate=1.0)
    np.testing.assert_array_equal(flipped["boxes"], [[1, 1, 4, 6]])


@pytest.mark.parametrize("flip", [augment.flip_horizontal, augment.flip_vertical])
def test_flips_happen_as_often_as_told(noise, flip):
    image = noise()
    flips = [
        not np.array_equal(flip({"image": image}, seed=seed, rate=0.3)["image"], image)
        for seed in SEEDS
    ]
    assert 0.2 < np.mean(flips) < 0.4  # four standard deviations


def test_a_rate_of_zero_never_flips(make_scene):
    scene = make_scene()
    for seed in SEEDS[:9]:
        flipped = augment.flip_horizontal(scene, seed=seed, rate=0.0)
        np.testing.assert_array_equal(flipped["image"], scene["image"])


def test_padding_and_cropping_draws_every_place_about_equally_often(noise):
    image = noise(6, 6)
    padded = np.pad(image, [(1, 1), (1, 1), (0, 0)])
    places = {
        padded[top : top + 6, left : left + 6].tobytes(): 0
        for top in range(3)
        for left in range(3)
    }
    for seed in SEEDS:
        cropped = augment.random_crop({"image": image}, seed=seed, padding=1)
        places[cropped["image"].numpy().tobytes()] += 1
    assert len(places) == 9
    assert min(places.values()) > 12  # of 33 expected


def test_a_crop_of_the_pictures_size_is_the_picture(make_scene):
    scene = make_scene()
    cropped = augment.random_crop(scene, seed=SEEDS[0], size=(40, 52))
    for name, value in scene.items():
        np.testing.assert_array_equal(cropped[name], value)


def test_a_small_picture_lies_anywhere_in_a_large_crop(make_scene):
    scene = make_scene(4, 6, objects=0)
    places = set()
    for seed in SEEDS[:60]:
        cropped = augment.random_crop(scene, seed=seed, size=(6, 7), fill=9)
        known = cropped["semantic"].numpy() != 255
        assert known.sum() == 4 * 6
        assert (cropped["image"].numpy()[~known] == 9).all()
        places.add(tuple(np.argwhere(known)[0]))
    assert len(places) == 3 * 2


def test_a_resized_crop_of_its_windows_size_is_a_window(noise):
    image = noise(12, 12)
    windows = {
        image[top : top + 6, left : left + 6].numpy().tobytes()
        for top in range(7)
        for left in range(7)
    }
    quarter = {"size": 6, "areas": (0.25, 0.25), "ratios": (1, 1)}
    for seed in SEEDS[:20]:
        cropped = augment.random_resized_crop({"image": image}, seed=seed, **quarter)
        assert cropped["image"].numpy().tobytes() in windows


def test_resized_crops_have_the_area_and_shape_asked_for(make_scene):
    # The box of four pixels tells by how much it was zoomed.
    scene = make_scene(200, 240, objects=0)
    scene |= {"boxes": tf.constant([[119.0, 99.0, 121.0, 101.0]])}
    del scene["labels"], scene["masks"], scene["semantic"]
    areas, ratios = [], []
    for cropped in over_seeds(augment.random_resized_crop, scene, size=100):
        for x_min, y_min, x_max, y_max in cropped["boxes"].numpy():
            if x_min > 0 and y_min > 0 and x_max < 100 and y_max < 100:
                width, height = 200 / (x_max - x_min), 200 / (y_max - y_min)
                areas.append(width * height / (200 * 240))
                ratios.append(width / height)
    assert len(areas) > 100
    assert min(areas) > 0.07
    assert max(areas) <= 1
    assert 0.73 < min(ratios) < 0.8
    assert 1.25 < max(ratios) < 1.37


def test_a_very_long_picture_gives_a_crop_all_the_same(make_scene):
    scene = make_scene(3, 400, objects=0)
    cropped = augment.random_resized_crop(scene, seed=SEEDS[0], size=(8, 9))
    assert cropped["image"].shape == (8, 9, 3)


def test_zooming_in_twice_doubles_a_window(noise):
    image = noise(10, 14)
    windows = [
        tf.image.resize(image[top : top + 5, left : left + 7], [10, 14])
        for top in range(6)
        for left in range(8)
    ]
    zoomed = augment.scale({"image": image}, seed=SEEDS[0], factors=(2, 2))
    gaps = [abs(tf.cast(zoomed["image"], tf.float32) - window) for window in windows]
    assert min(tf.reduce_max(gap) for gap in gaps) <= 0.5


def test_zooming_out_leaves_a_border(make_scene):
    scene = make_scene(20, 30)
    zoomed = augment.scale(scene, seed=SEEDS[0], factors=(0.5, 0.5), fill=9)
    known = zoomed["semantic"].numpy() != 255
    assert known.sum() == 10 * 15
    assert (zoomed["image"].numpy()[~known] == 9).all()
    assert len(zoomed["boxes"]) == 3


def test_zooms_reach_both_ends_of_their_range(make_scene):
    box = {"boxes": tf.constant([[19.0, 19.0, 21.0, 21.0]])}
    sample = {"image": make_scene(40, 40)["image"]} | box
    widths = []
    range_and_whole = {"factors": (0.5, 2), "min_visibility": 1}
    for zoomed in over_seeds(augment.scale, sample, **range_and_whole):
        widths += [x_max - x_min for x_min, _, x_max, _ in zoomed["boxes"].numpy()]
    assert min(widths) < 1.1
    assert max(widths) > 3.5


def test_a_shift_is_by_whole_pixels_both_ways(noise):
    image = noise(10, 20)
    padded = np.pad(image, [(1, 1), (4, 4), (0, 0)], constant_values=9)
    expected = {
        padded[top : top + 10, left : left + 20].tobytes()
        for top in range(3)
        for left in range(9)
    }
    sample = {"image": image}
    found = {
        augment.shift(sample, seed=seed, rate=(0.1, 0.2), fill=9)["image"]
        .numpy()
        .tobytes()
        for seed in SEEDS
    }
    assert found == expected


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (augment.flip_horizontal, {"rate": 1.5}),
        (augment.flip_vertical, {"rate": -1}),
        (augment.random_crop, {"size": 0}),
        (augment.random_crop, {"padding": -1}),
        (augment.random_resized_crop, {"size": 8, "areas": (0.5, 2)}),
        (augment.random_resized_crop, {"size": 8, "ratios": (2, 1)}),
        (augment.scale, {"factors": (0, 1)}),
        (augment.shift, {"rate": 2}),
    ],
)
def test_parameters_out_of_range_are_refused(make_scene, function, parameters):
    with pytest.raises(errors.UsageError):
        function(make_scene(), seed=SEEDS[0], **parameters)
