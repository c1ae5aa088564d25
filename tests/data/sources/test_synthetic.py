import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.data import synthetic as drawings
from tfdl.data.sources import semantic, synthetic

NUM_EXAMPLES, SIZE = 12, 48


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def read(cache):
    """Return a function that reads the same drawings."""

    def read_train(**options):
        defaults = {
            "cache": cache,
            "num_examples": NUM_EXAMPLES,
            "image_size": SIZE,
            "max_objects": 4,
            "multi_label": False,
            "seed": 3,
        }
        [(split, examples)] = synthetic.read(**(defaults | options)).items()
        assert split == "train"
        return examples

    return read_train


def samples(examples):
    mapped = tf.data.Dataset.range(len(examples)).map(examples.load)
    return list(mapped.as_numpy_iterator())


def test_samples_have_every_key_in_its_dtype(read):
    examples = read()
    for number, sample in enumerate(samples(examples)):
        count = len(sample["labels"])
        assert {key: (value.dtype, value.shape) for key, value in sample.items()} == {
            "image": (np.uint8, (SIZE, SIZE, 3)),
            "label": (np.int32, ()),
            "boxes": (np.float32, (count, 4)),
            "labels": (np.int32, (count,)),
            "masks": (np.uint8, (count, SIZE, SIZE)),
            "semantic": (np.uint8, (SIZE, SIZE)),
        }
        assert sample["label"] == examples.labels[number]
        assert 1 <= count <= 4


def test_samples_are_the_drawings(read):
    for number, sample in enumerate(samples(read())):
        rng = np.random.default_rng((3, number))
        drawn = drawings.draw(rng, image_size=SIZE, max_objects=4)
        for key, value in drawn.items():
            np.testing.assert_array_equal(sample[key], value, err_msg=key)


def test_masks_boxes_and_the_semantic_map_agree(read):
    for sample in samples(read()):
        masks, semantic = sample["masks"], np.zeros([SIZE, SIZE], np.uint8)
        assert set(np.unique(masks)) <= {0, 1}
        for mask, box, label in zip(
            masks, sample["boxes"], sample["labels"], strict=True
        ):
            rows, columns = np.nonzero(mask)
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == tight
            semantic[mask == 1] = label + 1
        np.testing.assert_array_equal(sample["semantic"], semantic)
        assert sample["label"] == sample["labels"][masks.sum(axis=(1, 2)).argmax()]
        assert masks.sum(axis=0).max() == 1


def test_label_maps_are_read_alone_with_their_counts(read, cache, monkeypatch):
    options = {"num_examples": NUM_EXAMPLES, "image_size": SIZE, "max_objects": 4}
    first = synthetic.read_semantic(cache=cache, seed=3, **options)["train"]
    monkeypatch.setattr(semantic, "pixels_of_values", None)  # counted once
    found = synthetic.read_semantic(cache=cache, seed=3, **options)["train"]
    assert found.class_names == ("background", *drawings.CLASS_NAMES)
    assert found.names == read().names
    for number, (sample, full) in enumerate(
        zip(samples(found), samples(read()), strict=True)
    ):
        assert sorted(sample) == ["image", "semantic"]
        for name, value in sample.items():
            np.testing.assert_array_equal(value, full[name])
        counts = np.bincount(full["semantic"].ravel(), minlength=11)
        assert found.class_pixels[number].tolist() == counts.tolist()
        assert first.class_pixels[number].tolist() == counts.tolist()
        assert found.labels[number].tolist() == (counts > 0).tolist()
        assert found.sizes[number].tolist() == [SIZE, SIZE]


def test_samples_are_the_same_eagerly_and_in_the_pipeline(read):
    examples = read()
    mapped = samples(examples)[5]
    for key, value in examples.load(tf.constant(5, tf.int64)).items():
        np.testing.assert_array_equal(value, mapped[key])


def test_several_labels_are_all_the_classes_in_the_picture(read):
    examples = read(multi_label=True)
    assert examples.labels.shape == (NUM_EXAMPLES, 10)
    assert examples.labels.sum(axis=1).max() > 1
    for sample, row in zip(samples(examples), examples.labels, strict=True):
        np.testing.assert_array_equal(sample["label"], row)
        assert np.flatnonzero(row).tolist() == sorted(set(sample["labels"].tolist()))


def test_one_object_is_the_label(read):
    for sample in samples(read(max_objects=1)):
        assert sample["labels"].tolist() == [sample["label"]]


def test_drawings_are_drawn_once(read, cache, monkeypatch):
    first = read()
    monkeypatch.setattr(drawings, "draw", None)
    second = read()
    np.testing.assert_array_equal(first.digests, second.digests)
    assert first.names == second.names
    assert all(name.startswith(str(cache)) for name in first.names)


def test_other_arguments_are_other_drawings(read):
    first, other = read(), read(seed=4)
    assert not set(first.digests) & set(other.digests)
    assert len(read(num_examples=3)) == 3


def test_digests_tell_pictures_apart_and_pixels_are_counted(read):
    examples = read()
    assert len(set(examples.digests)) == NUM_EXAMPLES
    assert set(examples.pixels) == {SIZE * SIZE * 3}
    with PIL.Image.open(examples.names[0]) as picture:
        assert picture.size == (SIZE, SIZE)
