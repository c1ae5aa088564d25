import dataclasses

import numpy as np
import pytest

from tfdl import errors
from tfdl.data.sources import annotated, voc

OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult>
<part><name>head</name><bndbox><xmin>7</xmin></bndbox></part>{more}
<bndbox><xmax>{3}</xmax><xmin>{0}</xmin><ymax>{4}</ymax><ymin>{1}</ymin></bndbox>
</object>"""


def describe(name, box, *, difficult=0, more=""):
    left, top, right, bottom = box
    return OBJECT.format(
        left, top, "", right, bottom, name=name, difficult=difficult, more=more
    )


@pytest.fixture
def root(tmp_path):
    return tmp_path / "set"


@pytest.fixture
def lay_out(root, encode, pixels):
    """Return a function that writes an annotation, and by default its picture."""

    def write(name, *objects, size="", has_picture=True):
        for folder in ("Annotations", "JPEGImages"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        text = f"<annotation>{size}{''.join(objects)}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
        if has_picture:
            content = encode(pixels(40, 60, seed=len(name)))
            (root / "JPEGImages" / f"{name}.png").write_bytes(content)
        return root

    return write


def read_one(root):
    annotations = voc.read(root)
    [[picture]] = annotations.splits.values()
    return annotations, picture


def test_the_box_of_a_pixel_counts_from_one_and_ends_with_it(lay_out):
    root = lay_out(
        "a",
        describe("dog", (1, 1, 60, 40)),
        describe("cat", (11, 6, 12, 8), difficult=1),
        describe("dog", (1.5, 2.25, 3.75, 4)),
    )
    annotations, picture = read_one(root)
    assert annotations.class_names == ("cat", "dog")
    assert picture.path == root / "JPEGImages" / "a.png"
    assert picture.boxes.tolist() == [
        [0, 0, 60, 40],
        [10, 5, 12, 8],
        [0.5, 1.25, 3.75, 4],
    ]
    assert picture.labels.tolist() == [1, 0, 1]
    assert picture.areas.tolist() == [2400, 6, 3.25 * 2.75]
    assert picture.is_difficult.tolist() == [False, True, False]
    assert not picture.is_crowd.any()
    assert picture.places[2] == f"{root / 'Annotations' / 'a.xml'}, object 3"
    assert annotated.all_faults(annotations) == []


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", None),
        ("<size><width>60</width><height>40</height></size>", (40, 60)),
        ("<size><width>60.0</width><height>40.0</height></size>", (40, 60)),
        ("<size><width>0</width><height>0</height></size>", None),
        ("<size><width>60</width></size>", None),
        ("<size><width>inf</width><height>nan</height></size>", None),
    ],
)
def test_sizes_are_read_where_they_are_known(lay_out, text, size):
    assert read_one(lay_out("a", size=text))[1].size == size


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (describe("cat", (5, 5, 5, 5)), "0 x 0 pixels has no area"),
        (describe("cat", (5, 5, 5, 9)), "0 x 5 pixels has no area"),
        (describe("cat", (9, 9, 5, 5)), "has no area"),
        (describe("cat", (5, 5, "many", 9)), r"\(5, 5, many, 9\) is not four finite"),
        (describe("cat", (5, 5, "", 9)), "has no bndbox with"),
        (describe("cat", (5, "nan", 7, 9)), "not four finite numbers"),
        (describe("cat", (5, "-inf", 7, 9)), "not four finite numbers"),
        (describe("cat", (5, "sNaN", 7, 9)), "not four finite numbers"),
        (describe("cat", (5, 5, 7, "1e400")), "not four finite numbers"),
        (describe("cat", (5, 5, 7, "9e999999999999999999")), "not four finite"),
        (describe("cat", (5, 5, 7, 50)), "not within the picture of 60 x 40"),
        (describe("", (5, 5, 7, 9)), "class '' is not in the annotations"),
        ("<object><name>cat</name></object>", "has no bndbox with"),
        ("<object/>", "has no bndbox with"),
    ],
)
def test_faulty_objects_are_named(lay_out, described, words):
    root = lay_out("a", describe("cat", (1, 1, 9, 9)), described)
    annotations, picture = read_one(root)
    [line] = annotated.all_faults(annotations)
    assert line.startswith(f"{picture.places[1]}: ")
    with pytest.raises(errors.DataError, match=words):
        annotated.sound(annotations, on_bad_data="error", warn=print)


def test_a_picture_of_another_size_is_a_fault(lay_out):
    size = "<size><width>40</width><height>60</height></size>"
    annotations, _ = read_one(lay_out("a", describe("cat", (1, 1, 9, 9)), size=size))
    [line] = annotated.all_faults(annotations)
    assert "annotated in 40 x 60 pixels, the picture has 60 x 40 pixels" in line


def test_a_file_of_labels_tells_classes_and_their_order(lay_out):
    root = lay_out("a", *(describe(c, (1, 1, 9, 9)) for c in ("cat", "dog", "eel")))
    (root / "labels.txt").write_text("dog\n\nfish\n cat \n")
    annotations, picture = read_one(root)
    assert annotations.class_names == ("dog", "fish", "cat")
    assert picture.labels.tolist() == [2, 0, -1]
    [line] = annotated.all_faults(annotations)
    assert "object 3: its class 'eel' is not in labels.txt" in line
    (root / "labels.txt").write_text("dog\ncat\ndog\n")
    with pytest.raises(errors.DataError, match=r"labels\.txt names .* 'dog' twice"):
        voc.read(root)


def test_class_names_are_of_all_splits(lay_out, root):
    lay_out("a", describe("eel", (1, 1, 9, 9)))
    lay_out("b", describe("cat", (1, 1, 9, 9)))
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a")
    (lists / "val.txt").write_text("b")
    annotations = voc.read(root)
    assert annotations.class_names == ("cat", "eel")
    assert annotations.splits["train"][0].labels.tolist() == [1]
    assert annotations.splits["validation"][0].labels.tolist() == [0]


def test_a_broken_file_is_named(lay_out, root):
    lay_out("a")
    (root / "Annotations" / "b.xml").write_text("<!DOCTYPE x><annotation/>")
    with pytest.raises(errors.DataError, match=r"b\.xml .* a document type"):
        voc.read(root)


def random_annotations(root, encode, pixels, *, dtype=np.float64):
    """Draw boxes of all kinds: whole, thin, beyond the picture, without area."""
    rng = np.random.default_rng(7)
    pictures = []
    for number in range(4):
        path = root / f"folder{number}" / f"picture{number % 2}.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(encode(pixels(40, 60, seed=number)))
        count = 40 * number
        boxes = np.sort(rng.uniform(-1, 61, (count, 2, 2)), axis=1).reshape(-1, 4)
        boxes[::3] = boxes[::3].round()
        boxes[1::3, 2:] = boxes[1::3, :2] + rng.uniform(0, 1.5, 2)
        boxes = boxes.astype(dtype).astype(np.float64)
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        areas[::5] *= 0.7
        pictures.append(
            annotated.Picture(
                path=path,
                size=(40, 60) if number else None,
                boxes=boxes,
                labels=rng.integers(0, 3, count, np.int32),
                areas=areas,
                is_crowd=rng.random(count) < 0.2,
                is_difficult=rng.random(count) < 0.2,
                places=[str(index) for index in range(count)],
            )
        )
    return annotated.Annotations(
        class_names=("zebra", "<b>", "血小板"),
        splits={
            "train": pictures[:2],
            "validation": pictures[2:3],
            "test": pictures[3:],
        },
    )


def test_what_is_written_is_read_to_the_last_bit(tmp_path, encode, pixels):
    annotations = random_annotations(tmp_path, encode, pixels)
    voc.write(annotations, tmp_path / "to")
    again = voc.read(tmp_path / "to")
    assert again.class_names == annotations.class_names
    assert list(again.splits) == ["train", "validation", "test"]
    names = [picture.path.name for p in again.splits.values() for picture in p]
    assert names == ["picture0.png", "picture1.png", "picture0_2.png", "picture1_2.png"]
    for split, pictures in annotations.splits.items():
        for mine, found in zip(pictures, again.splits[split], strict=True):
            assert mine.path.read_bytes() == found.path.read_bytes()
            assert mine.size == found.size
            assert not found.faults
            for name in ("boxes", "labels", "areas", "is_crowd", "is_difficult"):
                np.testing.assert_array_equal(getattr(mine, name), getattr(found, name))


def test_nothing_is_written_of_what_has_no_class(lay_out, tmp_path):
    annotations, picture = read_one(lay_out("a", describe("cat", (1, 1, 9, 9))))
    unknown = dataclasses.replace(picture, labels=np.array([-1], np.int32))
    unknown = dataclasses.replace(annotations, splits={"train": [unknown]})
    with pytest.raises(errors.DataError, match="object 1 cannot be written"):
        voc.write(unknown, tmp_path / "to")
    voc.write(annotations, tmp_path / "to")
    with pytest.raises(errors.DataError, match="is not empty"):
        voc.write(annotations, tmp_path / "to")


def test_the_real_blood_cells_survive_writing(real_data, tmp_path):
    annotations = voc.read(real_data / "bccd")
    voc.write(annotations, tmp_path / "to")
    again = voc.read(tmp_path / "to")
    for split, pictures in annotations.splits.items():
        for mine, found in zip(pictures, again.splits[split], strict=True):
            assert mine.path.name == found.path.name
            np.testing.assert_array_equal(mine.boxes, found.boxes)
            np.testing.assert_array_equal(mine.labels, found.labels)


def test_the_real_blood_cells(real_data):
    annotations = voc.read(real_data / "bccd")
    assert {split: len(found) for split, found in annotations.splits.items()} == {
        "train": 205,
        "validation": 87,
        "test": 72,
    }
    everything = [p for pictures in annotations.splits.values() for p in pictures]
    counts = np.bincount(np.concatenate([picture.labels for picture in everything]))
    assert dict(zip(annotations.class_names, counts.tolist(), strict=True)) == {
        "RBC": 4155,
        "WBC": 372,
        "Platelets": 361,
    }
    lines = sorted(annotated.all_faults(annotations))
    assert len(lines) == 2
    assert "BloodImage_00338.xml, object 13: its box of 0 x 0 pixels" in lines[0]
    assert "BloodImage_00343.xml, object 4: its box of 0 x 0 pixels" in lines[1]
