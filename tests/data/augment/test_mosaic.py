import keras_cv
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment
from tfdl.ops import boxes

HEIGHT, WIDTH = 20, 28
SEEDS = [tf.constant([number, 7]) for number in range(16)]
LEAST = 0.3141  # of no box of whole pixels exactly this share is seen
AT_THE_MIDDLE = {"seed": tf.constant([0, 0]), "centres": (0.5, 0.5)}


def make_example(index, objects=2):
    """Noise, and rectangles as objects; the class is the index."""
    rng = np.random.default_rng(index)
    corners = rng.integers(0, [WIDTH - 1, HEIGHT - 1], [objects, 2])
    sides = rng.integers(1, np.array([WIDTH, HEIGHT]) - corners + 1)
    masks = np.zeros([objects, HEIGHT, WIDTH], np.uint8)
    for mask, (left, top), (width, height) in zip(masks, corners, sides, strict=True):
        mask[top : top + height, left : left + width] = 1
    example = {
        "image": rng.random([HEIGHT, WIDTH, 3], np.float32),
        "classes": np.eye(4, dtype=np.float32)[index],
        "boxes": np.concatenate([corners, corners + sides], axis=1).astype("float32"),
        "labels": 10 * index + np.arange(objects, dtype=np.int32),
        "masks": masks,
        "semantic": np.full([HEIGHT, WIDTH], index, np.uint8),
    }
    return {name: tf.constant(value) for name, value in example.items()}


@pytest.fixture
def four():
    return [make_example(index, objects=index + 1) for index in range(4)]


def centre_of(mixed):
    """Read the meeting point off the top left picture's part: row, column."""
    own = np.argwhere(mixed["semantic"].numpy() == 0)
    return own.max(axis=0) + 1 if len(own) else np.zeros(2, int)


def canvas_of(planes, centre):
    """The oracle: a canvas of four whole pictures, of which a window is cut."""
    rows = [np.concatenate(planes[:2], axis=1), np.concatenate(planes[2:], axis=1)]
    canvas = np.concatenate(rows, axis=0)
    top, left = HEIGHT - centre[0], WIDTH - centre[1]
    return canvas[top : top + HEIGHT, left : left + WIDTH]


def test_corners_that_face_each_other_meet(four):
    mixed = augment.mosaic(*four, **AT_THE_MIDDLE)
    for name in ("image", "semantic"):
        expected = canvas_of([each[name].numpy() for each in four], (10, 14))
        np.testing.assert_array_equal(mixed[name], expected)
    # The last pixel of the first is beside the last row's first of the second.
    np.testing.assert_array_equal(mixed["image"][9, 13], four[0]["image"][-1, -1])
    np.testing.assert_array_equal(mixed["image"][9, 14], four[1]["image"][-1, 0])


def test_everything_is_as_on_a_canvas_of_whole_pictures(four):
    num_padding = 0
    for seed in SEEDS:
        mixed = augment.mosaic(*four, seed=seed, min_visibility=LEAST)
        centre = centre_of(mixed)
        for name in ("image", "semantic"):
            expected = canvas_of([each[name].numpy() for each in four], centre)
            np.testing.assert_array_equal(mixed[name], expected)
        masks = []
        for place, each in enumerate(four):
            for mask in each["masks"].numpy():
                planes = [np.zeros_like(mask)] * 4
                planes[place] = mask
                masks.append(canvas_of(planes, centre))
        np.testing.assert_array_equal(mixed["masks"], masks)
        whole = np.concatenate([each["masks"] for each in four]).sum(axis=(1, 2))
        kept = np.sum(masks, axis=(1, 2)) >= np.maximum(LEAST * whole, 1)
        num_padding += (~kept).sum()
        expected = boxes.from_masks(np.array(masks)).numpy() * kept[:, None]
        np.testing.assert_array_equal(mixed["boxes"], expected)
        labels = np.concatenate([each["labels"] for each in four])
        np.testing.assert_array_equal(mixed["labels"], np.where(kept, labels, -1))
        np.testing.assert_array_equal(mixed["weights"], kept)
    assert num_padding > 10


def test_classes_are_shares_of_the_area(four):
    for seed in SEEDS:
        mixed = augment.mosaic(*four, seed=seed)
        shown = np.bincount(mixed["semantic"].numpy().ravel(), minlength=4)
        np.testing.assert_allclose(
            mixed["classes"], shown / (HEIGHT * WIDTH), rtol=1e-5
        )


@pytest.mark.parametrize("centre", [(0.25, 0.25), (0.5, 0.5), (0.75, 0.75)])
def test_pictures_and_classes_are_those_of_keras_cv(centre):
    # keras-cv draws from it, and there is none by default where ops are deterministic.
    tf.random.set_global_generator(tf.random.Generator.from_seed(0))
    rng = np.random.default_rng(0)
    images = rng.random([4, 16, 16, 3], np.float32)
    labels = np.eye(4, dtype=np.float32)
    # Pictures of one value each: keras-cv resamples between the pixels.
    images[:] = images[:, :1, :1]
    layer = keras_cv.layers.Mosaic(offset=centre)
    transformation = layer.get_random_transformation_batch(4)
    order = np.stack([np.roll(np.arange(4), -index) for index in range(4)])
    transformation["permutation_order"] = tf.constant(order)
    theirs = layer.augment_images(images, transformation).numpy()
    shares = layer.augment_labels(labels, transformation, images=images).numpy()
    for index in range(4):
        examples = [
            {"image": tf.constant(images[k]), "classes": tf.constant(labels[k])}
            for k in order[index]
        ]
        ours = augment.mosaic(*examples, seed=SEEDS[0], centres=centre)
        np.testing.assert_allclose(ours["classes"], shares[index], atol=1e-6)
        differs = np.abs(ours["image"] - theirs[index]).max(axis=-1) > 1e-5
        # It cuts between pixels: one row and one column may be a blend.
        assert differs.sum() <= 16 + 15


def test_it_is_the_same_eagerly_and_in_tf_data(four):
    seeds = tf.data.Dataset.from_tensor_slices(tf.stack(SEEDS))
    piped = seeds.map(lambda seed: augment.mosaic(*four, seed=seed))
    for seed, there in zip(SEEDS, piped, strict=True):
        here = augment.mosaic(*four, seed=seed)
        for name, value in here.items():
            np.testing.assert_allclose(value, there[name], rtol=1e-6)
            assert value.dtype == there[name].dtype


def test_the_meeting_point_is_anywhere_within_its_bounds(four):
    centres = np.array([centre_of(augment.mosaic(*four, seed=seed)) for seed in SEEDS])
    assert (centres >= [5, 7]).all()
    assert (centres <= [15, 21]).all()
    assert len(np.unique(centres, axis=0)) > len(SEEDS) // 2


@pytest.mark.parametrize(("place", "shown"), [(1.0, 0), (0.0, 3)])
def test_at_a_corner_one_whole_picture_is_seen(four, place, shown):
    mixed = augment.mosaic(*four, seed=SEEDS[0], centres=(place, place))
    np.testing.assert_array_equal(mixed["image"], four[shown]["image"])
    np.testing.assert_array_equal(mixed["classes"], four[shown]["classes"])
    kept = mixed["weights"].numpy() == 1
    np.testing.assert_array_equal(mixed["boxes"][kept], four[shown]["boxes"])


def test_padding_stays_padding(four):
    for each in four:
        each["weights"] = tf.zeros(len(each["boxes"]))
    assert not augment.mosaic(*four, **AT_THE_MIDDLE)["weights"].numpy().any()


def test_pictures_without_objects_or_alone():
    empty = [make_example(index, objects=0) for index in range(4)]
    mixed = augment.mosaic(*empty, **AT_THE_MIDDLE)
    assert mixed["boxes"].shape == (0, 4)
    assert mixed["masks"].shape == (0, HEIGHT, WIDTH)
    alone = [{"image": each["image"], "name": "a"} for each in empty]
    assert augment.mosaic(*alone, **AT_THE_MIDDLE).keys() == {"image", "name"}


@pytest.mark.parametrize("option", [{"centres": (0.5, 1.5)}, {"min_visibility": 2}])
def test_shares_outside_zero_to_one_are_refused(four, option):
    with pytest.raises(errors.UsageError, match=next(iter(option))):
        augment.mosaic(*four, seed=SEEDS[0], **option)
