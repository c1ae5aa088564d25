import time

import pytest

from tfdl import errors
from tfdl.data.sources import yolo_layout


@pytest.fixture
def root(tmp_path):
    return tmp_path / "set"


@pytest.fixture
def lay_out(root):
    """Return a function that writes empty pictures, and data.yaml if it is given."""

    def write(*names, text=None):
        for name in names:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        if text is not None:
            root.mkdir(exist_ok=True)
            (root / "data.yaml").write_text(text)
        return root

    return write


def found(path, warn=print):
    layout = yolo_layout.find(path, warn=warn)
    return {
        split: [picture.relative_to(layout.root).as_posix() for picture in pictures]
        for split, pictures in layout.pictures.items()
    }


PICTURES = ("images/train/b.jpg", "images/train/a.png", "images/val/c.jpg")
SPLITS = {
    "train": ["images/train/a.png", "images/train/b.jpg"],
    "validation": ["images/val/c.jpg"],
}


@pytest.mark.parametrize(
    "text",
    [
        "{train: images/train, val: images/val, names: [cat, dog]}",
        "path: .\ntrain: ./images/train\nval: images/val/\nnames: {0: cat, 1: dog}",
        "train: [images/train]\nvalid: images/val\ntest:\nnames: {1: dog, 0: cat}\n"
        "nc: 2",
        "train: ../images/train\nval: ../images/val\nnames: ['cat', ' dog ']",
    ],
)
def test_a_yaml_file_names_folders_and_classes(lay_out, text):
    root = lay_out(*PICTURES, text=text)
    assert found(root) == found(root / "data.yaml") == found(root.parent) == SPLITS
    layout = yolo_layout.find(root, warn=print)
    assert layout.class_names == ("cat", "dog")
    assert layout.place == root / "data.yaml"


def test_a_lone_yaml_file_may_have_any_name(lay_out, root):
    lay_out(*PICTURES)
    (root / "cats.yml").write_text("{train: images/train, names: [cat]}")
    assert list(found(root)) == ["train"]


def test_lists_of_pictures_are_relative_to_the_root(lay_out, root):
    lay_out("deep/images/a.jpg", "deep/images/b.jpg", text="train: t.txt\nnames: [cat]")
    (root / "data.yaml").write_text("path: deep\ntrain: t.txt\nnames: [cat]")
    (root / "deep" / "t.txt").write_text("./images/b.jpg\n\nimages/gone.jpg\n")
    assert found(root) == {"train": ["images/b.jpg", "images/gone.jpg"]}


def test_folders_need_a_file_of_classes(lay_out, root):
    lay_out(*PICTURES, "images/valid/c.jpg")
    with pytest.raises(errors.DataError, match=r"no data\.yaml, nor both"):
        found(root)
    (root / "classes.txt").write_text("cat\n\n dog\n")
    assert found(root) == SPLITS | {"validation": ["images/valid/c.jpg"]}
    assert yolo_layout.find(root, warn=print).class_names == ("cat", "dog")


def test_a_folder_without_splits_is_train(lay_out, root):
    lay_out("images/b.jpg", "images/a.jpg", "labels/a.txt")
    (root / "classes.txt").write_text("cat")
    assert found(root) == {"train": ["images/a.jpg", "images/b.jpg"]}


def test_labels_are_in_a_folder_like_that_of_images(tmp_path):
    root = tmp_path / "images" / "set"
    layout = yolo_layout.Layout(root, ("cat",), root, {})
    for picture, labels in (
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("images/train/images/a.b.jpg", "images/train/labels/a.b.txt"),
        ("train/a.jpg", "train/a.txt"),
        ("images.jpg", "images.txt"),
    ):
        assert layout.label_file(root / picture) == root / labels


def test_download_is_neither_fetched_nor_run(lay_out, tmp_path):
    script = f"open({str(tmp_path / 'run')!r}, 'w')"
    text = f'train: images/train\nnames: [cat]\ndownload: "{script}"\n'
    lines = []
    found(lay_out(*PICTURES, text=text), warn=lines.append)
    [line] = lines
    assert "data.yaml" in line
    assert "neither fetched nor run" in line
    assert not (tmp_path / "run").exists()


BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    + ["train: *a11", "names: [cat]"]
)
MERGED = "\n".join(
    ["a0: &a0 {x: 1}"]
    + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 12)]
)
REFUSED = {
    "python object": (
        "!!python/object/apply:os.system ['echo']",
        "could not determine a constructor",
    ),
    "python name": ("names: !!python/name:os.system", "not plain YAML"),
    "path is the root": ("{path: /, train: etc, names: [cat]}", "'/' is not below"),
    "path is above": ("{path: .., train: set, names: [cat]}", "is not below"),
    "train is above": ("{train: ../../etc, names: [cat]}", "is not below"),
    "train is elsewhere": ("{train: /etc, names: [cat]}", "'/etc' is not below"),
    "train hides it": ("{train: ..//etc, names: [cat]}", "is not below"),
    "aliases": (BOMB, "aliases"),
    "merged aliases": (MERGED, "aliases"),
    "depth": ("[" * 100_000, "over 10 levels"),
    "size": ("names: [" + "cat, " * 50_000 + "]", "more than 200000 bytes"),
    "a date that is none": ("train: 2001-99-99", "not plain YAML"),
    "tabs": ("train:\n\t- x", "not plain YAML"),
    "a list": ("[train, val]", "has no train and names"),
    "nothing": ("", "has no train and names"),
    "no pictures": ("names: [cat]", "names no pictures"),
    "an empty folder": ("{train: empty, names: [cat]}", "holds no picture"),
    "a missing folder": ("{train: gone, names: [cat]}", "there is no .*gone"),
    "a mapping": ("{train: {a: b}, names: [cat]}", "there is no"),
    "no names": ("train: images/train", "no list of class names"),
    "names from 1": ("{train: images/train, names: {1: a, 2: b}}", "no list of class"),
    "nested names": ("{train: images/train, names: [[a], b]}", "no list of class"),
    "names of truth": ("{train: images/train, names: [yes, no]}", "in quotes|no list"),
    "equal names": ("{train: images/train, names: [a, b, a]}", "class 'a' twice"),
    "empty names": ("{train: images/train, names: []}", "is empty"),
    "another nc": ("{train: images/train, names: [a], nc: 3}", "nc is 3, but names"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_other_yaml_files_are_refused_by_name(lay_out, root, text, words):
    lay_out(*PICTURES, text=text)
    (root / "empty").mkdir()
    start = time.process_time()
    with pytest.raises(errors.DataError, match=words) as caught:
        found(root)
    assert time.process_time() - start < 1
    assert "data.yaml" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_list_of_pictures_may_not_leave_the_folder(lay_out, root):
    lay_out(*PICTURES, text="{train: list.txt, names: [cat]}")
    (root / "list.txt").write_text("images/train/a.png\n../../secret.png\n")
    with pytest.raises(errors.DataError, match=r"secret\.png' is not below"):
        found(root)


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(errors.DataError, match="no folder and no file"):
        found(tmp_path / "missing")
    (tmp_path / "data.yaml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(errors.DataError, match=r"data\.yaml cannot be read as text"):
        found(tmp_path)
