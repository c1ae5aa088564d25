import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.sources import instances, source

SIZE = (6, 9)


def drawn(*windows):
    masks = np.zeros((len(windows), *SIZE), bool)
    for mask, (top, bottom, left, right) in zip(masks, windows, strict=True):
        mask[top:bottom, left:right] = True
    return masks


# The first two overlap, the third touches the first.
MASKS = drawn((0, 3, 0, 4), (2, 5, 3, 8), (3, 6, 0, 3))


def read(path, number, height=SIZE[0]):
    """Read a layered file as a person would who knows the format."""
    stacked = tf.io.decode_png(path.read_bytes(), dtype=tf.uint16).numpy()[..., 0]
    return (stacked.reshape(-1, height, stacked.shape[1]) == number + 1).any(axis=0)


@pytest.fixture
def examples(tmp_path):
    """Two pictures: three objects, the second of them a crowd; and none."""
    files = [tmp_path / "0.png", tmp_path / "1.png"]
    instances.write(files[0], instances.layered(MASKS, SIZE))
    instances.write(files[1], instances.layered([], SIZE))
    boxes = np.array([[0, 0, 4, 3], [3, 2, 8, 5], [0, 3, 3, 6]], np.float32)

    def known(count):
        return source.Objects(
            size=SIZE,
            boxes=boxes[:count],
            labels=np.zeros(count, np.int32),
            areas=np.ones(count, np.float32),
            is_crowd=np.array([False, True, False])[:count],
            is_difficult=np.zeros(count, bool),
            places=(),
        )

    base = source.Source(
        class_names=("object",),
        names=["0", "1"],
        labels=np.ones((2, 1), np.int32),
        digests=np.array([b"0", b"1"], "S32"),
        pixels=np.array([162, 162]),
        load=lambda index: {"image": tf.zeros([*SIZE, 3], tf.uint8)},
        objects=[known(3), known(0)],
    )
    return instances.with_masks(base, files)


def test_masks_that_overlap_lie_in_different_layers():
    layers = instances.layered(MASKS, SIZE)
    assert layers.shape == (2, *SIZE)
    assert layers.dtype == np.uint16
    for number, mask in enumerate(MASKS):
        np.testing.assert_array_equal((layers == number + 1).any(axis=0), mask)


def test_a_picture_without_objects_has_an_empty_layer():
    assert instances.layered([], SIZE).tolist() == np.zeros((1, *SIZE)).tolist()


def test_hundreds_of_objects_and_one_pixel_each(tmp_path):
    masks = np.eye(400, dtype=bool).reshape(400, 20, 20)
    instances.write(tmp_path / "many.png", instances.layered(masks, (20, 20)))
    for number in (0, 255, 256, 399):
        np.testing.assert_array_equal(
            read(tmp_path / "many.png", number, 20), masks[number]
        )


def test_samples_have_the_masks_without_crowds(examples):
    sample = examples.load(tf.constant(0, tf.int64))
    assert sample["masks"].dtype == tf.uint8
    np.testing.assert_array_equal(sample["masks"], MASKS[[0, 2]])
    assert examples.load(tf.constant(1, tf.int64))["masks"].shape == (0, *SIZE)


def test_truth_has_the_masks_with_crowds(examples):
    np.testing.assert_array_equal(examples.masks_of(0), MASKS)
    assert examples.masks_of(1).shape == (0, *SIZE)


def test_samples_are_loaded_in_the_graph(examples):
    loaded = list(examples.records().map(examples.load))
    assert [len(sample["masks"]) for sample in loaded] == [2, 0]


def test_taking_renumbers_pictures_and_masks(examples):
    turned = examples.take(np.array([1, 0]))
    assert isinstance(turned, instances.Source)
    np.testing.assert_array_equal(turned.masks_of(1), MASKS)
    assert not len(turned.masks_of(0))
    again = turned.take(np.array([1]))
    np.testing.assert_array_equal(again.masks_of(0), MASKS)


def test_nothing_half_written_is_left(tmp_path):
    instances.write(tmp_path / "new" / "a.png", instances.layered(MASKS, SIZE))
    assert [path.name for path in pathlib.Path(tmp_path / "new").iterdir()] == ["a.png"]
