import numpy as np
import pytest

from tfdl import errors
from tfdl.data.sources import annotated, writing


@pytest.fixture
def files(tmp_path):
    """Return a function that writes a file of its own name at every path."""

    def write(*names):
        paths = [tmp_path / "from" / name for name in names]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(path))
        return paths

    return write


def annotations(boxes=((0, 0, 1, 1),), labels=(0,), faults=()):
    boxes = np.array(boxes, np.float64)
    picture = annotated.Picture(
        path="a.jpg",
        size=None,
        boxes=boxes,
        labels=np.array(labels, np.int32),
        areas=np.ones(len(boxes)),
        is_crowd=np.zeros(len(boxes), bool),
        is_difficult=np.zeros(len(boxes), bool),
        places=[f"a.txt, line {number}" for number in range(1, len(boxes) + 1)],
        faults=faults,
    )
    return annotated.Annotations(("cat",), {"train": [picture]})


def test_copies_have_the_names_and_bytes_of_their_pictures(files, tmp_path):
    paths = files("a.jpg", "deep/b.PNG")
    copied = writing.copy(paths, tmp_path / "to" / "images")
    assert [copy.name for copy in copied] == ["a.jpg", "b.PNG"]
    assert [copy.read_text() for copy in copied] == [str(path) for path in paths]


def test_equal_names_are_numbered_whatever_their_endings(files, tmp_path):
    paths = files("x/a.jpg", "y/a.jpg", "x/a.png", "x/A.jpg", "x/a_2.jpg", "z/a_2.jpg")
    copied = writing.copy(paths, tmp_path / "to")
    names = [copy.name for copy in copied]
    assert names == ["a.jpg", "a_3.jpg", "a_4.png", "A_5.jpg", "a_2.jpg", "a_2_2.jpg"]
    assert [copy.read_text() for copy in copied] == [str(path) for path in paths]


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(errors.DataError, match=r"gone\.jpg: it cannot be copied"):
        writing.copy([tmp_path / "gone.jpg"], tmp_path / "to")


def test_nothing_is_written_into_another_data_set(files, tmp_path):
    writing.refuse_occupied(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    writing.refuse_occupied(tmp_path / "empty")
    [path] = files("a.jpg")
    for occupied in (path, path.parent):
        with pytest.raises(errors.DataError, match="is not empty"):
            writing.refuse_occupied(occupied)


def test_objects_need_a_class_and_a_box_to_be_written():
    writing.refuse_faulty(annotations())
    writing.refuse_faulty(annotations(boxes=np.zeros((0, 4)), labels=()))
    writing.refuse_faulty(annotations(boxes=[(9, 9, 9, 9)]))
    boxes = [(0, 0, 1, 1), (0, 0, np.nan, 1)]
    for faulty in (
        annotations(boxes=boxes, labels=(0, 0)),
        annotations(boxes=[(0, 0, 1, 1)] * 2, labels=(0, -1)),
        annotations(boxes=[(0, 0, 1, 1)] * 2, labels=(0, 0), faults=[(1, "torn")]),
    ):
        with pytest.raises(errors.DataError, match="line 2 cannot be written: "):
            writing.refuse_faulty(faulty)
