import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import annotated, yolo

YAML = "{train: images, names: [cat, dog]}"


@pytest.fixture
def root(tmp_path):
    return tmp_path / "set"


@pytest.fixture
def lay_out(root, encode, pixels):
    """Return a function that writes a picture of 60 x 40 pixels, and its labels."""

    def write(name, *lines, height=40, width=60):
        for folder in ("images", "labels"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "data.yaml").write_text(YAML)
        content = encode(pixels(height, width, seed=len(name)))
        (root / "images" / f"{name}.png").write_bytes(content)
        (root / "labels" / f"{name}.txt").write_text("\n".join(lines))
        return root

    return write


def read_one(root):
    annotations = yolo.read(root)
    [[picture]] = annotations.splits.values()
    return annotations, picture


def test_centre_and_size_are_shares_of_the_picture(lay_out):
    root = lay_out("a", "1 0.5 0.5 1 1", "", "0 0.25 0.5 0.1 0.25 ")
    annotations, picture = read_one(root)
    assert annotations.class_names == ("cat", "dog")
    assert picture.size == (40, 60)
    assert picture.path == root / "images" / "a.png"
    expected = [[0, 0, 60, 40], [12, 15, 18, 25]]
    np.testing.assert_allclose(picture.boxes, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(picture.areas, [2400, 60])
    assert picture.labels.tolist() == [1, 0]
    labels = root / "labels" / "a.txt"
    assert list(picture.places) == [f"{labels}, line 1", f"{labels}, line 3"]
    assert annotated.all_faults(annotations) == []


def test_an_outline_becomes_the_box_around_it_with_its_own_area(lay_out):
    triangle = "0 0.1 0.2 0.5 0.2 0.1 0.6"
    _, picture = read_one(lay_out("a", triangle, "1 0.2 0.2 0.4 0.2 0.4 0.4 0.2 0.4"))
    np.testing.assert_allclose(picture.boxes, [[6, 8, 30, 24], [12, 8, 24, 16]])
    np.testing.assert_allclose(picture.areas, [24 * 16 / 2, 12 * 8])


def test_a_picture_without_a_file_of_labels_has_no_objects(lay_out, root):
    lay_out("a", "0 0.5 0.5 1 1")
    lay_out("b")
    (root / "labels" / "b.txt").unlink()
    lay_out("c")
    counts = [len(picture.labels) for picture in yolo.read(root).splits["train"]]
    assert counts == [1, 0, 0]
    (root / "labels" / "a.txt").unlink()
    (root / "labels" / "c.txt").unlink()
    with pytest.raises(errors.DataError, match=r"no picture of train has .*a\.txt"):
        yolo.read(root)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 1", "has 4 numbers where class, x, y, width, height are due"),
        ("0 0.5 0.5 0.5 0.5 0.9", "has 6 numbers"),
        ("0", "has 1 numbers"),
        ("2 0.5 0.5 0.5 0.5", "no class 2 among 2"),
        ("-1 0.5 0.5 0.5 0.5", "no class -1"),
        ("0.5 0.5 0.5 0.5 0.5", "no class 0.5"),
        ("nan 0.5 0.5 0.5 0.5", "no class nan"),
        ("inf 0.5 0.5 0.5 0.5", "no class inf"),
        ("0 30 20 10 10", "30 is no share of the picture"),
        ("0 0.5 1.2 0.5 0.5", "1.2 is no share"),
        ("0 0.5 0.5 -0.5 0.5", "-0.5 is no share"),
        ("0 0.5 0.5 nan 0.5", "nan is no share"),
        ("0 0.5 0.5 0 0.5", "0 x 20 pixels has no area"),
        ("0 0.9 0.5 0.5 0.5", "is not within the picture of 60 x 40"),
        ("cat 0.5 0.5 0.5 0.5", "'cat 0.5 0.5 0.5 0.5' is not of numbers"),
        ("0,0.5,0.5,0.5,0.5", "is not of numbers"),
        ("\x89PNG", "is not of numbers"),
    ],
)
def test_faulty_lines_are_named(lay_out, line, words):
    root = lay_out("a", "1 0.5 0.5 1 1", line, "0 0.5 0.5 0.2 0.2")
    annotations, picture = read_one(root)
    [found] = annotated.all_faults(annotations)
    assert found.startswith(f"{root / 'labels' / 'a.txt'}, line 2: ")
    assert words in found
    assert picture.labels[[0, 2]].tolist() == [1, 0]
    assert np.isfinite(picture.boxes[[0, 2]]).all()


def test_a_byte_order_mark_is_no_part_of_the_first_line(lay_out):
    annotations, picture = read_one(lay_out("a", "\ufeff1 0.5 0.5 1 1"))
    assert annotated.all_faults(annotations) == []
    assert picture.labels.tolist() == [1]


def test_a_pixel_beyond_the_picture_is_forgiven(lay_out):
    annotations, _ = read_one(lay_out("a", f"0 0.5 0.5 {61 / 60} {41.5 / 40}"))
    assert annotated.all_faults(annotations) == []


def test_a_picture_that_cannot_be_read_has_no_objects(lay_out, root):
    lay_out("a", "0 0.5 0.5 1 1")
    lay_out("b", "0 0.5 0.5 1 1")
    (root / "images" / "b.png").write_bytes(b"no picture")
    annotations = yolo.read(root)
    assert [len(p.labels) for p in annotations.splits["train"]] == [1, 0]
    [line] = annotated.all_faults(annotations)
    assert line.endswith("b.png cannot be read")


def test_labels_without_a_picture_are_told(lay_out):
    root = lay_out("a", "1 0.5 0.5 1 1")
    (root / "labels" / "b.txt").touch()
    lines = []
    yolo.read(root, warn=lines.append)
    stray = root / "labels" / "b.txt"
    assert lines == [f"left out 1 label files without a picture: {stray}, ..."]


def test_a_notice_is_a_warning_by_default(lay_out, root):
    lay_out("a", "0 0.5 0.5 1 1")
    (root / "data.yaml").write_text(YAML.replace("}", ", download: x.zip}"))
    with pytest.warns(UserWarning, match="neither fetched nor run"):
        yolo.read(root)


def test_what_is_written_is_read_to_the_last_bit_of_float32(tmp_path, encode, pixels):
    rng = np.random.default_rng(3)
    pictures = []
    for number, (height, width) in enumerate([(37, 61), (480, 641), (8, 8), (333, 7)]):
        path = tmp_path / f"from{number}" / "same.png"
        path.parent.mkdir()
        path.write_bytes(encode(pixels(height, width, seed=number)))
        corners = np.sort(rng.uniform(0, 1, (300, 2, 2)), axis=1) * [width, height]
        corners[::3] = corners[::3].round()
        corners[::7] = [[0, 0], [width, height]]
        boxes = corners.reshape(-1, 4).astype(np.float32).astype(np.float64)
        count = 300 if number != 2 else 0
        pictures.append(
            annotated.Picture(
                path=path,
                size=(height, width) if number else None,
                boxes=boxes[:count],
                labels=rng.integers(0, 2, count, np.int32),
                areas=np.prod(boxes[:count, 2:] - boxes[:count, :2], axis=1),
                is_crowd=np.zeros(count, bool),
                is_difficult=np.zeros(count, bool),
                places=["here"] * count,
            )
        )
    splits = {"train": pictures[:2], "validation": pictures[2:3], "test": pictures[1:]}
    annotations = annotated.Annotations(("no", "血小板: 1"), splits)
    yolo.write(annotations, tmp_path / "to")
    again = yolo.read(tmp_path / "to")
    assert again.class_names == annotations.class_names
    assert list(again.splits) == ["train", "validation", "test"]
    for split, written in splits.items():
        for mine, found in zip(written, again.splits[split], strict=True):
            assert mine.path.read_bytes() == found.path.read_bytes()
            assert not found.faults
            np.testing.assert_array_equal(
                mine.boxes.astype(np.float32), found.boxes.astype(np.float32)
            )
            np.testing.assert_array_equal(mine.labels, found.labels)
            np.testing.assert_allclose(mine.areas, found.areas, atol=1e-9)


def test_crowds_are_not_written(lay_out, tmp_path):
    annotations, picture = read_one(lay_out("a", "0 0.5 0.5 1 1", "1 0.5 0.5 1 1"))
    crowd = dataclasses.replace(picture, is_crowd=np.array([True, False]))
    crowds = dataclasses.replace(annotations, splits={"train": [crowd]})
    yolo.write(crowds, tmp_path / "to")
    assert read_one(tmp_path / "to")[1].labels.tolist() == [1]


def test_what_cannot_be_written_is_refused(lay_out, tmp_path):
    annotations, picture = read_one(lay_out("a", "0 0.5 0.5 1 1"))
    for change, words in (
        ({"size": (60, 40)}, "annotated are"),
        ({"labels": np.array([-1], np.int32)}, "line 1 cannot be written"),
        ({"path": tmp_path / "gone.png"}, "gone.png: it cannot be copied"),
        ({"path": tmp_path / "set" / "data.yaml"}, "cannot be read"),
    ):
        changed = dataclasses.replace(picture, **change)
        changed = dataclasses.replace(annotations, splits={"train": [changed]})
        with pytest.raises(errors.DataError, match=words):
            yolo.write(changed, tmp_path / f"to{len(words)}{len(change)}")


def test_samples_follow_in_tf_data(lay_out, root, tmp_path):
    lay_out("a", "0 0.5 0.5 1 1", "1 0.25 0.5 0.1 0.25")
    lay_out("bb")
    found = annotated.sources(
        yolo.read(root), cache=tmp_path / "cache", on_bad_data="error", warn=print
    )["train"]
    mapped = tf.data.Dataset.range(2).map(found.load)
    first, second = mapped.as_numpy_iterator()
    assert first["image"].shape == (40, 60, 3)
    np.testing.assert_allclose(first["boxes"], [[0, 0, 60, 40], [12, 15, 18, 25]])
    assert first["labels"].tolist() == [0, 1]
    assert second["boxes"].shape == (0, 4)
