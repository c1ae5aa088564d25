import os
import zipfile

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import folder


@pytest.fixture
def root(tmp_path):
    return tmp_path / "pictures"


@pytest.fixture
def lay_out(root, encode, pixels):
    """Return a function that writes a picture, each another one, at every path."""
    written = []

    def write(*paths, file_format="PNG"):
        for path in paths:
            written.append(path)
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            content = encode(pixels(seed=len(written)), file_format)
            (root / path).write_bytes(content)
        return root

    return write


@pytest.fixture
def read(root, tmp_path):
    """Return a function that reads the folder."""

    def read_root(path=root, on_bad_data="error", warn=print):
        cache = tmp_path / "cache"
        return folder.read(path, cache=cache, on_bad_data=on_bad_data, warn=warn)

    return read_root


def listed(examples, root):
    """Return (name below root, class) of every example."""
    return [
        (os.path.relpath(name, root), examples.class_names[label])
        for name, label in zip(examples.names, examples.labels, strict=True)
    ]


def test_folders_are_classes_in_alphabetical_order(lay_out, read, root):
    lay_out("dog/b.png", "cat/z.png", "cat/a.png", "dog/deep/er/c.png", "eel/1.png")
    [(split, examples)] = read().items()
    assert split == "train"
    assert examples.class_names == ("cat", "dog", "eel")
    assert listed(examples, root) == [
        ("cat/a.png", "cat"),
        ("cat/z.png", "cat"),
        ("dog/b.png", "dog"),
        ("dog/deep/er/c.png", "dog"),
        ("eel/1.png", "eel"),
    ]
    assert examples.labels.dtype == np.int32


def test_samples_are_the_files_pixels(lay_out, read):
    lay_out("cat/a.png", "dog/b.png", "dog/c.png")
    examples = read()["train"]
    mapped = list(tf.data.Dataset.range(3).map(examples.load).as_numpy_iterator())
    for number, (name, sample) in enumerate(zip(examples.names, mapped, strict=True)):
        np.testing.assert_array_equal(sample["image"], PIL.Image.open(name))
        assert sample["label"] == examples.labels[number]
        assert sample["image"].size == examples.pixels[number]
        eager = examples.load(tf.constant(number, tf.int64))
        np.testing.assert_array_equal(eager["image"], sample["image"])


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train", "val", "test"), ["test", "train", "validation"]),
        (("Training", "valid"), ["train", "validation"]),
        (("train", "validation"), ["train", "validation"]),
        (("TRAIN", "Test"), ["test", "train"]),
    ],
)
def test_splits_are_known_by_their_names(lay_out, read, root, names, splits):
    lay_out(*(f"{name}/{c}/{name}.png" for name in names for c in ("cat", "dog")))
    found = read()
    assert sorted(found) == splits
    for examples in found.values():
        assert examples.class_names == ("cat", "dog")
        assert [label for _, label in listed(examples, root)] == ["cat", "dog"]


def test_other_folders_beside_splits_are_passed_over(lay_out, read):
    lay_out("train/cat/1.png", "train/dog/1.png", "unlabelled/1.png", "test/1.png")
    assert list(read()) == ["train"]


def test_train_may_be_a_class(lay_out, read):
    lay_out("bus/1.png", "train/1.png", "tram/1.png")
    assert read()["train"].class_names == ("bus", "train", "tram")


def test_lone_folders_are_descended_into(lay_out, read, root):
    lay_out("set/2024/cat/1.png", "set/2024/dog/1.png", "__MACOSX/cat/1.png")
    lay_out(".hidden/1.png")
    found = read()["train"]
    assert listed(found, root / "set/2024") == [
        ("cat/1.png", "cat"),
        ("dog/1.png", "dog"),
    ]


def test_a_class_may_be_missing_from_test(lay_out, read):
    lay_out("train/a/1.png", "train/b/1.png", "test/b/1.png")
    examples = read()["test"]
    assert examples.class_names == ("a", "b")
    assert examples.labels.tolist() == [1]


ERRORS = {
    "nothing": ([], "0 class folders"),
    "one class": (["cat/1.png"], "0 class folders"),
    "one class in train": (["train/cat/1.png", "test/cat/1.png"], "1 class folders"),
    "no classes": (["1.png", "2.png"], "0 class folders"),
    "no picture": (["cat/1.txt", "dog/1.txt"], "no picture"),
    "an empty class": (["cat/1.png", "dog/1.txt"], "dog holds no picture to train on"),
    "no train": (["val/a/1.png", "val/b/1.png", "test/a/1.png"], "no train folder"),
    "twice": (
        ["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/2.png"],
        "val and .*valid are both for validation",
    ),
    "unknown class": (
        ["train/a/1.png", "train/b/1.png", "test/c/1.png"],
        "test/c: train has no class of this name",
    ),
    "empty test": (
        ["train/a/1.png", "train/b/1.png", "test/a/1.txt"],
        "test holds no picture in a folder of a class",
    ),
}


@pytest.mark.parametrize(("paths", "words"), ERRORS.values(), ids=ERRORS)
def test_other_layouts_are_refused(lay_out, read, root, paths, words):
    root.mkdir()
    lay_out(*paths)
    with pytest.raises(errors.DataError, match=words) as caught:
        read()
    assert caught.value.exit_code == 3


def test_a_broken_picture_is_refused_by_name(lay_out, read, root):
    lay_out("cat/1.png", "cat/2.png", "dog/1.png")
    (root / "cat/2.png").write_bytes(b"no picture")
    with pytest.raises(errors.DataError, match=r"cat/2\.png: it is no JPEG"):
        read()


def test_a_broken_picture_is_left_out_if_asked(lay_out, read, root):
    lay_out(*(f"{c}/{n}.png" for c in ("cat", "dog") for n in range(10)))
    (root / "dog/4.png").write_bytes(b"no picture")
    lines = []
    examples = read(on_bad_data="skip", warn=lines.append)["train"]
    assert len(examples) == 19
    assert np.bincount(examples.labels).tolist() == [10, 9]
    assert str(root / "dog/4.png") not in examples.names
    [line] = lines
    assert str(root / "dog/4.png") in line
    assert len(list(tf.data.Dataset.range(19).map(examples.load))) == 19


def test_a_class_whose_only_picture_is_left_out_is_refused(lay_out, read, root):
    lay_out(*(f"cat/{n}.png" for n in range(30)), "dog/1.png")
    (root / "dog/1.png").write_bytes(b"no picture")
    with pytest.raises(errors.DataError, match="dog holds no picture to train on"):
        read(on_bad_data="skip")


def test_splits_do_not_share_their_memory(lay_out, read, root, tmp_path):
    lay_out("train/a/1.png", "train/b/1.png", "test/a/1.png")
    first = read()
    memories = sorted((tmp_path / "cache" / "scans").iterdir())
    assert len(memories) == 2
    times = [path.stat().st_mtime_ns for path in memories]
    second = read()
    assert [path.stat().st_mtime_ns for path in memories] == times
    for split in first:
        np.testing.assert_array_equal(first[split].digests, second[split].digests)


def test_the_memory_of_a_deep_folder_has_a_short_name(lay_out, read, root):
    deep = root.joinpath(*["d" * 100] * 4)
    for name in ("cat/1.png", "dog/1.png"):
        lay_out(f"{deep.relative_to(root)}/{name}")
    assert len(read()["train"]) == 2


def test_names_need_not_be_unicode(lay_out, read, root):
    lay_out("cat/1.png", "dog/1.png")
    os.rename(root / "cat", root / os.fsdecode(b"caf\xe9"))
    examples = read()["train"]
    assert len(list(tf.data.Dataset.range(2).map(examples.load))) == 2


def test_a_zip_is_read_like_the_folder_in_it(lay_out, read, root, tmp_path):
    lay_out("train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png")
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        for picture in sorted(root.rglob("*.png")):
            file.write(picture, f"set/{picture.relative_to(root)}")
    plain, zipped = read(), read(path)
    assert sorted(zipped) == ["test", "train"]
    for split, examples in zipped.items():
        np.testing.assert_array_equal(examples.digests, plain[split].digests)
        np.testing.assert_array_equal(examples.labels, plain[split].labels)


def test_another_file_is_no_zip(lay_out, read, root):
    lay_out("1.png")
    with pytest.raises(errors.DataError, match=r"1\.png is no whole zip"):
        read(root / "1.png")
