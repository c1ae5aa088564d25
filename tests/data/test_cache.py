import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data import cache
from tfdl.data.sources import source

NUM_EXAMPLES = 9


@pytest.fixture
def written():
    """Return a variable that the source's pictures show."""
    return tf.Variable(0, dtype=tf.uint8)


@pytest.fixture(params=[3, 1], ids=["RGB", "grey"])
def examples(request, written):
    """Return pictures of nine sizes, and what a detector would need beside."""
    heights, widths = np.arange(1, 10), np.arange(9, 0, -1)
    sizes = tf.constant(np.stack([heights, widths], axis=1))

    def load(index):
        height, width = tf.unstack(tf.gather(sizes, index))
        numbers = tf.range(height * width * request.param) + 17 * index
        image = tf.reshape(numbers % 251, [height, width, request.param])
        return {
            "image": tf.cast(image, tf.uint8) + written,
            "label": tf.cast(index % 3, tf.int32),
            "boxes": tf.zeros([2, 4]),
        }

    return source.Source(
        class_names=("a", "b", "c"),
        names=[str(number) for number in range(NUM_EXAMPLES)],
        labels=np.arange(NUM_EXAMPLES, dtype=np.int32) % 3,
        digests=np.array([str(number) for number in range(NUM_EXAMPLES)], "S"),
        pixels=(heights * widths * request.param).astype(np.int64),
        load=load,
    )


def keep(examples, *, limit_bytes):
    labels = tf.constant(examples.labels)
    return cache.keep_pictures(
        examples,
        limit_bytes=limit_bytes,
        annotations=lambda index: {"label": tf.gather(labels, index)},
    )


def in_pipeline(examples):
    dataset = tf.data.Dataset.range(len(examples)).map(examples.load)
    assert dataset.element_spec["image"].shape.rank == 3
    return list(dataset.as_numpy_iterator())


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.7, 1, 5])
def test_samples_are_the_same_whatever_fits(examples, share):
    limit = int(share * examples.pixels.sum())
    kept = keep(examples, limit_bytes=limit)
    plain = [examples.load(tf.constant(n, tf.int64)) for n in range(NUM_EXAMPLES)]
    for number, sample in enumerate(in_pipeline(kept)):
        assert sorted(sample) == ["image", "label"]
        np.testing.assert_array_equal(sample["image"], plain[number]["image"])
        assert sample["label"] == plain[number]["label"]
        eager = kept.load(tf.constant(number, tf.int64))
        np.testing.assert_array_equal(eager["image"], sample["image"])
    assert kept.names == examples.names


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.7, 1])
def test_kept_pictures_are_the_first_that_fit_the_limit(examples, written, share):
    limit = int(share * examples.pixels.sum())
    before = in_pipeline(keep(examples, limit_bytes=0))
    kept = keep(examples, limit_bytes=limit)
    written.assign(100)  # what is decoded from now on looks otherwise
    is_kept = [
        (now["image"] == then["image"]).all()
        for now, then in zip(in_pipeline(kept), before, strict=True)
    ]
    sizes = itertools.accumulate(examples.pixels.tolist())
    assert is_kept == [size <= limit for size in sizes]


def test_channels_stay_known_in_the_graph(examples):
    channels = int(examples.load(tf.constant(0, tf.int64))["image"].shape[-1])
    kept = keep(examples, limit_bytes=100)
    dataset = tf.data.Dataset.range(1).map(kept.load)
    assert dataset.element_spec["image"].shape.as_list() == [None, None, channels]


def test_several_classes_are_kept_as_they_are(make_source):
    labels = np.eye(3, dtype=np.int32)[[0, 2, 1, 1]]
    kept = keep(make_source(labels), limit_bytes=24)
    found = [sample["label"] for sample in in_pipeline(kept)]
    np.testing.assert_array_equal(found, labels)
