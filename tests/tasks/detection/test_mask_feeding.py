"""What a training of Mask R-CNN is fed with, drawn from its seed."""

import numpy as np
import pytest

from tfdl import errors
from tfdl.tasks.detection import mask_feeding


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def read(augmentation="flips", class_names=None, seed=0):
        return mask_feeding.read(
            {
                "spec": "synthetic",
                "cache_dir": cache,
                "image_size": 64,
                "num_examples": 40,
                "validation_fraction": 0.1,
                "test_fraction": 0.1,
                "on_bad_data": "error",
            },
            cache_bytes=0,
            class_names=class_names,
            augmentation=augmentation,
            feed=lambda num_classes: lambda images, objects: (images, objects),
            batch_size=4,
            seed=seed,
        )

    return read


@pytest.mark.parametrize("augmentation", ["none", "flips", "photos", "any_way_up"])
def test_batches_have_outlines_that_follow_their_boxes(read, augmentation):
    splits = read(augmentation)
    images, objects = next(iter(splits.training.batches(range(1))))
    assert images.shape == (4, 64, 64, 3)
    count = objects["labels"].shape[1]
    assert objects["outlines"].shape == (4, count, 56, 56)
    real = np.array(objects["weights"]) > 0
    filled = np.array(objects["outlines"]).mean(axis=(2, 3))
    assert (filled[real] > 0.2).all()  # of a box, by a shape
    assert not filled[~real].any()


def test_the_first_batch_is_shown_as_it_is_fed(read):
    splits = read()
    shown = splits.first_batch()
    images, objects = next(iter(splits.training.batches(range(1))))
    np.testing.assert_array_equal(shown["images"], images)
    np.testing.assert_array_equal(shown["outlines"], objects["outlines"])
    assert set(shown) == {"images", "boxes", "labels", "weights", "outlines"}


def test_the_same_seed_gives_the_same_batches(read):
    first, second, other = (
        next(iter(read("photos", seed=seed).training.batches(range(1))))[0]
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, second)
    assert np.any(first != other)


def test_evaluation_asks_about_every_picture(read):
    splits = read()
    batches = list(splits.evaluation("test"))
    numbers = [number for batch in batches for number in batch["number"].numpy()]
    assert numbers == list(range(len(splits.sources["test"])))
    assert batches[0]["size"].numpy().tolist() == [[64, 64]] * 4


def test_other_classes_than_the_run_s_are_refused(read):
    with pytest.raises(errors.DataError, match="class"):
        read(class_names=("cat",))
