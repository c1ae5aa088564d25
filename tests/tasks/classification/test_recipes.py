import numpy as np
import pytest
import tensorflow as tf

from tfdl.data import augment
from tfdl.tasks.classification import recipes


@pytest.mark.parametrize("augmentation", recipes.AUGMENTATIONS)
def test_every_recipe_makes_prepared_examples(augmentation):
    recipe = recipes.recipe(
        augmentation,
        "none",
        image_size=32,
        channels=3,
        num_classes=4,
        sampling="uniform",
    )
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    sample = {"image": tf.constant(image), "label": tf.constant(2)}
    sample = augment.apply(recipe.augmentations, sample, seed=tf.constant([1, 2]))
    example = recipe.prepare(sample)
    assert example["image"].shape == (32, 32, 3)
    np.testing.assert_array_equal(example["classes"], [0, 0, 1, 0])
    is_plain = np.allclose(example["image"] * 255, image, atol=1e-3)
    assert is_plain == (augmentation == "none")


def test_the_mix_is_the_one_named():
    options = {"image_size": 8, "channels": 1, "num_classes": 2, "sampling": "balanced"}
    recipe = recipes.recipe("none", "cutmix", **options)
    assert recipe.mix is augment.cutmix
    assert recipe.sampling == "balanced"
    recipe = recipes.recipe("none", "mosaic_mixup", **options)
    assert (recipe.mosaic, recipe.mix) == (augment.mosaic, augment.mixup)
