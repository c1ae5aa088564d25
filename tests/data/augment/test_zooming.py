import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment
from tfdl.data.augment import zooming

SEEDS = [tf.constant([number, 7]) for number in range(150)]


def crops(sample, count=150, **parameters):
    """Crop one sample with every seed."""
    seeds = tf.data.Dataset.from_tensor_slices(SEEDS)
    crop = seeds.map(lambda seed: augment.scaled_crop(sample, seed=seed, **parameters))
    return list(crop.take(count))


def test_without_zoom_every_window_is_drawn_about_equally_often(noise):
    image = noise(8, 9)
    counts = {
        image[top : top + 6, left : left + 7].numpy().tobytes(): 0
        for top in range(3)
        for left in range(3)
    }
    for cropped in crops({"image": image}, size=(6, 7)):
        counts[cropped["image"].numpy().tobytes()] += 1
    assert len(counts) == 9
    assert min(counts.values()) > 5  # of 16 expected


def test_all_that_is_known_is_cropped_to_the_pixel(make_scene):
    scene = make_scene()
    for cropped in crops(scene, 30, size=24):
        image, semantic = cropped["image"].numpy(), cropped["semantic"].numpy()
        assert image.shape == (24, 24, 3)
        np.testing.assert_array_equal(image[..., 0], 50 * semantic)
        for mask, label in zip(cropped["masks"], cropped["labels"], strict=True):
            np.testing.assert_array_equal(mask == 1, semantic == label)


def test_a_picture_that_is_zoomed_twice_shows_a_quarter(noise):
    image = noise(16, 20)
    windows = [
        tf.image.resize(image[top : top + 5, left : left + 6], [10, 12])
        for top in range(12)
        for left in range(15)
    ]
    for cropped in crops({"image": image}, 3, size=(10, 12), factors=(2, 2)):
        gaps = [
            np.abs(tf.cast(cropped["image"], tf.float32) - window) for window in windows
        ]
        assert min(gap.max() for gap in gaps) <= 0.5


def test_maps_keep_their_areas_under_whole_factors(make_scene):
    """Zoomed by 2, each pixel of a shape that is wholly seen becomes four."""
    scene = make_scene(20, 20, objects=1)
    area = (scene["semantic"].numpy() == 1).sum()
    for cropped in crops(scene, 5, size=40, factors=(2, 2), antialias=False):
        assert (cropped["semantic"].numpy() == 1).sum() == 4 * area
        centre = cropped["semantic"].numpy() == 1
        assert (cropped["image"].numpy()[centre, 0] > 25).mean() > 0.95


def test_a_small_picture_lies_anywhere_in_its_window(make_scene):
    scene = make_scene(4, 6, objects=0)
    corners = set()
    for cropped in crops(scene, size=(5, 8), fill=9):
        known = cropped["semantic"].numpy() != 255
        assert known.sum() == 4 * 6
        assert (cropped["image"].numpy()[~known] == 9).all()
        corners.add(tuple(np.argwhere(known)[0]))
    assert len(corners) == 2 * 3


def test_factors_reach_both_ends_of_their_range(make_scene):
    image = make_scene(200, 200, objects=0)["image"]
    box = {"boxes": tf.constant([[98.0, 98.0, 102.0, 102.0]])}
    widths = []
    for cropped in crops({"image": image} | box, size=64, factors=(0.5, 2)):
        widths += [
            right - left
            for left, top, right, bottom in cropped["boxes"].numpy()
            if min(left, top) > 0 and max(right, bottom) < 64
        ]
    assert len(widths) > 30
    assert 1.9 < min(widths) < 2.4
    assert 6.5 < max(widths) < 8.2


def test_zooms_are_even_by_their_logarithm():
    """By hand: half way from 1/2 to 2 nothing is zoomed, a quarter is 1 / sqrt 2."""
    seen = [
        zooming.seen_size(tf.constant(draw), (64, 32), (0.5, 2.0)).numpy().tolist()
        for draw in (0.0, 0.25, 0.5, 0.999999)
    ]
    assert seen == [[128, 64], [91, 45], [64, 32], [32, 16]]


def test_the_same_seed_gives_the_same_crop_in_a_pipeline(make_scene, in_pipeline):
    scenes = [make_scene(), make_scene(7, 90), make_scene(1, 1, objects=0)]

    def crop(sample, *, seed):
        return augment.scaled_crop(sample, seed=seed, size=32, factors=(0.5, 2))

    for scene, seed, result in zip(
        scenes, SEEDS[:3], in_pipeline(crop, scenes, SEEDS[:3]), strict=True
    ):
        for name, value in crop(scene, seed=seed).items():
            np.testing.assert_array_equal(result[name], value)


def test_the_window_s_size_is_known_to_the_graph():
    @tf.function
    def crop(image):
        cropped = augment.scaled_crop(
            {"image": image}, seed=tf.constant([1, 2]), size=16, factors=(0.5, 2)
        )
        assert cropped["image"].shape == (16, 16, 3)
        return cropped["image"]

    crop.get_concrete_function(tf.TensorSpec([None, None, 3], tf.uint8))


@pytest.mark.parametrize(
    "parameters", [{"size": 0}, {"factors": (2, 1)}, {"fill": 300}]
)
def test_parameters_out_of_range_are_refused(make_scene, parameters):
    with pytest.raises(errors.UsageError):
        augment.scaled_crop(make_scene(), seed=SEEDS[0], **{"size": 8} | parameters)
