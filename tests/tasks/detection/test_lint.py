import dataclasses

import numpy as np
import pytest

from tfdl.data.sources import annotated, coco, source, voc
from tfdl.tasks.detection import lint

NAMES = ("cat", "dog")


def picture(boxes, labels, *, size=(100, 200), crowd=(), difficult=(), name="a"):
    count = len(labels)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return source.Objects(
        size=size,
        boxes=boxes,
        labels=np.array(labels, np.int32),
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        is_crowd=np.isin(np.arange(count), crowd),
        is_difficult=np.isin(np.arange(count), difficult),
        places=[f"{name}.xml, object {number + 1}" for number in range(count)],
    )


def made(objects, *, digests=None, names=NAMES):
    """Make a source of which only the tables are looked at."""
    digests = np.arange(len(objects)) if digests is None else np.asarray(digests)
    return source.Source(
        class_names=names,
        names=[f"{number}.png" for number in range(len(objects))],
        labels=np.zeros((len(objects), len(names)), np.int32),
        digests=digests.astype("S8"),
        pixels=np.full(len(objects), 60_000),
        load=None,
        objects=objects,
    )


def good(count=30):
    """Make pictures with a cat of 50 x 40 and a dog of 100 x 80 pixels each."""
    boxes = [[0, 0, 50, 40], [60, 10, 160, 90]]
    return [picture(boxes, [0, 1]) for _ in range(count)]


def verdicts(train, *, validation=None, image_size=200, stride=8):
    sources = {
        "train": train if isinstance(train, source.Stream) else made(train),
        "validation": made(validation or good(2)),
        "test": made(good(3)),
    }
    rows = lint.lint(sources, image_size=image_size, smallest_stride=stride)
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.is_about_data for row in rows)
    return {row.name: row for row in rows}


def test_a_good_data_set_passes_with_its_counts():
    found = verdicts(good())
    assert {row.verdict for row in found.values()} == {"pass"}
    assert found["splits"].reason == (
        "30 train, 2 validation, 3 test pictures with 60 train, 4 validation, 6 test "
        "objects of 2 classes"
    )
    assert found["classes"].reason == "from 30 of cat to 30 of cat in train"
    assert found["crowds"].reason == "no crowds and no difficult objects"
    assert found["objects"].reason == ("2.0 in a picture of train, at most 2, in 0.png")


def test_sizes_are_those_in_the_square():
    """By hand: sqrt(50 x 40 / 4) is 22, sqrt(100 x 80 / 4) is 45 at half the size."""
    reason = verdicts(good(), image_size=100)["box sizes"].reason
    assert "nine of ten from 22 to 45; 50% under 32, 0% over 96" in reason


@pytest.mark.parametrize(
    ("labels", "verdict", "reason"),
    [
        ([0] * 60, "warn", "train has no object of dog"),
        ([0, 1] * 5, "warn", "few to learn"),
        ([0] * 2500 + [1] * 21, "warn", "2500 of cat in train: very uneven"),
    ],
)
def test_classes_that_are_missing_uneven_or_small_are_told(labels, verdict, reason):
    train = [picture([[0, 0, 50, 40]], [label]) for label in labels]
    row = verdicts(train)["classes"]
    assert row.verdict == verdict
    assert reason in row.reason


def test_a_class_that_another_split_lacks_is_a_warning():
    row = verdicts(good(), validation=[picture([[0, 0, 9, 9]], [0])])["classes"]
    assert (row.verdict, row.reason) == ("warn", "validation has no object of dog")


def test_a_class_of_crowds_alone_is_missing():
    crowds = [picture([[0, 0, 50, 40]] * 2, [0, 1], crowd=[1]) for _ in range(30)]
    row = verdicts(crowds)["classes"]
    assert (row.verdict, row.reason) == ("warn", "train has no object of dog")


def test_splits_without_objects_are_told():
    empty = picture([], [])
    found = verdicts(good(), validation=[empty])
    assert found["splits"].verdict == "warn"
    assert found["splits"].reason.endswith("none in validation")
    found = verdicts([empty, picture([[0, 0, 9, 9]], [0], crowd=[0])])
    assert found["splits"].verdict == "fail"
    assert found["classes"].verdict == "fail"
    assert found["classes"].reason.startswith("train has no object of cat, dog")


def test_pictures_without_objects_are_counted():
    crowd = picture([[0, 0, 9, 9]], [0], crowd=[0])
    row = verdicts([*good(30), picture([], []), crowd])["empty pictures"]
    assert row.verdict == "pass"
    assert row.reason == "2 train, 0 validation, 0 test pictures without objects"
    row = verdicts([*good(3), *[picture([], [])] * 4])["empty pictures"]
    assert row.verdict == "warn"
    assert "are annotations missing?" in row.reason


def test_crowds_and_difficult_objects_are_counted():
    special = picture([[0, 0, 50, 40]] * 3, [0, 1, 1], crowd=[0], difficult=[1, 2])
    row = verdicts([*good(), special])["crowds"]
    assert "1 train, 0 validation, 0 test crowds" in row.reason
    assert "2 train, 0 validation, 0 test difficult objects" in row.reason


def test_repeated_pictures_are_named():
    sources = {"train": made(good(5), digests=[7, 1, 2, 1, 1])}
    rows = lint.lint(sources, image_size=100, smallest_stride=8)
    [row] = [row for row in rows if row.name == "repeated pictures"]
    assert row.verdict == "warn"
    assert row.reason == (
        "2 pictures of train repeat others: 1.png and 3.png are the same"
    )


def test_objects_that_are_annotated_twice_are_named():
    twice = picture([[1, 2, 50, 40], [5, 5, 90, 90], [1, 2, 50, 40]], [1, 0, 1])
    row = verdicts([*good(), twice])["repeated boxes"]
    assert row.verdict == "warn"
    assert "1 objects repeat another, such as a.xml, object 3" in row.reason


def test_boxes_of_two_classes_are_named():
    both = picture([[1, 2, 50, 40], [1, 2, 50, 40]], [1, 0])
    row = verdicts(good(), validation=[*good(2), both])["repeated boxes"]
    assert row.verdict == "warn"
    assert row.reason == "1 boxes have a second class, such as a.xml, object 2"


def test_one_box_in_two_pictures_or_of_a_crowd_is_no_repetition():
    crowd = picture([[1, 2, 50, 40], [1, 2, 50, 40]], [1, 1], crowd=[0])
    assert verdicts([*good(), crowd])["repeated boxes"].verdict == "pass"


def test_boxes_under_the_smallest_stride_are_told_with_the_size_that_would_do():
    """By hand: 4 of 100 are 5 pixels high; 8 need 200 x 8 / 5 = 320."""
    small = picture([[0, 0, 50, 5], [60, 10, 160, 90]], [0, 1], name="small")
    train = [*good(46), *[small] * 4]
    row = verdicts(train)["small boxes"]
    assert row.verdict == "warn"
    assert "4 objects of train (4.0%) are under the smallest stride, 8" in row.reason
    assert "such as small.xml, object 1 with 5.0" in row.reason
    assert "--image-size 320 would do for 99%" in row.reason
    row = verdicts(train, image_size=320)["small boxes"]
    assert (row.verdict, "every object is 8 pixels" in row.reason) == ("pass", True)


def test_a_hundredth_of_small_boxes_is_told_without_a_warning():
    small = picture([[0, 0, 50, 5], [60, 10, 160, 90]], [0, 1])
    row = verdicts([*good(50), small])["small boxes"]
    assert row.verdict == "pass"
    assert "1 objects of train (1.0%)" in row.reason


@pytest.mark.parametrize("image_size", [64, 200, 333])
def test_the_size_that_would_do_does(image_size):
    random = np.random.default_rng(image_size)
    low = random.random((500, 2)) * 50
    corners = np.concatenate([low, low + 0.5 + random.random((500, 2)) * 49], axis=1)
    train = [picture(corners, [0, 1] * 250)]
    reason = verdicts(train, image_size=image_size)["small boxes"].reason
    enough = int(reason.partition("; --image-size ")[2].split()[0])
    assert enough % 32 == 0
    assert verdicts(train, image_size=enough)["small boxes"].verdict == "pass"
    assert verdicts(train, image_size=enough - 32)["small boxes"].verdict == "warn"


def test_a_stream_is_judged_by_what_is_known_of_its_objects():
    stream = source.Stream(NAMES, size=30, read=None, load=None, objects=good())
    found = verdicts(stream)
    assert "repeated pictures" not in found
    assert {row.verdict for row in found.values()} == {"pass"}
    assert found["objects"].reason.endswith("in its picture 1")
    [row] = verdicts(dataclasses.replace(stream, objects=())).values()
    assert row.verdict == "warn"


def read_all(annotations, tmp_path):
    return annotated.sources(
        annotations, cache=tmp_path, on_bad_data="skip", warn=lambda _: None
    )


def test_coco_mini_lacks_classes(real_data, tmp_path):
    """As its description counts: 6 of 80 classes are not in train."""
    sources = read_all(coco.read(real_data / "coco_mini"), tmp_path)
    rows = lint.lint(sources, image_size=320, smallest_stride=8)
    found = {row.name: row for row in rows}
    assert "64 train, 40 validation pictures with 565 train, 337 validation" in (
        found["splits"].reason
    )
    assert found["classes"].verdict == "warn"
    assert "and 3 more; validation has no object of" in found["classes"].reason
    assert found["crowds"].reason.startswith("5 train, 4 validation crowds")
    assert found["small boxes"].verdict == "warn"
    assert found["repeated pictures"].verdict == "pass"


def test_blood_cells_are_large_enough(real_data, tmp_path):
    sources = read_all(voc.read(real_data / "bccd" / "BCCD"), tmp_path)
    rows = lint.lint(sources, image_size=320, smallest_stride=8)
    found = {row.name: row for row in rows}
    assert found["classes"].verdict == "pass"
    assert found["small boxes"].verdict == "pass"
