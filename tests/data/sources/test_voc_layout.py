import pytest

from tfdl import errors
from tfdl.data.sources import voc_layout


@pytest.fixture
def lay_out(tmp_path):
    """Return a function that writes files: paths, and {path: text}."""

    def write(*names, **texts):
        for name in names:
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for name, text in texts.items():
            path = tmp_path / "set" / "ImageSets" / "Main" / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "set"

    return write


def stems(files):
    return {split: [file.stem for file in listed] for split, listed in files.items()}


def found(root):
    return stems(voc_layout.split_files(voc_layout.descend(root)))


def test_lists_tell_the_splits(lay_out):
    root = lay_out(
        *(f"Annotations/{name}.xml" for name in "abcd"),
        train="c\na\n",
        val="b",
        test="\n d \n\n",
        trainval="a\nb\nc",
    )
    assert found(root) == {"train": ["c", "a"], "validation": ["b"], "test": ["d"]}


def test_trainval_less_val_stands_in_for_train(lay_out):
    root = lay_out(
        *(f"Annotations/{name}.xml" for name in "abc"), val="b", trainval="a\nb\nc"
    )
    assert found(root) == {"train": ["a", "c"], "validation": ["b"]}


def test_lists_of_a_class_have_a_second_column(lay_out):
    root = lay_out("Annotations/a.xml", "Annotations/b 1.xml", train="a  -1\nb 1\n")
    assert found(root) == {"train": ["a", "b 1"]}


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["Annotations/b.xml", "Annotations/a.xml"], {"train": ["a", "b"]}),
        (["one/two/annotations/a.xml", "one/.git/x"], {"train": ["a"]}),
        (["b.xml", "b.jpg", "a.xml"], {"train": ["a", "b"]}),
        (["one/b.xml", "one/b.jpg"], {"train": ["b"]}),
        (
            ["train/a.xml", "valid/b.xml", "test/c.xml"],
            {"train": ["a"], "validation": ["b"], "test": ["c"]},
        ),
        (["one/train/a.xml", "one/train/a.jpg"], {"train": ["a"]}),
        (["Annotations/a.xml", "ImageSets/Main/cat_train.txt"], {"train": ["a"]}),
    ],
)
def test_layouts_without_lists(lay_out, names, splits):
    assert found(lay_out(*names)) == splits


def test_a_listed_annotation_must_be_there(lay_out):
    root = lay_out("Annotations/a.xml", train="a\n../../etc/passwd\n")
    with pytest.raises(errors.DataError, match=r"train\.txt, line 2: there is no"):
        found(root)


def test_nothing_to_read_is_said(lay_out, tmp_path):
    root = lay_out("JPEGImages/a.jpg")
    with pytest.raises(errors.DataError, match="holds no XML file"):
        found(root)
    with pytest.raises(errors.DataError, match=r"a\.jpg is no folder"):
        found(root / "JPEGImages" / "a.jpg")
    with pytest.raises(errors.DataError, match="is no folder"):
        found(tmp_path / "missing")


def test_lists_must_be_text(lay_out):
    root = lay_out("Annotations/a.xml", train="a")
    path = root / "ImageSets" / "Main" / "train.txt"
    path.write_bytes(b"\xef\xbb\xbf a \r\n")  # as some editors save it
    assert voc_layout.read_lines(path) == ["a"]
    path.write_bytes(b"\xff\xfe\0")
    with pytest.raises(errors.DataError, match=r"train\.txt cannot be read"):
        found(root)


def test_pictures_are_those_of_their_annotations_names(lay_out):
    root = lay_out(
        "Annotations/a.xml", "JPEGImages/a.jpg", "JPEGImages/a.png", "JPEGImages/b.jpg"
    )
    [pictures] = voc_layout.pictures(root, voc_layout.split_files(root)).values()
    assert pictures.find("a", "a.png").name == "a.png"
    assert pictures.find("a", "old name.jpg").name == "a.jpg"
    assert pictures.find("c", "b.jpeg").name == "b.jpg"
    assert pictures.find("c", "") == root / "JPEGImages" / "c.jpg"


@pytest.mark.parametrize("name", ["../../a.png", "/etc/passwd", "C:\\d\\..\\e.jpg"])
def test_pictures_are_never_outside(lay_out, name):
    root = lay_out("a.xml", "b.jpg")
    [pictures] = voc_layout.pictures(root, voc_layout.split_files(root)).values()
    assert pictures.find("a", name).parent == root
