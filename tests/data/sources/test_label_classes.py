import json

import numpy as np
import pytest

from tfdl import errors
from tfdl.data.sources import label_classes


def number(values, names=None, *, ignored=(), ignore=()):
    named = names and label_classes.Named(tuple(names), frozenset(ignored), "n.txt")
    return label_classes.numbering(values, named=named, ignore=ignore, place="here")


def mapping(numbering):
    """Return {value: class} of the values that are classes."""
    classes = numbering.classes
    return {
        value: int(classes[value])
        for value in range(256)
        if 0 <= classes[value] < len(numbering.class_names)
    }


@pytest.mark.parametrize(
    ("values", "names", "options", "expected", "class_names"),
    [
        # Values are classes in their order, 255 is ignored.
        ([0, 1, 2, 255], None, {}, {0: 0, 1: 1, 2: 2}, "class_0 class_1 class_2"),
        ([1, 3], None, {}, {0: 0, 1: 1, 2: 2, 3: 3}, "class_0 class_1 class_2 class_3"),
        ([0, 1], "abc", {}, {0: 0, 1: 1, 2: 2}, "a b c"),
        # Black and white alone are two classes, unless names tell otherwise.
        ([0, 255], None, {}, {0: 0, 255: 1}, "class_0 class_1"),
        ([0, 255], "ab", {}, {0: 0, 255: 1}, "a b"),
        ([0, 255], "abc", {}, {0: 0, 1: 1, 2: 2}, "a b c"),
        ([0, 1, 255], "ab", {}, {0: 0, 1: 1}, "a b"),
        # What is ignored leaves no gap.
        ([0, 1, 2], None, {"ignore": [2]}, {0: 0, 1: 1}, "class_0 class_1"),
        ([0, 1, 2], None, {"ignore": [0]}, {1: 0, 2: 1}, "class_1 class_2"),
        ([0, 1, 2], "abc", {"ignored": [1]}, {0: 0, 2: 1}, "a c"),
        ([0, 1, 200], None, {"ignore": [200]}, {0: 0, 1: 1}, "class_0 class_1"),
    ],
)
def test_values_are_numbered(values, names, options, expected, class_names):
    numbering = number(values, names, **options)
    assert mapping(numbering) == expected
    assert numbering.class_names == tuple(class_names.split())
    assert numbering.fault(values) == ""
    for value in range(256):
        assert numbering.table[value] == expected.get(value, 255)


def test_a_value_above_the_names_is_unknown():
    numbering = number([0, 1, 2, 37, 255], "abc")
    assert numbering.fault([0, 2, 255]) == ""
    assert numbering.fault([0, 40, 37]) == (
        "its value 37 is none of the 3 classes of n.txt"
    )
    ignored = number([0, 37], "abc", ignore=[37])
    assert ignored.fault([0, 37]) == ""


@pytest.mark.parametrize(
    ("values", "options"),
    [([0], {}), ([255], {}), ([], {}), ([0, 255], {"ignore": [255]})],
)
def test_one_class_is_too_few(values, options):
    with pytest.raises(errors.DataError, match="here: the label maps have . class"):
        number(values, **options)


def test_pixels_are_counted_by_class():
    pixels = np.zeros([2, 256], np.int64)
    pixels[0, [0, 2, 255]] = 5, 7, 100
    pixels[1, [0, 1]] = 3, 50
    counted = number([0, 1, 2, 255], ignore=[1]).class_pixels(pixels)
    assert counted.tolist() == [[5, 7], [3, 0]]
    binary = number([0, 255]).class_pixels(pixels)
    assert binary.tolist() == [[5, 100], [3, 0]]


@pytest.mark.parametrize("name", ["classes.txt", "labels.txt"])
def test_names_are_lines_and_void_is_ignored(tmp_path, name):
    (tmp_path / name).write_text("sky\n road \nVoid\ncar\n\n")
    named = label_classes.read_names([tmp_path / "none", tmp_path])
    assert named.names == ("sky", "road", "Void", "car")
    assert named.ignored == {2}
    assert named.place == str(tmp_path / name)
    assert number([0, 3], named.names, ignored=named.ignored).class_names == (
        "sky",
        "road",
        "car",
    )


def test_an_empty_line_among_the_names_is_refused(tmp_path):
    """Or all names behind it would belong to the values before theirs."""
    (tmp_path / "classes.txt").write_text("sky\n\nroad\n")
    with pytest.raises(errors.DataError, match="classes.txt: line 2 is empty"):
        label_classes.read_names([tmp_path])


def test_the_first_folder_counts(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "labels.txt").write_text(f"{folder}1\n{folder}2")
    folders = [tmp_path / "a", tmp_path / "b"]
    assert label_classes.read_names(folders).names == ("a1", "a2")
    assert label_classes.read_names([tmp_path]) is None


def test_names_are_read_from_json(tmp_path):
    path = tmp_path / "data.json"
    path.write_text(json.dumps({"classes": ["sky", "road"], "ignore": [7]}))
    named = label_classes.read_names([tmp_path])
    assert named.names == ("sky", "road")
    assert named.ignored == {7}
    path.write_text('["sky", "road"]')
    assert label_classes.read_names([tmp_path]).names == ("sky", "road")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("sky", "is not JSON"),
        ("{}", "names no classes"),
        ('{"classes": "sky"}', "names no classes"),
        ('{"classes": ["sky", 2]}', "names no classes"),
        ('{"classes": ["a", "b"], "ignore": 3}', "names no classes"),
        ('{"classes": ["a", "b"], "ignore": [true]}', "names no classes"),
        ('{"classes": ["a", "b"], "ignore": [256]}', "beyond 0 to 255"),
        ('["a", "b", "a"]', "'a' twice"),
        ("[]", "is empty"),
        (json.dumps([str(n) for n in range(256)]), "has 256 classes"),
    ],
)
def test_other_json_is_refused(tmp_path, content, words):
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(errors.DataError, match=words):
        label_classes.read_names([tmp_path])


def test_a_value_that_no_map_has_cannot_be_ignored():
    with pytest.raises(errors.UsageError, match="--ignore 256"):
        number([0, 1], ignore=[256])
