import numpy as np
import PIL.Image
import pytest
import scipy.ndimage
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment
from tfdl.ops import boxes

SEEDS = [tf.constant([number, 5]) for number in range(8)]


def places(size, seed, deviation):
    """Compute where each pixel comes from, the grid enlarged by Pillow."""
    coarse = deviation * tf.random.stateless_normal([3, 3, 2], seed).numpy()
    enlarged = [
        PIL.Image.fromarray(coarse[..., axis]).resize(size[::-1], PIL.Image.BICUBIC)
        for axis in (0, 1)
    ]
    return np.indices(size) + 0.5 + np.stack([np.asarray(e) for e in enlarged])


@pytest.mark.parametrize("size", [(40, 52), (33, 21), (1, 7), (1, 1)])
def test_nothing_moves_at_zero_pixels(make_scene, size):
    scene = make_scene(*size, objects=0 if min(size) == 1 else 3)
    for seed in SEEDS[:3]:
        bent = augment.elastic(scene, seed=seed, deviation=0)
        assert bent.keys() == scene.keys()
        for name, value in scene.items():
            np.testing.assert_array_equal(bent[name], value)


def test_pictures_and_maps_are_those_of_scipy_and_pillow(noise):
    """TensorFlow looks the cubic up in a table: a hundredth of a pixel may differ."""
    image = noise(70, 91)
    values = np.arange(70 * 91).reshape(70, 91) % 251
    sample = {"image": image, "semantic": tf.constant(values.astype(np.uint8))}
    for seed in SEEDS[:4]:
        bent = augment.elastic(sample, seed=seed, deviation=6, fill=9)
        rows, columns = places((70, 91), seed, 6)
        inside = (rows >= 0) & (rows < 70) & (columns >= 0) & (columns < 91)
        expected = np.full((70, 91), 255)
        at = np.floor(rows[inside]).astype(int), np.floor(columns[inside]).astype(int)
        expected[inside] = values[at]
        assert (bent["semantic"].numpy() != expected).mean() < 0.03
        for channel in range(3):
            sampled = scipy.ndimage.map_coordinates(
                image.numpy()[..., channel].astype(np.float32),
                [rows - 0.5, columns - 0.5],
                order=1,
                mode="nearest",
            )
            sampled = np.where(inside, sampled, 9)
            gaps = np.abs(bent["image"].numpy()[..., channel] - sampled)
            assert (gaps > 3).mean() < 0.01


def test_displacements_have_the_deviation_asked_for():
    """The middle of the picture is a point of the grid; its level tells the column."""
    image = np.tile(np.arange(41, dtype=np.uint8)[:, None], (21, 1, 1))

    @tf.function
    def column(number):
        bent = augment.elastic(
            {"image": tf.constant(image)}, seed=tf.stack([number, 1]), deviation=2
        )
        return bent["image"][10, 20, 0]

    moved = np.array([int(column(tf.constant(number))) for number in range(300)]) - 20
    assert 1.75 < np.std(moved) < 2.25  # three standard errors
    assert abs(np.mean(moved)) < 0.4


def test_what_comes_in_is_filled_and_ignored_at_the_same_pixels(make_scene):
    scene = make_scene() | {"image": tf.fill([40, 52, 3], tf.constant(200, tf.uint8))}
    ignored = 0
    for seed in SEEDS:
        bent = augment.elastic(scene, seed=seed, fill=77)
        is_beyond = bent["semantic"].numpy() == 255
        np.testing.assert_array_equal(bent["image"][..., 0] == 77, is_beyond)
        assert not bent["masks"].numpy()[:, is_beyond].any()
        ignored += is_beyond.sum()
    assert ignored > 0


def test_a_shape_and_its_map_move_together(make_scene):
    scene = make_scene(120, 150)
    for seed in SEEDS[:4]:
        bent = augment.elastic(scene, seed=seed, deviation=5)
        semantic = bent["semantic"].numpy()
        for label, mask in zip(bent["labels"].numpy(), bent["masks"], strict=True):
            np.testing.assert_array_equal(mask == 1, semantic == label)
        # Between two colours the picture is mixed, on a pixel of either side.
        inner = [
            scipy.ndimage.binary_erosion(semantic == k, np.ones((3, 3)))
            for k in range(4)
        ]
        for label, is_inner in enumerate(inner):
            assert (bent["image"].numpy()[is_inner, 0] == 50 * label).all()
        assert np.sum(inner) > 0.8 * semantic.size


def test_boxes_are_tight_around_bent_masks_or_rectangles(make_scene):
    scene = make_scene(90, 120)
    for seed in SEEDS[:3]:
        bent = augment.elastic(scene, seed=seed, deviation=4)
        np.testing.assert_array_equal(bent["boxes"], boxes.from_masks(bent["masks"]))
        assert len(bent["labels"]) == len(bent["boxes"]) == 3
        alone = {name: scene[name] for name in ("image", "boxes", "labels")}
        without = augment.elastic(alone, seed=seed, deviation=4)
        np.testing.assert_array_equal(without["boxes"], bent["boxes"])


def test_objects_that_are_moved_out_are_dropped(make_scene):
    scene = make_scene(30, 40)
    counts = {
        len(augment.elastic(scene, seed=seed, deviation=60)["boxes"]) for seed in SEEDS
    }
    assert min(counts) < 3


def test_the_same_seed_gives_the_same_sample_in_a_pipeline(make_scene, in_pipeline):
    scenes = [make_scene(seed=1), make_scene(31, 45), make_scene(1, 1, objects=0)]
    piped = in_pipeline(augment.elastic, scenes, SEEDS[:3])
    for scene, seed, result in zip(scenes, SEEDS, piped, strict=False):
        for name, value in augment.elastic(scene, seed=seed).items():
            np.testing.assert_array_equal(result[name], value)
    first, other = (augment.elastic(scenes[0], seed=s)["image"] for s in SEEDS[:2])
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("parameters", [{"deviation": -1}, {"fill": 256}])
def test_parameters_out_of_range_are_refused(make_scene, parameters):
    with pytest.raises(errors.UsageError):
        augment.elastic(make_scene(), seed=SEEDS[0], **parameters)
