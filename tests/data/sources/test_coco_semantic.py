import json
import os

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as oracle

from tfdl import errors
from tfdl.data.sources import coco_masks, coco_semantic

SQUARE = [[2, 1, 6, 1, 6, 5, 2, 5]]
CATEGORIES = [{"id": 90, "name": "cup"}, {"id": 2, "name": "cat"}]


@pytest.fixture
def lay_out(tmp_path, pixels, encode):
    """Return a function that writes pictures of 8 x 12 pixels, and gives the folder."""

    def write(*annotations, count=2, size=(8, 12), categories=CATEGORIES):
        folder = tmp_path / "set"
        (folder / "train").mkdir(parents=True, exist_ok=True)
        (folder / "annotations").mkdir(exist_ok=True)
        images = []
        for number in range(count):
            name = f"{number}.png"
            content = encode(pixels(8, 12, seed=number))
            (folder / "train" / name).write_bytes(content)
            row = {"id": number, "file_name": name, "height": size[0], "width": size[1]}
            images.append(row)
        rows = [
            {"id": n, "image_id": 0, "category_id": 90, "bbox": [2, 1, 4, 4]} | values
            for n, values in enumerate(annotations)
        ]
        content = {"images": images, "categories": categories, "annotations": rows}
        file = folder / "annotations" / "instances_train.json"
        file.write_text(json.dumps(content))
        return folder

    return write


@pytest.fixture
def read(tmp_path):
    def read(folder, *, on_bad_data="error", warn=print):
        return coco_semantic.read(
            folder, cache=tmp_path / "cache", on_bad_data=on_bad_data, warn=warn
        )

    return read


def map_of(examples, number):
    return examples.load(tf.constant(number, tf.int64))["semantic"].numpy()


def test_the_background_is_0_and_classes_follow_in_the_order_of_their_ids(
    lay_out, read
):
    runs = {"size": [8, 12], "counts": [0, 16, 80]}  # the first two columns
    folder = lay_out(
        {"segmentation": runs, "iscrowd": 1, "category_id": 2},
        {"segmentation": SQUARE},
    )
    train = read(folder)["train"]
    assert train.class_names == ("background", "cat", "cup")
    expected = np.zeros([8, 12], np.uint8)
    expected[:, :2], expected[1:5, 2:6] = 1, 2
    np.testing.assert_array_equal(map_of(train, 0), expected)
    assert not map_of(train, 1).any()
    assert train.class_pixels.tolist() == [[64, 16, 16], [96, 0, 0]]
    assert train.labels.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_maps_are_of_their_pictures_whatever_their_order_in_the_file(lay_out, read):
    folder = lay_out({"segmentation": SQUARE, "image_id": 1}, count=3)
    file = folder / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    content["images"].reverse()
    file.write_text(json.dumps(content))
    train = read(folder)["train"]
    for number, name in enumerate(train.names):
        assert (map_of(train, number).sum() > 0) == name.endswith("1.png")


def test_one_json_file_is_all_of_train(lay_out, read):
    folder = lay_out({"segmentation": SQUARE})
    found = read(folder / "annotations" / "instances_train.json")
    assert found["train"].class_pixels.tolist() == [[80, 0, 16], [96, 0, 0]]


def test_maps_are_painted_once(lay_out, read, monkeypatch):
    folder = lay_out({"segmentation": SQUARE})
    first = read(folder)["train"]
    paint = coco_masks.paint
    monkeypatch.setattr(coco_masks, "paint", None)
    np.testing.assert_array_equal(map_of(read(folder)["train"], 0), map_of(first, 0))
    monkeypatch.setattr(coco_masks, "paint", paint)
    lay_out({"segmentation": [[0, 0, 9, 0, 9, 8, 0, 8]]})
    os.utime(folder / "annotations" / "instances_train.json", (1, 1))
    assert (map_of(read(folder)["train"], 0) == 2).sum() == 72


@pytest.mark.parametrize(
    ("values", "size", "words"),
    [
        ({}, (8, 12), "annotation 1: it has no outline"),
        ({"segmentation": []}, (8, 12), "annotation 1: it has no outline"),
        ({"segmentation": [[1, 2, 3, 4]]}, (8, 12), "annotation 1: .* 2 points"),
        ({"segmentation": [[0, 0, 1e9, 0, 5, 5]]}, (8, 12), r"reaches to 1e\+09, far"),
        ({"segmentation": SQUARE, "category_id": 5}, (8, 12), "category id 5 is none"),
        ({"segmentation": SQUARE}, (12, 8), "0.png is annotated in 8 x 12 pixels"),
    ],
)
def test_an_outline_that_cannot_be_painted_is_named(lay_out, read, values, size, words):
    folder = lay_out({"segmentation": SQUARE}, values, size=size)
    with pytest.raises(errors.DataError, match=rf"instances_train\.json: .*{words}"):
        read(folder)


def test_runs_of_another_size_are_named_where_the_file_says_no_size(lay_out, read):
    runs = {"size": [12, 8], "counts": [90, 6]}
    folder = lay_out({"segmentation": runs})
    file = folder / "annotations" / "instances_train.json"
    content = json.loads(file.read_text())
    for image in content["images"]:
        del image["height"], image["width"]
    file.write_text(json.dumps(content))
    with pytest.raises(errors.DataError, match="its runs are of 8 x 12 pixels"):
        read(folder)


def test_a_broken_picture_is_named_itself(lay_out, read):
    folder = lay_out({"segmentation": SQUARE})
    (folder / "train" / "0.png").write_bytes(b"nothing")
    with pytest.raises(errors.DataError, match=r"train/0\.png: it is no JPEG"):
        read(folder)


def test_a_picture_with_a_faulty_outline_is_skipped(lay_out, read):
    lines = []
    folder = lay_out({"segmentation": SQUARE}, {}, count=30)
    train = read(folder, on_bad_data="skip", warn=lines.append)["train"]
    assert len(train) == 29
    assert "annotation 1: it has no outline" in lines[0]
    again = read(folder, on_bad_data="skip", warn=lines.append)["train"]
    assert again.names == train.names


def test_more_classes_than_a_map_has_room_for_are_refused(lay_out, read):
    categories = [{"id": n, "name": str(n)} for n in range(1, 256)]
    folder = lay_out({"segmentation": SQUARE}, categories=categories)
    with pytest.raises(errors.DataError, match="has 256 classes"):
        read(folder)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "val"])
def test_the_real_maps_are_those_of_the_coco_api(read, real_data, split):
    """Painted by pycocotools' masks, whose areas order them as in the maps."""
    found = read(real_data / "coco_mini")
    examples = found["train" if split == "train" else "validation"]
    file = real_data / "coco_mini" / "annotations" / f"instances_{split}2017.json"
    content = json.loads(file.read_text())
    order = sorted(category["id"] for category in content["categories"])
    assert len(examples.class_names) == 81
    for image in content["images"][::9]:
        [number] = [
            number
            for number, name in enumerate(examples.names)
            if name.endswith(image["file_name"])
        ]
        size = image["height"], image["width"]
        rows = [r for r in content["annotations"] if r["image_id"] == image["id"]]
        filled = []
        for row in rows:
            runs = oracle.frPyObjects(row["segmentation"], *size)
            runs = oracle.merge(runs) if isinstance(runs, list) else runs
            key = (not row["iscrowd"], -int(oracle.area(runs)))
            filled.append((key, order.index(row["category_id"]) + 1, runs))
        expected = np.zeros(size, np.uint8)
        for _, label, runs in sorted(filled, key=lambda one: one[0]):
            expected[oracle.decode(runs) == 1] = label
        np.testing.assert_array_equal(map_of(examples, number), expected)
        counts = np.bincount(expected.ravel(), minlength=81)
        np.testing.assert_array_equal(examples.class_pixels[number], counts)
