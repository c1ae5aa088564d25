import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import semantic
from tfdl.tasks.segmentation import data

SIZES = [(10, 16), (6, 6), (9, 20)]
OPTIONS = {
    "image_size": 32,
    "num_examples": 20,
    "validation_fraction": 0.2,
    "test_fraction": 0.2,
    "on_bad_data": "error",
}


@pytest.fixture
def examples():
    """Return pictures whose pixels are 40 x class + 10, and 255 where ignored."""
    rng = np.random.default_rng(0)
    maps = [rng.integers(0, 3, size).astype(np.uint8) for size in SIZES]
    for label_map in maps:
        label_map[0, :4] = 255
    flat = tf.ragged.constant([label_map.ravel().tolist() for label_map in maps])
    sizes = tf.constant(SIZES)

    def load(index):
        values = tf.gather(flat, index)
        values = tf.cast(tf.reshape(values, tf.gather(sizes, index)), tf.uint8)
        level = tf.where(values == 255, values, 40 * values + 10)
        return {"image": tf.repeat(level[..., None], 3, -1), "semantic": values}

    pixels = np.array([np.bincount(m.ravel(), minlength=256)[:3] for m in maps])
    return semantic.Source(
        class_names=("a", "b", "c"),
        names=["first", "second", "third"],
        labels=semantic.labels(pixels),
        digests=np.array(["1", "2", "3"], "S32"),
        pixels=np.prod(SIZES, axis=1) * 3,
        load=load,
        class_pixels=pixels,
        sizes=np.array(SIZES, np.int32),
    )


def loaded(examples):
    return list(examples.records().map(examples.load).as_numpy_iterator())


def test_frequencies_are_shares_of_what_is_not_ignored(examples):
    known = dataclasses.replace(
        examples, class_pixels=np.array([[10, 0, 0], [20, 5, 0], [0, 5, 0]])
    )
    np.testing.assert_allclose(data.class_frequencies(known), [0.75, 0.25, 0])
    nothing = dataclasses.replace(examples, class_pixels=np.zeros((3, 3), int))
    with pytest.raises(errors.DataError, match="every pixel of all 3 label maps"):
        data.class_frequencies(nothing)


@pytest.mark.parametrize("limit_bytes", [0, 10 * 16 * 4, 4096])
def test_kept_pictures_and_maps_are_those_of_the_files(examples, limit_bytes):
    kept = data.kept(examples, limit_bytes=limit_bytes)
    for found, expected in zip(loaded(kept), loaded(examples), strict=True):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value)
            assert found[name].dtype == value.dtype
    np.testing.assert_array_equal(kept.class_pixels, examples.class_pixels)


def test_what_is_kept_is_decoded_once(examples):
    decoded = tf.Variable(0)

    def load(index):
        decoded.assign_add(1)
        return examples.load(index)

    counted = dataclasses.replace(examples, load=load)
    kept = data.kept(counted, limit_bytes=4096)
    assert decoded.numpy() == 3
    loaded(kept)
    assert decoded.numpy() == 3


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (7, 8)])
def test_a_prepared_picture_keeps_its_size_and_is_scaled(size):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    prepared = data.prepare_image(tf.constant(image))
    np.testing.assert_allclose(prepared, image / 255, atol=1e-7)
    assert prepared.dtype == tf.float32
    compiled = tf.function(data.prepare_image)(tf.constant(image))
    np.testing.assert_array_equal(compiled, prepared)


@pytest.mark.parametrize(("size", "number"), [(6, 0), (6, 1), (13, 1), (12, 2)])
def test_examples_are_the_middle_padded_with_ignored_grey(examples, size, number):
    sample = examples.load(tf.constant(number, tf.int64))
    example = data.preparation(size)(sample)
    height, width = SIZES[number]
    top, left = (height - size) // 2, (width - size) // 2
    expected = np.full((size, size), 255)
    rows = slice(max(0, -top), max(0, -top) + min(height, size))
    columns = slice(max(0, -left), max(0, -left) + min(width, size))
    expected[rows, columns] = sample["semantic"][
        max(0, top) : max(0, top) + size, max(0, left) : max(0, left) + size
    ]
    np.testing.assert_array_equal(example["semantic"], expected)
    outside = np.ones((size, size), bool)
    outside[rows, columns] = False
    image = example["image"].numpy()
    assert image.shape == (size, size, 3)
    np.testing.assert_allclose(image[outside], 128 / 255, atol=1e-7)
    seen = ~outside & (expected != 255)
    np.testing.assert_allclose(
        image[seen, 0], (40 * expected[seen] + 10) / 255, atol=1e-6
    )


def test_a_question_is_of_the_whole_picture(examples):
    sample = examples.load(tf.constant(2, tf.int64))
    asked = data.question(sample)
    assert asked["image"].shape == (9, 20, 3)
    np.testing.assert_array_equal(asked["semantic"], sample["semantic"])
    np.testing.assert_array_equal(asked["image"], data.prepare_image(sample["image"]))


def test_drawings_are_split_and_have_a_background(tmp_path):
    found = data.read("synthetic", cache_dir=tmp_path, **OPTIONS)
    assert {split: len(part) for split, part in found.items()} == {
        "train": 13,
        "validation": 3,
        "test": 4,
    }
    for part in found.values():
        assert part.class_names[0] == "background"
        assert len(part.class_names) == 11
        for number, sample in enumerate(loaded(part)):
            counts = np.bincount(sample["semantic"].ravel(), minlength=11)
            assert part.class_pixels[number].tolist() == counts.tolist()
    frequencies = data.class_frequencies(found["train"])
    assert frequencies.argmax() == 0
    np.testing.assert_allclose(frequencies.sum(), 1)


@pytest.mark.parametrize(
    ("spec", "options", "splits", "num_classes"),
    [
        ("masks:isbi_membrane", {}, (24, 3, 3), 2),
        ("masks:camvid", {"ignore": (11,)}, (36, 7, 10), 11),
        pytest.param("coco:coco_mini", {}, (51, 40, 13), 81, marks=pytest.mark.slow),
    ],
)
def test_real_data_are_split(
    tmp_path, real_data, monkeypatch, spec, options, splits, num_classes
):
    monkeypatch.setenv("TFDL_DATA", str(real_data))
    options = OPTIONS | {"warn": lambda line: None} | options
    if "isbi" in spec:
        options |= {"validation_fraction": 0.1, "test_fraction": 0.1}
    found = data.read(spec, cache_dir=tmp_path, **options)
    assert tuple(len(part) for part in found.values()) == splits
    assert list(found) == ["train", "validation", "test"]
    for part in found.values():
        assert len(part.class_names) == num_classes
        np.testing.assert_array_equal(part.labels, part.class_pixels > 0)


def test_a_share_of_train_may_be_kept_apart(tmp_path):
    found = data.read(
        "synthetic", cache_dir=tmp_path, train_dev_fraction=0.2, **OPTIONS
    )
    assert [len(part) for part in found.values()] == [10, 3, 3, 4]
    assert list(found) == ["train", "train_dev", "validation", "test"]


def test_other_formats_and_values_to_ignore_are_refused(tmp_path):
    with pytest.raises(errors.UsageError, match="Did you mean masks"):
        data.read("mask:x", cache_dir=tmp_path, **OPTIONS)
    with pytest.raises(errors.UsageError, match="--ignore is of values"):
        data.read("synthetic", cache_dir=tmp_path, ignore=(3,), **OPTIONS)
