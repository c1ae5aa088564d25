import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.sources import source
from tfdl.tasks.classification import feeding, recipes


@pytest.fixture
def splits():
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), np.uint8)
    labels = np.arange(30, dtype=np.int32) % 2

    def load(index):
        return {
            "image": tf.gather(tf.constant(images), index),
            "label": tf.gather(tf.constant(labels), index),
        }

    whole = source.Source(
        class_names=("even", "odd"),
        names=[str(number) for number in range(30)],
        labels=labels,
        digests=np.arange(30).astype("S8"),
        pixels=np.full(30, 192),
        load=load,
    )
    sources = {
        "train": whole,
        "validation": whole.take(np.arange(5)),
        "test": whole.take(np.arange(5, 12)),
    }
    recipe = recipes.recipe(
        "strong",
        "mixup",
        image_size=8,
        channels=3,
        num_classes=2,
        sampling="uniform",
    )
    return feeding.Splits(sources, recipe, batch_size=8, seed=3)


def test_training_is_fed_by_the_recipe(splits):
    images, targets = splits.first_batch()
    assert images.shape == (8, 8, 8, 3)
    np.testing.assert_allclose(tf.reduce_sum(targets, axis=-1), 1, rtol=1e-6)
    assert splits.training.epoch_steps == 3
    assert splits.class_names == ("even", "odd")


def test_held_out_batches_are_small_and_plain(splits):
    assert splits.held_out.batch_size == 5
    images, targets = next(iter(splits.held_out.batches(range(1))))
    assert set(np.unique(targets)) == {0, 1}
    plain = next(iter(splits.evaluation("validation")))["image"]
    order = np.lexsort(np.reshape(images, (5, -1)).T)
    expected = np.lexsort(np.reshape(plain, (5, -1)).T)
    np.testing.assert_allclose(
        np.asarray(images)[order], np.asarray(plain)[expected], atol=1e-6
    )


def test_evaluation_has_every_example_once(splits):
    sizes = [len(batch["image"]) for batch in splits.evaluation("test")]
    assert sum(sizes) == 7
