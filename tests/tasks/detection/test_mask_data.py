"""Outlines within boxes, and pictures with masks as Mask R-CNN takes them."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.ops import masks as masks_of
from tfdl.tasks.detection import mask_data

READING = {
    "image_size": 64,
    "num_examples": 40,
    "validation_fraction": 0.1,
    "test_fraction": 0.1,
    "on_bad_data": "error",
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return mask_data.read(
        "synthetic", cache_dir=tmp_path_factory.mktemp("cache"), **READING
    )


def test_drawings_have_three_splits_with_masks(sources):
    assert list(sources) == ["train", "validation", "test"]
    assert sum(map(len, sources.values())) == 40
    for examples in sources.values():
        sample = examples.load(tf.constant(0, tf.int64))
        assert len(sample["masks"]) == len(sample["boxes"])
        np.testing.assert_array_equal(examples.masks_of(0), sample["masks"])


def test_another_format_is_refused(tmp_path):
    with pytest.raises(errors.UsageError, match="voc"):
        mask_data.read("voc:there", cache_dir=tmp_path, **READING)


def test_an_outline_laid_back_into_its_box_is_the_mask(sources):
    for number in range(8):
        sample = sources["train"].load(tf.constant(number, tf.int64))
        found = mask_data.outlines(sample["masks"], sample["boxes"])
        assert found.shape[1:] == (mask_data.OUTLINE_CELLS,) * 2
        picture = np.array([0, 0, 64, 64], np.float32)
        seen = masks_of.resample(found, sample["boxes"], picture, (64, 64))
        seen, truth = np.array(seen) >= 0.5, np.array(sample["masks"]) > 0
        for own, other in zip(seen, truth, strict=True):
            assert np.sum(own & other) / np.sum(own | other) > 0.9


@pytest.mark.parametrize("place", [(0, 0), (5, 7), (9, 11)])
def test_one_pixel_is_full_within_its_box(place):
    mask = np.zeros((1, 10, 12), np.uint8)
    mask[(0, *place)] = 1
    box = np.array([[place[1], place[0], place[1] + 1, place[0] + 1]], np.float32)
    found = mask_data.outlines(tf.constant(mask), tf.constant(box))
    assert np.all(found.numpy() >= 0.5)


def test_examples_are_padded_to_one_number(sources):
    prepare = mask_data.preparation(64, max_objects=5)
    sample = sources["train"].load(tf.constant(0, tf.int64))
    example = prepare(sample)
    count = len(sample["boxes"])
    assert example["outlines"].shape == (5, 56, 56)
    assert not np.any(example["outlines"][count:])
    assert np.all(np.max(example["outlines"][:count], axis=(1, 2)) == 1)
    assert example["weights"].numpy().tolist() == [1] * count + [0] * (5 - count)


def test_more_objects_than_room_and_none(sources):
    prepare = mask_data.preparation(64, max_objects=1)
    numbers = range(len(sources["train"]))
    many = next(n for n in numbers if len(sources["train"].objects[n]) > 1)
    sample = sources["train"].load(tf.constant(many, tf.int64))
    assert prepare(sample)["outlines"].shape == (1, 56, 56)
    none = {name: sample[name][:0] for name in ("boxes", "labels", "masks")}
    example = prepare(sample | none)
    assert not np.any(example["outlines"])
    assert not np.any(example["weights"])


def test_large_pictures_are_shrunk_with_their_masks(sources):
    small = mask_data.shrunk(sources["train"], image_size=32)
    sample = small.load(tf.constant(0, tf.int64))
    whole = sources["train"].load(tf.constant(0, tf.int64))
    assert sample["image"].shape[:2] == sample["masks"].shape[1:] == (32, 32)
    np.testing.assert_allclose(sample["boxes"], whole["boxes"] / 2)
    share = np.mean(sample["masks"], axis=(1, 2)), np.mean(whole["masks"], axis=(1, 2))
    np.testing.assert_allclose(*share, rtol=0.2)
