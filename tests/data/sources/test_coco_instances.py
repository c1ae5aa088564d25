import json

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import coco as oracle

from tfdl import errors
from tfdl.data.sources import coco_instances

SQUARE = [[2, 1, 6, 1, 6, 5, 2, 5]]
RUNS = {"size": [8, 12], "counts": [0, 16, 80]}  # the first two columns


@pytest.fixture
def lay_out(tmp_path, pixels, encode):
    """Return a function that writes two pictures of 8 x 12 pixels, and their folder."""

    def write(*annotations):
        folder = tmp_path / "set"
        (folder / "train").mkdir(parents=True)
        (folder / "annotations").mkdir()
        images = []
        for number in range(2):
            content = encode(pixels(8, 12, seed=number))
            (folder / "train" / f"{number}.png").write_bytes(content)
            row = {"id": number, "file_name": f"{number}.png"}
            images.append(row | {"height": 8, "width": 12})
        rows = [
            {"id": n, "image_id": 0, "category_id": 1, "bbox": [2, 1, 4, 4]} | values
            for n, values in enumerate(annotations)
        ]
        content = {"images": images, "annotations": rows}
        content["categories"] = [{"id": 1, "name": "cup"}]
        file = folder / "annotations" / "instances_train.json"
        file.write_text(json.dumps(content))
        return folder

    return write


@pytest.fixture
def read(tmp_path):
    def read(folder, *, on_bad_data="error", warn=print):
        return coco_instances.read(
            folder, cache=tmp_path / "cache", on_bad_data=on_bad_data, warn=warn
        )

    return read


def test_polygons_and_runs_become_masks(lay_out, read):
    crowd = {"segmentation": RUNS, "iscrowd": 1, "bbox": [0, 0, 2, 8]}
    train = read(lay_out(crowd, {"segmentation": SQUARE}))["train"]
    expected = np.zeros((2, 8, 12), bool)
    expected[0, :, :2] = expected[1, 1:5, 2:6] = True
    np.testing.assert_array_equal(train.masks_of(0), expected)
    sample = train.load(tf.constant(0, tf.int64))
    np.testing.assert_array_equal(sample["masks"], expected[1:])
    assert len(sample["boxes"]) == 1
    assert not len(train.masks_of(1))


def test_masks_are_painted_once(lay_out, read, tmp_path):
    folder = lay_out({"segmentation": SQUARE})
    read(folder)
    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.png")}
    assert len(files) == 2
    read(folder)
    assert files == {
        p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.png")
    }


def test_an_object_without_outline_is_faulty(lay_out, read):
    folder = lay_out({"segmentation": SQUARE}, {"segmentation": []})
    with pytest.raises(errors.DataError, match=r"annotation 1: it has no outline"):
        read(folder)


def test_faulty_outlines_are_left_out_on_demand(lay_out, read):
    sound = [{"segmentation": SQUARE}] * 30
    lines = []
    folder = lay_out(*sound, {"segmentation": []})
    train = read(folder, on_bad_data="skip", warn=lines.append)["train"]
    assert len(train.objects[0]) == len(train.masks_of(0)) == 30
    assert any("annotation 30: it has no outline" in line for line in lines)


@pytest.mark.slow
def test_the_masks_of_photos_are_those_of_pycocotools(real_data, read):
    folder = real_data / "coco_mini"
    found = read(folder)
    file = next((folder / "annotations").glob("instances_val*.json"))
    known = oracle.COCO(str(file))
    names = {row["file_name"]: key for key, row in known.imgs.items()}
    split = found["validation"]
    assert len(split) == 40
    for number, name in enumerate(split.names):
        rows = known.loadAnns(known.getAnnIds(names[name.rsplit("/", 1)[-1]]))
        ours = split.masks_of(number)
        assert len(ours) == len(rows)
        for mask, row in zip(ours, rows, strict=True):
            np.testing.assert_array_equal(mask, known.annToMask(row) > 0)
