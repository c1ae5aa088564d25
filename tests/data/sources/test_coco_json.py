import copy
import json
import re

import numpy as np
import pytest
from pycocotools import mask as coco_masks

from tfdl import errors
from tfdl.data.sources import coco_json

CONTENT = {
    "images": [
        {"id": 70, "file_name": "a.jpg", "height": 4, "width": 6},
        {"id": 7, "file_name": "b.jpg"},
    ],
    "categories": [{"id": 90, "name": "cup"}, {"id": 2, "name": "cat"}],
    "annotations": [
        {
            "id": 11,
            "image_id": 70,
            "category_id": 90,
            "bbox": [1, 0.5, 3, 2],
            "area": 4.25,
            "iscrowd": 1,
        },
        {"id": 12, "image_id": 70, "category_id": 2, "bbox": [0, 0, 2, 2]},
    ],
}


@pytest.fixture
def parse(tmp_path):
    """Return a function that writes a changed copy of CONTENT, and parses it."""

    def parse_changed(change=None):
        content = copy.deepcopy(CONTENT)
        if change:
            change(content)
        path = tmp_path / "instances_train.json"
        path.write_text(json.dumps(content))
        return coco_json.parse(path)

    return parse_changed


def changed(name, index, **values):
    """Return what changes a record; None removes a key."""

    def change(content):
        row = content[name][index]
        row |= values
        for key in [key for key, value in row.items() if value is None]:
            del row[key]

    return change


def test_records_are_read_as_they_are(parse):
    content = parse()
    assert list(content.categories.items()) == [(2, "cat"), (90, "cup")]
    assert list(content.images) == [70, 7]
    assert content.images[70] == coco_json.Image("a.jpg", (4, 6))
    assert content.images[7].size is None
    first, second = content.annotations
    assert first == coco_json.Annotation(
        11, 70, 90, (1.0, 0.5, 3.0, 2.0), 4.25, True, False, ""
    )
    assert (second.area, second.is_crowd) == (4.0, False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not JSON"),
        ('{"images": [', "is not JSON"),
        ("[" * 100_000, "is not JSON: nested too deeply"),
        ("9" * 5000, "is not JSON"),
        ("\udcff", "is not JSON"),
        ("[1, 2]", r"\[1, 2\] is no object"),
        ('{"images": [], "categories": []}', "it has no `annotations`"),
        ('{"images": {}, "categories": []}', "`images` is no list"),
    ],
)
def test_what_is_not_of_the_form_is_refused(tmp_path, text, words):
    path = tmp_path / "broken.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(errors.DataError, match=words) as caught:
        coco_json.parse(path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(errors.DataError, match="nothing.json: it cannot be read"):
        coco_json.parse(tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("images", 0, id=None), "one image: it has no `id`"),
        (changed("images", 0, id="x"), "image 'x': `id` must be a whole number"),
        (changed("images", 0, id=7), "two of `images` have the id 7, 'a.jpg' and 'b"),
        (changed("images", 1, file_name=5), "image 7: `file_name` must be text"),
        (changed("images", 1, width=3), "image 7: it has no `height`"),
        (changed("images", 0, width=6.5), "`width` must be a whole number"),
        (changed("categories", 0, id=2), "two of `categories` have the id 2"),
        (changed("categories", 0, id=True), "`id` must be a whole number"),
        (changed("annotations", 0, image_id=9), "image 9, annotation 11: there is no"),
        (changed("annotations", 0, bbox=None), "annotation 11: it has no `bbox`"),
        (changed("annotations", 0, bbox=[1, 2]), "must be 4 numbers. Received .1, 2"),
        (changed("annotations", 0, bbox=["1"] * 4), "`bbox` must be of numbers"),
        (changed("annotations", 0, area="big"), "70, annotation 11: `area` must be"),
        (changed("annotations", 0, iscrowd=2), "`iscrowd` must be 0 or 1. Received 2"),
        (changed("annotations", 1, id=None), "image 70: it has no `id`"),
        (lambda content: content["annotations"].append(3), "one annotation: 3 is no"),
    ],
)
def test_a_wrong_record_is_named_with_its_ids(parse, change, words):
    with pytest.raises(errors.DataError, match=f"instances_train.json.*{words}"):
        parse(change)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"id": 11}, "its id is that of another annotation, of image 70"),
        ({"category_id": 3}, "its category id 3 is none of the file's 2"),
        ({"segmentation": [[0, 0, 1, 1]]}, "has 2 points, 3 are fewest"),
    ],
)
def test_what_concerns_one_object_is_its_fault(parse, values, words):
    first, second = parse(changed("annotations", 1, **values)).annotations
    assert first.fault == ""
    assert words in second.fault


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400])
def test_numbers_that_are_none_are_left_to_who_looks_at_boxes(parse, number):
    values = {"area": number, "bbox": [number, 0, 1, 1]}
    found = parse(changed("annotations", 0, **values)).annotations[0]
    assert not np.isfinite(found.area)
    assert not np.isfinite(found.box[0])


@pytest.mark.parametrize(
    ("outline", "words"),
    [
        ([], ""),
        ([[0, 0, 2, 0, 2, 2.5]], ""),
        ([[0, 0, 2, 0, 2, 2.5], [0, 0]], "1 points, 3 are fewest"),
        ([[0, 0, 2, 0, 2, 2, 1]], "7 numbers, an x without y"),
        ([[0, 0, 2, 0, 2, "2"]], "no list of numbers"),
        ([[0, 0, 2, 0, 2, float("nan")]], "no list of numbers"),
        ([0, 0, 2, 0, 2, 2], "no list of numbers"),
        ("text", "neither polygons nor runs"),
        ({"size": [4, 6], "counts": [20, 4]}, ""),
        ({"size": [6, 4], "counts": [20, 4]}, r"are of \[6, 4\], the picture of"),
        ({"size": [4, 6], "counts": [20, 5]}, "have 25 pixels, 4 x 6 are 24"),
        ({"size": [4, 6], "counts": [25, -1]}, "are not {size"),
        ({"size": [4, 6]}, "are not {size"),
        (None, ""),
        ({"size": [4, 6], "counts": "\x00"}, "cannot be read"),
        ({"size": [4, 6], "counts": "P"}, "cannot be read: the last run has no end"),
        ({"size": [4, 6], "counts": "o" * 10**6}, "cannot be read"),
    ],
)
def test_outlines_are_judged(outline, words):
    found = coco_json.outline_fault(outline, (4, 6))
    assert bool(found) == bool(words)
    if words:
        assert re.search(words, found)


def test_runs_are_decoded_as_the_coco_api_packs_them():
    random = np.random.default_rng(0)
    for height, width in [(1, 1), (4, 6), (37, 300), (480, 640)]:
        mask = (random.random((height, width)) < 0.3).astype(np.uint8)
        mask[:, : width // 2] = 1
        packed = coco_masks.encode(np.asfortranarray(mask))
        lengths = coco_json.run_lengths(packed["counts"].decode())
        values = np.arange(len(lengths)) % 2
        unpacked = np.repeat(values, lengths).reshape(width, height).T
        np.testing.assert_array_equal(unpacked, mask)
        outline = packed | {"counts": packed["counts"].decode()}
        assert coco_json.outline_fault(outline, (height, width)) == ""
