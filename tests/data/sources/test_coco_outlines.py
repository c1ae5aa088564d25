import json

import pytest

from tfdl.data.sources import coco_outlines

SQUARE = [[2, 1, 6, 1, 6, 5, 2, 5]]


def test_outlines_are_named_by_the_places_that_coco_has(tmp_path):
    file = tmp_path / "a.json"
    rows = [
        {"id": 7, "image_id": 3, "segmentation": SQUARE},
        {"id": 8, "image_id": 3},
    ]
    file.write_text(json.dumps({"annotations": rows}))
    assert coco_outlines.read(file) == {
        f"{file}, image 3, annotation 7": SQUARE,
        f"{file}, image 3, annotation 8": None,
    }


@pytest.mark.parametrize(
    ("outline", "reason"),
    [
        (SQUARE, ""),
        ({"size": [8, 12], "counts": [96]}, ""),
        (None, "no outline"),
        ([], "no outline"),
        ({"size": [9, 12], "counts": [108]}, "9 x 12"),
        ([[0, 0, 1e6, 0, 0, 5]], "far out of the picture"),
    ],
)
def test_faults_of_outlines(outline, reason):
    found = coco_outlines.fault(outline, (8, 12))
    assert bool(found) == bool(reason)
    if "9 x 12" not in reason:
        assert reason in found


def test_names_change_with_what_they_are_of(tmp_path):
    file = tmp_path / "a.json"
    file.write_text("{}")
    first = coco_outlines.folder_name(file)
    assert first == coco_outlines.folder_name(file)
    file.write_text("{ }")
    assert first != coco_outlines.folder_name(file)
    names = {
        coco_outlines.file_name("a", ["b"]),
        coco_outlines.file_name("a", ["c"]),
        coco_outlines.file_name("a", []),
    }
    assert len(names) == 3
    assert all(name.endswith(".png") for name in names)
