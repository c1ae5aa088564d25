import json

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn import linear_model

from tfdl import errors
from tfdl.data import shapes, synthetic

SETTINGS = {"num_examples": 6, "image_size": 40, "max_objects": 3, "seed": 5}


def _draw(index, *, seed=0, image_size=48, max_objects=5):
    rng = np.random.default_rng((seed, index))
    return synthetic.draw(rng, image_size=image_size, max_objects=max_objects)


def _files(folder):
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_sample_has_the_conventional_shapes_and_types():
    sample = _draw(0)
    objects = len(sample["labels"])
    expected = {
        "image": ((48, 48, 3), np.uint8),
        "label": ((), np.int32),
        "boxes": ((objects, 4), np.float32),
        "labels": ((objects,), np.int32),
        "masks": ((objects, 48, 48), np.uint8),
        "semantic": ((48, 48), np.uint8),
    }
    assert {
        key: (value.shape, value.dtype) for key, value in sample.items()
    } == expected


def test_boxes_are_tight_and_half_open():
    for index in range(20):
        sample = _draw(index)
        for box, mask in zip(sample["boxes"], sample["masks"], strict=True):
            rows, columns = ndimage.find_objects(mask)[0]
            assert box.tolist() == [columns.start, rows.start, columns.stop, rows.stop]


def test_box_of_a_known_mask():
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:6] = True
    assert synthetic._tight_box(mask) == (2, 1, 6, 3)


def test_masks_are_disjoint_and_give_the_semantic_map():
    for index in range(20):
        sample = _draw(index)
        assert sample["masks"].sum(axis=0).max() == 1
        ids = sample["labels"][:, None, None] + 1
        np.testing.assert_array_equal(
            (sample["masks"] * ids).sum(axis=0), sample["semantic"]
        )


def test_label_is_the_class_of_the_largest_object():
    for index in range(20):
        sample = _draw(index)
        largest = sample["masks"].sum(axis=(1, 2)).argmax()
        assert sample["label"] == sample["labels"][largest]


def test_number_of_objects_covers_its_range():
    counts = [len(_draw(index, max_objects=3)["labels"]) for index in range(60)]
    assert set(counts) == {1, 2, 3}
    assert {len(_draw(index, max_objects=1)["labels"]) for index in range(60)} == {1}


def test_every_class_occurs_about_equally_often():
    labels = [
        _draw(index, max_objects=1, image_size=16)["label"] for index in range(600)
    ]
    counts = np.bincount(labels, minlength=len(synthetic.CLASS_NAMES))
    assert len(counts) == 10
    assert counts.min() > 30


@pytest.mark.parametrize("image_size", [16, 64])
def test_every_object_stays_visible(image_size):
    for index in range(100):
        rng = np.random.default_rng(index)
        labels, outlines, instances = synthetic._arrange(rng, image_size, 8)
        assert labels
        for number, outline in enumerate(outlines, start=1):
            visible = (instances == number).sum()
            assert visible >= synthetic.MIN_VISIBLE_RATE * shapes.area(outline)


def test_single_object_is_nearly_whole():
    for index in range(200):
        rng = np.random.default_rng(index)
        _, (outline,), instances = synthetic._arrange(rng, 64, 1)
        assert instances.sum() > 0.8 * shapes.area(outline)


def test_object_stands_out_of_the_background():
    for index in range(40):
        sample = _draw(index, max_objects=1)
        mask = sample["masks"][0].astype(bool)
        inside = sample["image"][mask].mean(axis=0)
        outside = sample["image"][~mask].mean(axis=0)
        assert np.linalg.norm(inside - outside) > 40


def test_raw_pixels_do_not_tell_the_class_linearly():
    samples = [_draw(index, max_objects=1, image_size=24) for index in range(600)]
    images = np.stack([sample["image"].ravel() for sample in samples]) / 255
    labels = np.array([sample["label"] for sample in samples])
    model = linear_model.RidgeClassifier(alpha=100).fit(images[:400], labels[:400])
    assert model.score(images[400:], labels[400:]) < 0.4


def test_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    for name, seed in (("one", 5), ("two", 5), ("other", 6)):
        synthetic.write(tmp_path / name, **{**SETTINGS, "seed": seed})
    assert _files(tmp_path / "one") == _files(tmp_path / "two")
    one, other = _files(tmp_path / "one"), _files(tmp_path / "other")
    assert all(one[name] != other[name] for name in one)


def test_larger_set_begins_with_the_smaller_one(tmp_path):
    synthetic.write(tmp_path / "small", **SETTINGS)
    synthetic.write(tmp_path / "large", **{**SETTINGS, "num_examples": 9})
    small, large = _files(tmp_path / "small"), _files(tmp_path / "large")
    examples = json.loads(small.pop("annotations.json"))["examples"]
    assert small.items() <= large.items()
    assert json.loads(large["annotations.json"])["examples"][:6] == examples


def test_files_hold_what_was_drawn(tmp_path):
    synthetic.write(tmp_path / "set", **SETTINGS)
    content = json.loads((tmp_path / "set" / "annotations.json").read_text())
    assert content["class_names"] == list(synthetic.CLASS_NAMES)
    assert content["image_size"] == 40
    assert content["seed"] == 5
    assert len(content["examples"]) == 6
    for index, example in enumerate(content["examples"]):
        sample = _draw(index, seed=5, image_size=40, max_objects=3)
        image = np.asarray(Image.open(tmp_path / "set" / example["image"]))
        instances = np.asarray(Image.open(tmp_path / "set" / example["instances"]))
        ids = np.arange(1, len(sample["labels"]) + 1)[:, None, None]
        np.testing.assert_array_equal(image, sample["image"])
        np.testing.assert_array_equal(instances == ids, sample["masks"])
        assert instances.dtype == np.uint8
        assert example["label"] == sample["label"]
        assert example["labels"] == sample["labels"].tolist()
        assert example["boxes"] == sample["boxes"].tolist()


def test_finished_folder_is_left_alone(tmp_path, monkeypatch):
    synthetic.write(tmp_path / "set", **SETTINGS)
    written = (tmp_path / "set" / "annotations.json").stat().st_mtime_ns
    monkeypatch.setattr(synthetic, "draw", None)
    synthetic.write(tmp_path / "set", **SETTINGS)
    assert (tmp_path / "set" / "annotations.json").stat().st_mtime_ns == written


def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    drawn = []

    def interrupted(rng, **arguments):
        drawn.append(rng)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(rng, **arguments)

    draw = synthetic.draw
    monkeypatch.setattr(synthetic, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        synthetic.write(tmp_path / "set", **SETTINGS)
    assert not list(tmp_path.iterdir())


def test_folder_drawn_by_another_process_meanwhile_serves(tmp_path, monkeypatch):
    def write_twice(unfinished, settings):
        write_examples(unfinished, settings)
        write_examples(tmp_path / "set", settings)

    write_examples = synthetic._write_examples
    monkeypatch.setattr(synthetic, "_write_examples", write_twice)
    synthetic.write(tmp_path / "set", **SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    "change", [{"num_examples": 7}, {"seed": 6}, {"max_objects": 2}, {"image_size": 41}]
)
def test_folder_with_another_set_is_refused(tmp_path, change):
    synthetic.write(tmp_path / "set", **SETTINGS)
    with pytest.raises(errors.DataError, match="holds something else"):
        synthetic.write(tmp_path / "set", **{**SETTINGS, **change})


@pytest.mark.parametrize("content", [None, "", "[]", "{}"])
def test_foreign_folder_is_refused_and_kept(tmp_path, content):
    (tmp_path / "letter.txt").write_text("dear reader")
    if content is not None:
        (tmp_path / "annotations.json").write_text(content)
    with pytest.raises(errors.DataError, match="holds something else"):
        synthetic.write(tmp_path, **SETTINGS)
    assert (tmp_path / "letter.txt").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_examples", 0), ("image_size", 15), ("max_objects", 255), ("seed", -1)],
)
def test_argument_out_of_range_is_named(tmp_path, name, value):
    with pytest.raises(errors.UsageError, match=f"Received {name}={value}"):
        synthetic.write(tmp_path / "set", **{**SETTINGS, name: value})
    assert not list(tmp_path.iterdir())
