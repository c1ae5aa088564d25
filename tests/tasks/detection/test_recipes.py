import numpy as np
import pytest
import tensorflow as tf

from tfdl.data import augment, synthetic
from tfdl.tasks.detection import recipes

OPTIONS = {"image_size": 64, "max_objects": 5, "feed": lambda *fed: fed}


@pytest.fixture(scope="module")
def sample():
    drawn = synthetic.draw(np.random.default_rng(3), image_size=48, max_objects=4)
    return {name: tf.constant(drawn[name]) for name in ("image", "boxes", "labels")}


@pytest.mark.parametrize("augmentation", recipes.AUGMENTATIONS)
def test_every_recipe_makes_prepared_examples_in_the_graph(augmentation, sample):
    recipe = recipes.recipe(augmentation, "none", **OPTIONS)

    def example(number):
        seed = tf.stack([tf.cast(number, tf.int32), 0])
        return recipe.prepare(augment.apply(recipe.augmentations, sample, seed=seed))

    examples = list(tf.data.Dataset.range(4).map(example).as_numpy_iterator())
    plain = recipe.prepare(sample)
    for made in examples:
        assert made["image"].shape == (64, 64, 3)
        assert made["boxes"].shape == (5, 4)
        real = made["weights"] > 0
        assert (made["boxes"][real] >= -1e-3).all()
        assert (made["boxes"][real] <= 64 + 1e-3).all()
        assert (made["labels"][~real] == -1).all()
    is_plain = all(np.array_equal(made["image"], plain["image"]) for made in examples)
    assert is_plain == (augmentation == "none")


@pytest.mark.parametrize(
    ("mix", "room"), [("none", 5), ("mixup", 10), ("mosaic", 20), ("mosaic_mixup", 40)]
)
def test_a_batch_is_fed_with_its_targets_and_room_for_what_is_mixed(mix, room):
    recipe = recipes.recipe("none", mix, **OPTIONS)
    batch = {
        "image": tf.zeros([2, 64, 64, 3]),
        "boxes": tf.zeros([2, 20, 4]),
        "labels": tf.fill([2, 20], -1),
        "weights": tf.zeros([2, 20]),
    }
    images, targets = recipe.feed(batch)
    assert images.shape == (2, 64, 64, 3)
    assert targets["boxes"].shape == (2, room, 4)


def test_mixing_is_what_was_named():
    assert not recipes.recipe("none", "none", **OPTIONS).is_mixing
    both = recipes.recipe("none", "mosaic_mixup", **OPTIONS)
    assert both.mosaic is augment.mosaic
    assert both.mix.func is augment.mixup
