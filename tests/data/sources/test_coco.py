import contextlib
import io
import json
import pathlib

import numpy as np
import pytest
from pycocotools import coco as coco_api

from tfdl import errors
from tfdl.data.sources import annotated, coco

CATEGORIES = [{"id": 90, "name": "cup"}, {"id": 2, "name": "cat"}]


@pytest.fixture
def lay_out(tmp_path, pixels, encode):
    """Return a function that writes a split of two pictures, and gives the folder."""
    picture = encode(pixels(4, 6))

    def write(
        *,
        file="annotations/instances_train2017.json",
        pictures="train2017",
        categories=CATEGORIES,
        names=("a.png", "b.png"),
        annotations=(),
    ):
        content = {
            "images": [
                {"id": 70 - number, "file_name": name, "height": 4, "width": 6}
                for number, name in enumerate(names)
            ],
            "categories": categories,
            "annotations": [
                {"image_id": 70, "category_id": 90, "bbox": [1, 0.5, 3, 2]} | values
                for values in annotations
            ],
        }
        target = tmp_path / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(content))
        if pictures is not None:
            (tmp_path / pictures).mkdir(parents=True, exist_ok=True)
            for name in ("a.png", "b.png"):
                (tmp_path / pictures / name).write_bytes(picture)
        return tmp_path

    return write


def test_classes_are_numbered_by_their_ids_and_boxes_have_corners(lay_out):
    values = {"id": 5, "area": 4.25, "iscrowd": 1}
    found = coco.read(lay_out(annotations=[values, {"id": 6, "category_id": 2}]))
    assert found.class_names == ("cat", "cup")
    assert list(found.splits) == ["train"]
    first, second = found.splits["train"]
    np.testing.assert_array_equal(first.boxes, [[1, 0.5, 4, 2.5]] * 2)
    assert first.labels.tolist() == [1, 0]
    assert first.areas.tolist() == [4.25, 6.0]
    assert first.is_crowd.tolist() == [True, False]
    assert first.size == (4, 6)
    assert first.path.name == "a.png"
    assert first.path.is_file()
    assert second.boxes.shape == (0, 4)
    assert annotated.all_faults(found) == []


@pytest.mark.parametrize(
    ("file", "pictures"),
    [
        ("annotations/instances_train.json", "train"),
        ("annotations/instances_train2014.json", "images/train2014"),
        ("annotations/instances_train2014.json", "train"),
        ("annotations/instances_train.json", "images/train"),
        ("annotations/instances_train.json", "images"),
        ("annotations/instances_train.json", "."),
        ("instances_train.json", "photographs"),
        ("train/_annotations.coco.json", "train"),
    ],
)
def test_pictures_are_found_where_they_are_usual(lay_out, file, pictures):
    folder = lay_out(file=file, pictures=pictures)
    found = coco.read(folder).splits["train"]
    assert [picture.path for picture in found] == [
        folder / pictures / name for name in ("a.png", "b.png")
    ]
    single = coco.read(folder / file)
    assert [p.path for p in single.splits["train"]] == [p.path for p in found]


@pytest.mark.parametrize(
    ("file", "pictures", "split"),
    [
        ("annotations/instances_val2017.json", "val2017", "validation"),
        ("annotations/instances_test.json", "test", "test"),
        ("valid/labels.json", "valid", "validation"),
    ],
)
def test_splits_are_named_by_their_files(lay_out, file, pictures, split):
    if file.startswith("annotations"):
        lay_out()
    else:
        lay_out(file="train/labels.json", pictures="train")
    found = coco.read(lay_out(file=file, pictures=pictures))
    assert list(found.splits) == ["train", split]
    assert found.splits[split][0].path.parent.name == pictures


def test_a_file_name_may_have_a_folder(lay_out):
    folder = lay_out(names=["train2017/a.png"])
    [picture] = coco.read(folder).splits["train"]
    assert picture.path == folder / "train2017" / "a.png"


def test_pictures_that_are_nowhere_are_told_by_their_usual_place(lay_out):
    folder = lay_out(pictures=None, annotations=[{"id": 8}])
    (folder / "train2017").mkdir()
    [line] = annotated.all_faults(coco.read(folder))[:1]
    assert f"{folder / 'train2017' / 'a.png'}" in line
    assert "image 70, annotation 8" in line
    assert "does not exist" in line


def test_two_folders_of_the_same_names_are_refused(lay_out):
    lay_out(file="labels.json", pictures="one")
    folder = lay_out(file="labels.json", pictures="two")
    with pytest.raises(errors.DataError, match="labels.json are in both"):
        coco.read(folder / "labels.json")


def test_a_split_has_one_file(lay_out):
    lay_out(file="annotations/instances_train2014.json")
    folder = lay_out()
    with pytest.raises(errors.DataError, match="2 files of its split train") as caught:
        coco.read(folder)
    assert "instances_train2014.json, annotations/instances_t" in str(caught.value)


def test_a_folder_without_annotations_is_refused(tmp_path):
    with pytest.raises(errors.DataError, match="holds no annotations") as caught:
        coco.read(tmp_path)
    assert "annotations/instances_train.json" in caught.value.remedy


@pytest.mark.parametrize(
    ("categories", "words"),
    [
        (CATEGORIES[:1], "differ in 1 categories: that of id 2 is 'cat' and none"),
        ([CATEGORIES[0], {"id": 2, "name": "dog"}], "of id 2 is 'cat' and 'dog'"),
        ([*CATEGORIES, {"id": 3, "name": "dog"}], "of id 3 is none and 'dog'"),
    ],
)
def test_splits_must_have_the_same_categories(lay_out, categories, words):
    lay_out()
    folder = lay_out(file="annotations/instances_val2017.json", categories=categories)
    with pytest.raises(errors.DataError, match=words) as caught:
        coco.read(folder)
    assert "instances_val2017.json" in str(caught.value)


def test_classes_must_be_told_apart_by_name(lay_out):
    twice = [{"id": 1, "name": "cup"}, {"id": 2, "name": "cup"}]
    with pytest.raises(errors.DataError, match="instances_train2017.json.*'cup'"):
        coco.read(lay_out(categories=twice))


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "train2017/../../secret.png",
        "/etc/passwd",
        "..\\secret.png",
        "C:\\secret.png",
        "\\\\host\\share\\secret.png",
    ],
)
def test_file_names_that_lead_out_are_refused(lay_out, name):
    with pytest.raises(errors.DataError, match="leads out of the data set"):
        coco.read(lay_out(names=["a.png", name]))


@pytest.mark.parametrize("name", ["a\0.png", "\ud800.png", "a" * 256, "a/" * 3000])
def test_what_no_file_can_be_called_is_refused(lay_out, name):
    with pytest.raises(errors.DataError, match="is not the name of a file"):
        coco.read(lay_out(names=["a.png", name]))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"bbox": [5, 0, 3, 2]}, "is not within the picture"),
        ({"bbox": [1, 1, -2, 2]}, "no area"),
        ({"bbox": [1, 1, 0, 2]}, "no area"),
        ({"bbox": [1, 1, float("nan"), 2]}, "finite"),
        ({"bbox": [float("inf"), 1, -float("inf"), 2]}, "finite"),
        ({"area": float("nan")}, "finite"),
        ({"category_id": 9}, "its category id 9 is none of the file's 2"),
        ({"id": 4}, "its id is that of another annotation, of image 70"),
        ({"segmentation": [[1, 1, 2, 2]]}, "2 points"),
        ({"segmentation": {"size": [6, 4], "counts": [24]}}, "runs of its outline"),
    ],
)
def test_faulty_objects_are_told_with_file_image_and_annotation(lay_out, values, words):
    folder = lay_out(annotations=[{"id": 4}, {"id": 5} | values])
    found = coco.read(folder)
    assert len(found.splits["train"][0].labels) == 2
    [line] = annotated.all_faults(found)
    number = values.get("id", 5)
    file = folder / "annotations" / "instances_train2017.json"
    assert line.startswith(f"{file}, image 70, annotation {number}: ")
    assert words in line


def test_an_annotation_of_a_picture_of_another_size_is_told(lay_out, encode, pixels):
    folder = lay_out(annotations=[{"id": 4}])
    (folder / "train2017" / "a.png").write_bytes(encode(pixels(6, 4)))
    [line] = annotated.all_faults(coco.read(folder))
    assert "6 x 4 pixels" in line
    assert "4 x 6 pixels" in line


def random_annotations(folder, encode, pixels, *, splits=("train", "validation")):
    """Draw objects of any kind, in pictures of which some share a name."""
    random = np.random.default_rng(3)
    found = {}
    for number, split in enumerate(splits):
        found[split] = []
        for index, count in enumerate((3, 0, 40)):
            path = folder / split / str(index // 2) / f"{index % 2}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            height, width = random.integers(40, 300, 2).tolist()
            path.write_bytes(encode(pixels(height, width, seed=3 * number + index)))
            low = random.random((count, 2)) * 0.5
            corners = np.concatenate(
                [low, low + 0.01 + random.random((count, 2)) * 0.4], 1
            )
            boxes = (corners * ([width, height] * 2)).astype(np.float32)
            found[split].append(
                annotated.Picture(
                    path=path,
                    size=(height, width) if index else None,
                    boxes=boxes.astype(np.float64),
                    labels=random.integers(0, 3, count).astype(np.int32),
                    areas=random.random(count) * 100,
                    is_crowd=random.random(count) < 0.3,
                    is_difficult=random.random(count) < 0.3,
                    places=["here"] * count,
                )
            )
    return annotated.Annotations(class_names=("cat", "cup", "ä b"), splits=found)


def test_what_is_written_is_read_back(tmp_path, encode, pixels):
    written = random_annotations(tmp_path, encode, pixels)
    coco.write(written, tmp_path / "new")
    found = coco.read(tmp_path / "new")
    assert annotated.all_faults(found) == []
    assert found.class_names == written.class_names
    assert list(found.splits) == list(written.splits)
    for split, pictures in written.splits.items():
        for old, new in zip(pictures, found.splits[split], strict=True):
            assert new.path.parent == tmp_path / "new" / split.removesuffix("idation")
            assert new.path.read_bytes() == old.path.read_bytes()
            np.testing.assert_array_equal(
                new.boxes.astype(np.float32), old.boxes.astype(np.float32)
            )
            for name in ("labels", "areas", "is_crowd", "is_difficult"):
                assert getattr(new, name).tolist() == getattr(old, name).tolist()


def test_the_coco_api_reads_what_is_written(tmp_path, encode, pixels):
    written = random_annotations(tmp_path, encode, pixels, splits=["train"])
    coco.write(written, tmp_path / "new")
    with contextlib.redirect_stdout(io.StringIO()):
        read = coco_api.COCO(tmp_path / "new" / "annotations" / "instances_train.json")
    for number, picture in enumerate(written.splits["train"], start=1):
        rows = read.loadAnns(read.getAnnIds(imgIds=number))
        assert len(rows) == len(picture.labels)
        for row, box, area in zip(rows, picture.boxes, picture.areas, strict=True):
            np.testing.assert_array_equal(row["bbox"][:2], box[:2])
            np.testing.assert_allclose(row["bbox"][2:], box[2:] - box[:2], rtol=1e-12)
            assert row["area"] == area
    assert [row["name"] for row in read.loadCats(read.getCatIds())] == [
        *written.class_names
    ]


def test_writing_refuses_what_cannot_be_read_back(tmp_path, encode, pixels, lay_out):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").touch()
    written = random_annotations(tmp_path, encode, pixels)
    with pytest.raises(errors.DataError, match="full is not empty"):
        coco.write(written, tmp_path / "full")
    written.splits["train"][0].path.write_text("no picture")
    with pytest.raises(errors.DataError, match="is no picture that can be read"):
        coco.write(written, tmp_path / "new")
    faulty = coco.read(lay_out(annotations=[{"id": 5, "category_id": 9}]))
    with pytest.raises(errors.DataError, match="annotation 5 cannot be written"):
        coco.write(faulty, tmp_path / "other")


def test_coco_is_what_its_file_says(real_data):
    """Counted from the files by hand: 80 classes of which ids have gaps."""
    found = coco.read(real_data / "coco_mini")
    assert len(found.class_names) == 80
    assert (found.class_names[0], found.class_names[-1]) == ("person", "toothbrush")
    for split, numbers in {
        "train": (64, 570, 74, 5),
        "validation": (40, 341, 57, 4),
    }.items():
        pictures = found.splits[split]
        labels = np.concatenate([picture.labels for picture in pictures])
        crowds = np.concatenate([picture.is_crowd for picture in pictures])
        seen = (len(pictures), len(labels), len(np.unique(labels)), crowds.sum())
        assert seen == numbers
    assert annotated.all_faults(found) == []


def test_coco_becomes_sources(real_data, tmp_path):
    warned = []
    sources = annotated.sources(
        coco.read(real_data / "coco_mini"),
        cache=tmp_path,
        on_bad_data="error",
        warn=warned.append,
    )
    train = sources["train"]
    assert sum(len(known) for known in train.objects) == 570
    sample = train.load(np.int64(7))
    assert len(sample["boxes"]) == (~train.objects[7].is_crowd).sum()
    assert sample["image"].shape[:2] == train.objects[7].size
    assert pathlib.Path(train.names[7]).parent.name == "train2017"
