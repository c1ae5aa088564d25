import numpy as np
import tensorflow as tf

from tfdl.data.sources import source


def test_taken_examples_are_renumbered(make_source):
    examples = make_source([0, 1, 2, 0, 1], prefix="p")
    taken = examples.take(np.array([4, 1, 1]))
    assert len(taken) == 3
    assert taken.names == ["p4", "p1", "p1"]
    assert taken.labels.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(taken.digests, examples.digests[[4, 1, 1]])
    assert taken.pixels.tolist() == [12] * 3
    assert taken.class_names == examples.class_names


def test_taken_examples_load_eagerly_and_in_the_pipeline(make_source):
    taken = make_source([0, 1, 2, 0, 1]).take(np.array([4, 1, 3]))
    mapped = list(tf.data.Dataset.range(3).map(taken.load).as_numpy_iterator())
    assert [int(sample["image"][0, 0, 1]) for sample in mapped] == [4, 1, 3]
    for number, sample in enumerate(mapped):
        eager = taken.load(tf.constant(number, tf.int64))
        np.testing.assert_array_equal(eager["image"], sample["image"])
        assert eager["label"] == sample["label"] == taken.labels[number]


def test_taking_twice_is_taking_of_what_was_taken(make_source):
    examples = make_source(np.arange(9) % 3)
    twice = examples.take(np.array([8, 6, 4, 2])).take(np.array([1, 3]))
    assert twice.names == ["example6", "example2"]
    shown = [int(twice.load(n)["image"][0, 0, 1]) for n in range(2)]
    assert shown == [6, 2]


def test_nothing_may_be_taken(make_source):
    assert len(make_source([0, 1, 2]).take(np.zeros(0, np.int64))) == 0


def test_a_stream_is_as_long_as_it_says():
    stream = source.Stream(("a", "b"), 7, read=None, load=None)
    assert len(stream) == 7
