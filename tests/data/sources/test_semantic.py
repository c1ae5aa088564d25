import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.sources import semantic


@pytest.fixture
def files(tmp_path, encode, pixels):
    """Write two pictures of other sizes with their maps, and return their paths."""
    images, labels = [], []
    for number, size in enumerate([(4, 6), (5, 3)]):
        values = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size) % 4
        images.append(tmp_path / f"image{number}.png")
        labels.append(tmp_path / f"map{number}.png")
        images[-1].write_bytes(encode(pixels(*size, seed=number)))
        labels[-1].write_bytes(encode(values))
    return [[str(path).encode() for path in paths] for paths in (images, labels)]


def make(files):
    table = np.full(256, 255, np.uint8)
    table[:3] = 1, 0, 2
    class_pixels = np.array([[6, 6, 6], [4, 4, 4]])
    return semantic.Source(
        class_names=("a", "b", "c"),
        names=["first", "second"],
        labels=semantic.labels(class_pixels),
        digests=np.array(["1", "2"], "S32"),
        pixels=np.array([72, 45]),
        load=semantic.loader(*files, table),
        class_pixels=class_pixels,
        sizes=np.array([[4, 6], [5, 3]], np.int32),
    )


def test_values_become_classes_eagerly_and_in_the_pipeline(files, pixels):
    examples = make(files)
    expected = np.arange(15).reshape(5, 3) % 4
    expected = np.array([1, 0, 2, 255])[expected]
    [_, piped] = examples.records().map(examples.load)
    for sample in (piped, examples.load(tf.constant(1, tf.int64))):
        np.testing.assert_array_equal(sample["semantic"], expected)
        np.testing.assert_array_equal(sample["image"], pixels(5, 3, seed=1))
        assert sample["semantic"].dtype == sample["image"].dtype == tf.uint8


def test_what_is_taken_keeps_its_counts_and_sizes(files):
    taken = make(files).take(np.array([1]))
    assert isinstance(taken, semantic.Source)
    assert taken.names == ["second"]
    assert taken.class_pixels.tolist() == [[4, 4, 4]]
    assert taken.sizes.tolist() == [[5, 3]]
    assert taken.load(tf.constant(0, tf.int64))["image"].shape == (5, 3, 3)
    assert len(make(files).take(np.array([1, 0, 1]))) == 3


def test_pixels_of_values_are_those_of_numpy():
    values = np.random.default_rng(0).integers(0, 256, (7, 31)).astype(np.uint8)
    for label_map in (values, np.zeros((0, 3), np.uint8), np.full((2, 2), 255, "u1")):
        counted = semantic.pixels_of_values(tf.constant(label_map))
        expected = np.bincount(label_map.ravel(), minlength=256)
        np.testing.assert_array_equal(counted, expected)
        assert counted.dtype == tf.int64


def test_a_class_is_shown_where_it_has_a_pixel():
    assert semantic.labels(np.array([[0, 7], [1, 0]])).tolist() == [[0, 1], [1, 0]]
