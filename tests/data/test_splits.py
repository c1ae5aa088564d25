import numpy as np
import pytest

from tfdl import errors
from tfdl.data import splits


def three(make_source, train, validation, test):
    """Build splits of the given contents."""
    contents = {"train": train, "validation": validation, "test": test}
    return {
        split: make_source([0] * len(numbers), contents=numbers, prefix=f"{split}/")
        for split, numbers in contents.items()
    }


def contents(examples):
    """Return what the pictures of a source show."""
    return [int(examples.load(n)["image"][0, 0, 1]) for n in range(len(examples))]


def test_every_class_gives_the_same_share(make_source):
    labels = np.repeat([0, 1, 2], [100, 40, 10])
    kept, held_out = splits.hold_out(make_source(labels), fraction=0.2)
    assert np.bincount(held_out.labels).tolist() == [20, 8, 2]
    assert np.bincount(kept.labels).tolist() == [80, 32, 8]


def test_nothing_is_lost_and_the_order_is_kept(make_source):
    kept, held_out = splits.hold_out(make_source(np.arange(50) % 3), fraction=0.3)
    assert sorted([*contents(kept), *contents(held_out)]) == list(range(50))
    for examples in (kept, held_out):
        assert contents(examples) == sorted(contents(examples))
        assert examples.names == [f"example{n}" for n in contents(examples)]
        np.testing.assert_array_equal(examples.labels, np.array(contents(examples)) % 3)


def test_the_choice_does_not_depend_on_the_order_of_files(make_source):
    order = np.random.default_rng(0).permutation(60)
    first = splits.hold_out(make_source([0] * 60), fraction=0.25)[1]
    second = splits.hold_out(make_source([0] * 60, contents=order), fraction=0.25)[1]
    assert contents(first) == sorted(contents(second))


def test_an_added_file_moves_at_most_one_picture(make_source):
    held_out = [
        set(contents(splits.hold_out(make_source([0] * n), fraction=0.2)[1]))
        for n in range(20, 220)
    ]
    for number, (before, after) in enumerate(zip(held_out, held_out[1:], strict=False)):
        assert len((before ^ after) - {20 + number}) <= 1


def test_equal_pictures_stay_on_one_side(make_source):
    numbers = np.arange(200) // 4
    kept, held_out = splits.hold_out(
        make_source([0] * 200, contents=numbers), fraction=0.13
    )
    assert set(contents(kept)).isdisjoint(contents(held_out))
    assert 0.10 * 200 < len(held_out) <= 0.13 * 200


def test_a_class_of_one_picture_stays_in_train(make_source):
    labels = [0] * 20 + [1] + [2] * 20
    numbers = [*range(20), 99, *[50] * 20]
    source = make_source(labels, contents=numbers)
    kept, held_out = splits.hold_out(source, fraction=0.6)
    assert np.bincount(held_out.labels).tolist() == [12]
    assert np.bincount(kept.labels).tolist() == [8, 1, 20]


def test_examples_of_several_classes_are_held_out_as_one_group(make_source):
    labels = np.eye(3, dtype=np.int32)[np.arange(40) % 3]
    kept, held_out = splits.hold_out(make_source(labels), fraction=0.25)
    assert (len(kept), len(held_out)) == (30, 10)
    assert held_out.labels.shape == (10, 3)


def test_too_few_pictures_to_hold_out_are_an_error(make_source):
    with pytest.raises(errors.DataError, match="9 pictures are too few"):
        splits.hold_out(make_source(np.arange(9) % 3), fraction=0.1)


def test_missing_splits_are_held_out_of_train(make_source):
    train = make_source([0] * 100)
    found = splits.complete(
        {"train": train}, validation_fraction=0.1, test_fraction=0.2
    )
    assert list(found) == ["train", "validation", "test"]
    assert [len(examples) for examples in found.values()] == [72, 8, 20]
    assert not splits.leaks(found)


def test_train_dev_is_held_out_of_what_is_left_of_train(make_source):
    train = make_source(np.repeat([0, 1], [200, 100]))
    fractions = {"validation_fraction": 0.1, "test_fraction": 0.1}
    without = splits.complete({"train": train}, **fractions)
    found = splits.complete({"train": train}, **fractions, train_dev_fraction=0.25)
    assert list(found) == ["train", "train_dev", "validation", "test"]
    for split in ("validation", "test"):
        assert found[split].names == without[split].names
    sizes = {split: np.bincount(examples.labels) for split, examples in found.items()}
    np.testing.assert_allclose(sizes["train_dev"], 0.25 * np.array([162, 81]), atol=1)
    assert sorted([*found["train"].names, *found["train_dev"].names]) == sorted(
        without["train"].names
    )
    assert splits.apart(found, on_bad_data="error", warn=None) is found


def test_a_leak_into_train_dev_is_found(make_source):
    sources = three(make_source, [1, 2], [3], [4])
    train_dev = make_source([0, 0], contents=[3, 5], prefix="train_dev/")
    sources = {
        split: sources.get(split, train_dev)
        for split in ("train", "train_dev", "validation", "test")
    }
    [leak] = splits.leaks(sources)
    assert leak.splits == ("train_dev", "validation")
    found = splits.apart(sources, on_bad_data="skip", warn=str)
    assert contents(found["train_dev"]) == [5]


def test_splits_that_are_there_are_left_alone(make_source):
    given = {"train": make_source([0] * 20), "test": make_source([0] * 5, prefix="t")}
    found = splits.complete(given, validation_fraction=0.1, test_fraction=0.2)
    assert found["test"] is given["test"]
    assert (len(found["train"]), len(found["validation"])) == (18, 2)
    assert list(given) == ["train", "test"]


@pytest.mark.parametrize(
    ("pair", "numbers"),
    [
        (("train", "validation"), ([1, 2, 3], [9, 2], [7])),
        (("train", "test"), ([1, 2, 3], [9], [7, 3, 8])),
        (("validation", "test"), ([1, 2], [3, 9], [9])),
    ],
)
def test_a_leak_is_found_in_each_pair(make_source, pair, numbers):
    sources = three(make_source, *numbers)
    [leak] = splits.leaks(sources)
    assert leak.splits == pair
    assert str(leak).startswith(f"{pair[0]}/")
    with pytest.raises(
        errors.DataError, match="1 pictures are in two splits"
    ) as caught:
        splits.apart(sources, on_bad_data="error", warn=print)
    assert str(leak) in str(caught.value)


def test_a_leak_says_both_names(make_source):
    [leak] = splits.leaks(three(make_source, [1, 2, 3], [9], [7, 3, 8]))
    assert str(leak) == "train/2 of train is test/1 of test"


def test_skipping_keeps_a_picture_where_it_counts_most(make_source):
    sources = three(make_source, [1, 2, 3, 3, 4], [2, 5, 6], [3, 6, 7])
    lines = []
    found = splits.apart(sources, on_bad_data="skip", warn=lines.append)
    assert {split: contents(examples) for split, examples in found.items()} == {
        "train": [1, 4],
        "validation": [2, 5],
        "test": [3, 6, 7],
    }
    assert not splits.leaks(found)
    [line] = lines
    assert line.startswith("3 pictures are in two splits: ")


def test_splits_that_are_apart_are_left_alone(make_source):
    sources = three(make_source, [1, 1, 2], [3, 3], [4])
    assert splits.apart(sources, on_bad_data="error", warn=None) is sources


def test_a_split_that_is_wholly_in_another_is_refused(make_source):
    sources = three(make_source, [1, 2, 3], [4, 5], [5, 4])
    with pytest.raises(
        errors.DataError, match="every picture of validation is in test"
    ):
        splits.apart(sources, on_bad_data="skip", warn=str)


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a", "c"), ("a", "b", "c", "d")])
def test_data_of_other_classes_than_the_run_s_are_refused(names):
    with pytest.raises(errors.DataError, match="not of the run's classes"):
        splits.refuse_other_classes(names, ["a", "b", "c"])


def test_data_of_the_run_s_classes_or_of_no_run_are_taken():
    splits.refuse_other_classes(("a", "b"), ["a", "b"])
    splits.refuse_other_classes(("a", "b"), None)
