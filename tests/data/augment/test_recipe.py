"""What every augmentation promises, and the order in which a recipe applies them."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data import augment
from tfdl.ops import boxes

partial = functools.partial
EXACT = {
    "flip_horizontal": augment.flip_horizontal,
    "flip_vertical": augment.flip_vertical,
    "pad_and_crop": partial(augment.random_crop, padding=6),
    "crop": partial(augment.random_crop, size=(24, 60)),
    "shift": partial(augment.shift, rate=0.4),
}
RESAMPLED = {
    "random_resized_crop": partial(augment.random_resized_crop, size=(48, 40)),
    "zoom_in": partial(augment.scale, factors=(1, 2)),
    "zoom_out": partial(augment.scale, factors=(0.4, 1)),
    "rotate": partial(augment.rotate, degrees=30),
    "affine": augment.affine,
    "rand_augment": augment.rand_augment,
}
PIXELS_ONLY = {
    "colour": augment.colour,
    "random_grey": partial(augment.random_grey, rate=0.5),
    "erasing": augment.erasing,
}
ALL = EXACT | RESAMPLED | PIXELS_ONLY
SHAPES = [(30, 20), (1, 9), (9, 1), (1, 1)]
SEEDS = [[number, 3 * number] for number in range(12)]

every = pytest.mark.parametrize("function", ALL.values(), ids=ALL)


def equal(first, second):
    assert first.keys() == second.keys()
    return all(np.array_equal(first[name], second[name]) for name in first)


@every
def test_keys_and_dtypes_stay(function, make_scene):
    scene = make_scene()
    result = function(scene, seed=tf.constant([1, 2]))
    assert {name: value.dtype for name, value in result.items()} == {
        name: value.dtype for name, value in scene.items()
    }
    height, width, _ = result["image"].shape
    assert result["masks"].shape[1:] == result["semantic"].shape == (height, width)
    assert len(result["boxes"]) == len(result["labels"]) == len(result["masks"])


@every
def test_the_same_seed_gives_the_same_sample_eagerly_and_in_tf_data(
    function, make_scene, in_pipeline
):
    scenes = [make_scene()] * len(SEEDS)
    # Without objects, of one row, of one column, of one pixel.
    scenes[-4:] = [make_scene(*shape, objects=0) for shape in SHAPES]
    results = in_pipeline(function, scenes, SEEDS)
    for scene, seed, result in zip(scenes, SEEDS, results, strict=True):
        assert 0 not in result["image"].shape
        assert equal(function(scene, seed=tf.constant(seed)), result)


@every
def test_other_seeds_give_other_samples(function, make_scene):
    results = [function(make_scene(), seed=tf.constant(seed)) for seed in SEEDS]
    assert not all(equal(result, results[0]) for result in results)


@every
def test_grey_pictures_stay_grey(function, make_scene):
    result = function(make_scene(channels=1), seed=tf.constant([1, 2]))
    assert result["image"].shape[-1] == 1


@every
def test_a_picture_alone_needs_no_annotations(function, make_scene):
    result = function({"image": make_scene()["image"]}, seed=tf.constant([1, 2]))
    assert result.keys() == {"image"}


@pytest.mark.parametrize("function", EXACT.values(), ids=EXACT)
def test_boxes_are_exactly_those_of_the_moved_masks(function, make_scene):
    for seed in SEEDS:
        result = function(make_scene(), seed=tf.constant(seed))
        expected = boxes.from_masks(result["masks"])
        np.testing.assert_array_equal(result["boxes"], expected)


@pytest.mark.parametrize("function", EXACT.values(), ids=EXACT)
def test_masks_and_semantic_are_exactly_where_their_colour_is(function, make_scene):
    for seed in SEEDS:
        result = function(make_scene(), seed=tf.constant(seed))
        colours = result["image"][:, :, 0].numpy()
        semantic = result["semantic"].numpy()
        np.testing.assert_array_equal(semantic % 255 * 50, colours)
        for mask, label in zip(result["masks"], result["labels"], strict=True):
            np.testing.assert_array_equal(mask == 1, colours == 50 * label.numpy())


@pytest.mark.parametrize("function", RESAMPLED.values(), ids=RESAMPLED)
def test_boxes_fit_the_moved_masks_to_one_and_a_half_pixels(function, make_scene):
    num_objects = 0
    for seed in SEEDS:
        scene = make_scene()
        masked = function(scene, seed=tf.constant(seed))
        tight = boxes.from_masks(masked["masks"]).numpy()
        tight = dict(zip(masked["labels"].numpy(), tight, strict=True))
        np.testing.assert_allclose(masked["boxes"], list(tight.values()), atol=1.5)
        # Now without masks, from which boxes could have been measured.
        del scene["masks"]
        result = function(scene, seed=tf.constant(seed))
        pairs = result["labels"].numpy(), result["boxes"].numpy()
        for label, box in zip(*pairs, strict=True):
            if function is RESAMPLED["rand_augment"]:  # boxes around turned boxes
                assert (box[:2] <= tight[label][:2] + 1.5).all()
                assert (box[2:] >= tight[label][2:] - 1.5).all()
            else:
                np.testing.assert_allclose(box, tight[label], atol=1.5)
            num_objects += 1
    assert num_objects > len(SEEDS)


@pytest.mark.parametrize("function", (EXACT | RESAMPLED).values())
def test_boxes_stay_inside_and_keep_an_area(function, make_scene):
    for seed in SEEDS:
        result = function(make_scene(), seed=tf.constant(seed))
        height, width, _ = result["image"].shape
        clipped = boxes.clip(result["boxes"], height=height, width=width)
        np.testing.assert_array_equal(result["boxes"], clipped)
        assert (boxes.area(result["boxes"]).numpy() > 0).all()


@pytest.mark.parametrize("function", PIXELS_ONLY.values(), ids=PIXELS_ONLY)
def test_changes_of_pixels_leave_objects_alone(function, make_scene):
    scene = make_scene()
    for seed in SEEDS:
        result = function(scene, seed=tf.constant(seed))
        for name in ("label", "boxes", "labels", "masks"):
            np.testing.assert_array_equal(result[name], scene[name])


def test_a_recipe_gives_each_function_a_seed_of_its_own(make_scene):
    seen = []

    def record(sample, *, seed):
        seen.append(tuple(seed.numpy()))
        return sample

    augment.apply([record, record], make_scene(), seed=tf.constant([4, 5]))
    augment.apply([record], make_scene(), seed=tf.constant([4, 5]))
    assert seen[0] == seen[2]
    assert seen[0] != seen[1]


def test_a_recipe_is_applied_in_its_order(make_scene):
    def number(value):
        return lambda sample, *, seed: sample | {"order": sample["order"] + value}

    sample = make_scene() | {"order": tf.constant("")}
    recipe = [number("first "), number("second")]
    result = augment.apply(recipe, sample, seed=tf.constant([0, 0]))
    assert result["order"].numpy() == b"first second"


def test_an_empty_recipe_changes_nothing(make_scene):
    scene = make_scene()
    assert equal(augment.apply([], scene, seed=tf.constant([0, 0])), scene)
