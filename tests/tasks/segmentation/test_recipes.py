import numpy as np
import pytest
import tensorflow as tf

from tfdl.data import augment
from tfdl.tasks.segmentation import recipes

SIZE = 24
FREQUENCIES = np.array([0.9, 0.05, 0.05])


def make(augmentation, crop="random", targets=lambda labels: labels):
    return recipes.recipe(
        augmentation,
        crop,
        image_size=SIZE,
        frequencies=FREQUENCIES,
        targets=targets,
    )


@pytest.fixture(scope="module")
def sample():
    """Paint two bright shapes: their level is 100 x class, the background is black."""
    semantic = np.zeros((50, 66), np.uint8)
    rows, columns = np.indices(semantic.shape)
    semantic[(rows - 20) ** 2 + (columns - 22) ** 2 < 120] = 1
    semantic[25:44, 40:60] = 2
    image = np.repeat(100 * semantic[..., None], 3, axis=-1).astype(np.uint8)
    return {"image": tf.constant(image), "semantic": tf.constant(semantic)}


def examples(recipe, sample, count=8):
    """Prepare a sample with many seeds, in a pipeline that knows no sizes."""

    def example(number, image, semantic):
        seed = tf.stack([tf.cast(number, tf.int32), 4])
        known = {"image": image, "semantic": semantic}
        return recipe.prepare(augment.apply(recipe.augmentations, known, seed=seed))

    signature = (
        tf.TensorSpec([None, None, 3], tf.uint8),
        tf.TensorSpec([None, None], tf.uint8),
    )
    same = tf.data.Dataset.from_generator(
        lambda: iter([(sample["image"], sample["semantic"])] * count),
        output_signature=signature,
    )
    numbered = tf.data.Dataset.zip(tf.data.Dataset.range(count), same)
    made = numbered.map(lambda number, pair: example(number, *pair))
    return list(made.as_numpy_iterator())


@pytest.mark.parametrize(
    ("augmentation", "crop"),
    [
        *((augmentation, "random") for augmentation in recipes.AUGMENTATIONS),
        ("photos", "rare_classes"),
        ("elastic", "rare_classes"),
    ],
)
def test_maps_follow_their_pictures_in_every_recipe(augmentation, crop, sample):
    """Away from edges, a pixel's level tells its class whatever the light is."""
    made = examples(make(augmentation, crop), sample)
    pixels = fitting = 0
    for example in made:
        image, semantic = example["image"], example["semantic"]
        assert image.shape == (SIZE, SIZE, 3)
        assert semantic.shape == (SIZE, SIZE)
        assert set(np.unique(semantic)) <= {0, 1, 2, 255}
        means = [image[semantic == k].mean() for k in range(3) if (semantic == k).any()]
        levels = image.mean(axis=-1)
        for label in set(np.unique(semantic)) - {255}:
            is_own = semantic == label
            pixels += is_own.sum()
            fitting += (abs(levels[is_own] - np.median(levels[is_own])) < 0.15).sum()
        assert means == sorted(means)
    assert pixels > 0.5 * len(made) * SIZE * SIZE
    assert fitting > 0.93 * pixels


def test_without_augmentation_windows_are_parts_of_the_picture(sample):
    made = examples(make("none"), sample)
    windows = set()
    for example in made:
        np.testing.assert_allclose(
            example["image"][..., 0], 100 * example["semantic"] / 255, atol=1e-6
        )
        windows.add(example["semantic"].tobytes())
    assert len(windows) > 4


def test_examples_follow_from_their_seed_alone(sample):
    for augmentation in ("photos", "elastic"):
        first, again = (examples(make(augmentation), sample, 3) for _ in range(2))
        for one, other in zip(first, again, strict=True):
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])
        assert not np.array_equal(first[0]["image"], first[1]["image"])


def test_rare_classes_are_seen_more_often_around_their_pixels(sample):
    shares = [
        np.mean([(e["semantic"] % 255 > 0).mean() for e in made])
        for made in (
            examples(make("flips", crop), sample, 40) for crop in recipes.CROPS
        )
    ]
    assert shares[1] > 1.3 * shares[0]


def test_elastic_recipes_bend_and_keep_grey(sample):
    straight = examples(make("flips"), sample)
    bent = examples(make("elastic"), sample)
    for example in bent:
        levels = example["image"]
        np.testing.assert_allclose(levels[..., 0], levels[..., 2], atol=1 / 255)
    # In a straight sample the edges of the rectangle are whole rows or columns.
    widths = [
        {int(n) for n in (example["semantic"] == 2).sum(axis=0)} for example in straight
    ]
    assert max(map(len, widths)) <= 2
    widths = [
        {int(n) for n in (example["semantic"] == 2).sum(axis=0)} for example in bent
    ]
    assert max(map(len, widths)) > 3


def test_a_batch_is_fed_with_its_targets(sample):
    recipe = make("none", targets=lambda labels: {"logits": labels, "half": labels / 2})
    batch = {
        "image": tf.zeros([2, SIZE, SIZE, 3]),
        "semantic": tf.ones([2, SIZE, SIZE], tf.uint8),
    }
    images, targets = recipe.feed(batch)
    assert images.shape == (2, SIZE, SIZE, 3)
    assert targets["half"].numpy().max() == 0.5


def test_a_picture_smaller_than_the_window_is_padded_with_what_is_ignored():
    small = {
        "image": tf.fill([10, 9, 3], tf.constant(255, tf.uint8)),
        "semantic": tf.zeros([10, 9], tf.uint8),
    }
    for augmentation in ("photos", "elastic"):
        for example in examples(make(augmentation), small, 3):
            outside = example["semantic"] == 255
            assert outside.sum() >= SIZE * SIZE - 20 * 18
            assert outside.any()
