import json

import numpy as np
import PIL.Image
import pytest

from tfdl import errors
from tfdl.tasks.detection import formats


def write_coco(folder, *, crowds=0, pictures=1):
    """Write a picture with a box and some crowds, and name others that are missing."""
    folder.mkdir()
    PIL.Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(folder / "1.png")
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "area": 16}
    content = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "height": 8, "width": 9}
            for n in range(1, pictures + 1)
        ],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            box | {"id": n + 1, "iscrowd": int(n > 0)} for n in range(crowds + 1)
        ],
    }
    (folder / "instances_train.json").write_text(json.dumps(content))
    return f"coco:{folder}"


def test_what_the_format_has_no_word_for_is_said(tmp_path):
    lines = []
    spec = write_coco(tmp_path / "coco", crowds=2)
    formats.convert(spec, f"yolo:{tmp_path / 'yolo'}", warn=lines.append)
    assert lines == ["2 crowds were left out, for which YOLO's files have no word"]
    formats.convert(spec, f"coco:{tmp_path / 'again'}", warn=lines.append)
    assert len(lines) == 1


def test_what_fails_leaves_nothing_in_the_way_of_the_next(tmp_path):
    spec = write_coco(tmp_path / "coco", pictures=2)
    target = tmp_path / "voc"
    with pytest.raises(errors.DataError, match=r"2.png"):
        formats.convert(spec, f"voc:{target}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco"]
    PIL.Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "coco" / "2.png")
    assert formats.convert(spec, f"voc:{target}") == target
    assert len(list((target / "JPEGImages").iterdir())) == 2


def test_only_a_new_folder_is_written(tmp_path):
    (tmp_path / "there.txt").write_text("mine")
    with pytest.raises(errors.UsageError, match="is no empty folder"):
        formats.convert("voc:nowhere", f"coco:{tmp_path}")
    with pytest.raises(errors.UsageError, match="is no empty folder"):
        formats.convert("voc:nowhere", f"coco:{tmp_path / 'there.txt'}")
    assert (tmp_path / "there.txt").read_text() == "mine"


def test_an_unknown_format_is_refused_with_the_nearest(tmp_path):
    with pytest.raises(errors.UsageError, match="Did you mean yolo"):
        formats.convert("yolov:nowhere", f"coco:{tmp_path / 'new'}")
    with pytest.raises(errors.UsageError, match="synthetic"):
        formats.convert("synthetic", f"coco:{tmp_path / 'new'}")


def test_every_format_reads_and_writes():
    for module in formats.FORMATS.values():
        assert callable(module.read)
        assert callable(module.write)
