import dataclasses

import numpy as np

from tfdl.data.sources import class_gaps, source


def objects(*labels, crowds=()):
    count = len(labels)
    return source.Objects(
        size=(9, 9),
        boxes=np.tile(np.array([0, 0, 9, 9], np.float32), (count, 1)),
        labels=np.array(labels, np.int32),
        areas=np.full(count, 81, np.float32),
        is_crowd=np.isin(range(count), crowds),
        is_difficult=np.zeros(count, bool),
        places=[f"object {number}" for number in range(count)],
    )


def test_every_class_in_train_needs_no_line(make_source):
    train = dataclasses.replace(make_source([0]), objects=[objects(0, 1), objects(2)])
    assert class_gaps.lines({"train": train}) == []


def test_classes_that_train_lacks_are_counted_elsewhere(make_source):
    train = dataclasses.replace(make_source([0]), objects=[objects(1, 2, crowds=[1])])
    test = dataclasses.replace(make_source([0]), objects=[objects(0, 0, 1), objects(0)])
    assert class_gaps.lines({"train": train, "test": test}) == [
        "train has no object of 2 of 3 classes: a, c",
        "test has objects of classes that train lacks: a (3)",
    ]


def test_long_lists_are_cut(make_source):
    train = dataclasses.replace(
        make_source([0]),
        class_names=tuple(f"class{number}" for number in range(99)),
        objects=[objects(0)],
    )
    [line] = class_gaps.lines({"train": train})
    assert line.endswith("class9, class10 and 88 more")
    assert "98 of 99 classes" in line
