import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import splits
from tfdl.data.sources import annotated, voc


@pytest.fixture
def picture(tmp_path, encode, pixels):
    """Return a function that writes a picture of 60 x 40 pixels with some boxes."""

    def make(name, boxes=(), labels=None, *, crowds=(), difficult=(), **known):
        path = tmp_path / "pictures" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode(pixels(40, 60, seed=sum(map(ord, name)))))
        boxes = np.array(boxes, np.float64).reshape(-1, 4)
        count = len(boxes)
        settings = {
            "size": None,
            "areas": np.prod(boxes[:, 2:] - boxes[:, :2], axis=1),
            "faults": (),
        } | known
        return annotated.Picture(
            path=path,
            boxes=boxes,
            labels=np.array([0] * count if labels is None else labels, np.int32),
            is_crowd=np.isin(range(count), crowds),
            is_difficult=np.isin(range(count), difficult),
            places=[f"{name}.txt, line {number}" for number in range(1, count + 1)],
            **settings,
        )

    return make


@pytest.fixture
def sources(tmp_path):
    """Return a function that makes sources of the pictures of some splits."""

    def make(on_bad_data="error", warn=print, class_names=("cat", "dog"), **found):
        return annotated.sources(
            annotated.Annotations(class_names, found),
            cache=tmp_path / "cache",
            on_bad_data=on_bad_data,
            warn=warn,
        )

    return make


BOX = (1, 2, 11, 12)
EMPTY = (5, 5, 5, 9)


def test_everything_that_is_known_is_in_the_source(picture, sources):
    first = picture(
        "first",
        [BOX, (-0.5, 0, 60.5, 40), (3, 3, 30, 30)],
        [1, 0, 1],
        crowds=[2],
        difficult=[1],
        areas=np.array([77.5, 2400, 9]),
    )
    second, third = picture("second", [BOX], [1], crowds=[0]), picture("third")
    found = sources(train=[first, second, third], test=[picture("fourth", [BOX])])
    assert list(found) == ["train", "test"]
    train = found["train"]
    assert train.class_names == ("cat", "dog")
    assert train.names == [str(p.path) for p in (first, second, third)]
    assert train.labels.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert train.labels.dtype == np.int32
    assert train.pixels.tolist() == [40 * 60 * 3] * 3
    assert len(set(train.digests.tolist())) == 3
    known = train.objects[0]
    assert known.size == (40, 60)
    assert known.boxes.tolist() == [[1, 2, 11, 12], [0, 0, 60, 40], [3, 3, 30, 30]]
    assert known.areas.tolist() == [77.5, 2400, 9]
    assert known.is_crowd.tolist() == [False, False, True]
    assert known.is_difficult.tolist() == [False, True, False]
    assert list(known.places) == [f"first.txt, line {n}" for n in (1, 2, 3)]
    assert (known.boxes.dtype, known.labels.dtype, known.areas.dtype) == (
        np.float32,
        np.int32,
        np.float32,
    )
    assert [len(objects) for objects in train.objects] == [3, 1, 0]


def test_samples_have_the_pixels_and_objects_but_no_crowds(picture, sources):
    pictures = [
        picture("first", [BOX, (3, 3, 30, 30), (2, 2, 4, 4)], [1, 0, 0], crowds=[1]),
        picture("second"),
        picture("third", [(0, 0, 60, 40)], [1]),
    ]
    train = sources(train=pictures)["train"]
    expected = [([BOX, (2, 2, 4, 4)], [1, 0]), ([], []), ([(0, 0, 60, 40)], [1])]
    mapped = train.records().map(train.load)
    assert mapped.element_spec["boxes"].shape.as_list() == [None, 4]
    for number, sample in enumerate(mapped.as_numpy_iterator()):
        boxes, labels = expected[number]
        np.testing.assert_array_equal(
            sample["image"], PIL.Image.open(pictures[number].path)
        )
        np.testing.assert_array_equal(sample["boxes"], np.reshape(boxes, (-1, 4)))
        assert sample["labels"].tolist() == labels
        assert (sample["boxes"].dtype, sample["labels"].dtype) == (np.float32, np.int32)
        eager = train.load(tf.constant(number, tf.int64))
        np.testing.assert_array_equal(eager["boxes"], sample["boxes"])


def test_taking_some_examples_keeps_their_objects(picture, sources):
    names = [f"picture{number}" for number in range(20)]
    pictures = [picture(name, [BOX] * n) for n, name in enumerate(names)]
    whole = splits.complete(
        sources(train=pictures), validation_fraction=0.2, test_fraction=0.2
    )
    for examples in whole.values():
        for number, sample in enumerate(examples.records().map(examples.load)):
            own = names.index(examples.names[number].split("/")[-1][:-4])
            assert len(sample["boxes"]) == len(examples.objects[number]) == own


def test_every_kind_of_fault_is_found_once(picture):
    boxes = [BOX, EMPTY, (5, 5, 90, 9), BOX, (0, 0, np.nan, 1), BOX, (1, 1, 1, 1)]
    faults = [(5, "it is torn"), (5, "it is worn"), (6, "it is a click")]
    found = picture("a", boxes, [0, 0, 0, -1, 0, 0, 0], faults=faults)
    numbers, reasons = zip(*annotated.faults(found, (40, 60)), strict=True)
    assert numbers == (1, 2, 3, 4, 5, 6)
    assert "0 x 4 pixels has no area" in reasons[0]
    assert "not within the picture of 60 x 40 pixels" in reasons[1]
    assert reasons[2] == "its class is unknown"
    assert "finite" in reasons[3]
    assert reasons[4:] == ("it is torn", "it is a click")
    assert annotated.faults(picture("b"), (40, 60)) == []


def test_another_size_makes_every_object_faulty(picture):
    found = picture("a", [BOX, BOX], size=(60, 40), faults=[(1, "it is torn")])
    (first, reason), (second, torn) = annotated.faults(found, (40, 60))
    assert (first, second) == (0, 1)
    assert reason == "it is annotated in 40 x 60 pixels, the picture has 60 x 40 pixels"
    assert torn == "it is torn"
    assert annotated.faults(picture("b", [BOX], size=(40, 60)), (40, 60)) == []


def test_sizes_are_those_of_the_upright_picture(picture, sources, encode, pixels):
    turned = picture("a", [(0, 0, 40, 60)], size=(60, 40))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    turned.path.write_bytes(encode(pixels(40, 60), exif=exif.tobytes()))
    train = sources(train=[turned, picture("b", [BOX], [1])])["train"]
    assert train.objects[0].size == (60, 40)
    assert train.load(tf.constant(0, tf.int64))["image"].shape == (60, 40, 3)


def test_a_faulty_object_is_refused_by_name(picture, sources):
    pictures = [picture("a", [BOX, EMPTY]), picture("b", [EMPTY, BOX])]
    words = r"^a\.txt, line 2: its box of 0 x 4 pixels has no area \(and 1 more\)$"
    with pytest.raises(errors.DataError, match=words) as caught:
        sources(train=pictures)
    assert "--on-bad-data skip" in caught.value.remedy
    assert caught.value.exit_code == 3


def test_objects_are_looked_at_before_pictures_are_decoded(picture, sources):
    broken = picture("broken", [BOX])
    broken.path.write_bytes(broken.path.read_bytes()[:-20])
    with pytest.raises(errors.DataError, match=r"a\.txt, line 1"):
        sources(train=[broken, picture("a", [EMPTY])])
    with pytest.raises(errors.DataError, match=r"broken\.png: it cannot be decoded"):
        sources(train=[broken, picture("a", [BOX])])


def test_faulty_objects_are_left_out_if_asked(picture, sources):
    faulty = picture("a", [BOX, EMPTY, (2, 2, 4, 4)], [0, 1, 1], difficult=[2])
    lines = []
    train = sources(
        "skip", lines.append, train=[faulty, picture("b", [BOX] * 20, [1] * 20)]
    )["train"]
    assert lines == ["left out a.txt, line 2: its box of 0 x 4 pixels has no area"]
    known = train.objects[0]
    assert known.boxes.tolist() == [list(BOX), [2, 2, 4, 4]]
    assert known.labels.tolist() == [0, 1]
    assert known.is_difficult.tolist() == [False, True]
    assert known.places == ["a.txt, line 1", "a.txt, line 3"]
    sample = train.load(tf.constant(0, tf.int64))
    assert sample["labels"].numpy().tolist() == [0, 1]


def test_a_picture_that_loses_all_its_objects_is_left_out(picture, sources):
    """It would teach that nothing is there; one that had none does so rightly."""
    lines = []
    other_size = picture("a", [BOX], size=(1, 1))
    whole = [picture("b", [BOX] * 40), picture("c")]
    train = sources("skip", lines.append, train=[other_size, *whole])["train"]
    assert [len(known) for known in train.objects] == [40, 0]
    assert lines[0].startswith("left out a.txt, line 1: it is annotated in 1 x 1")
    assert lines[1].endswith("a.png: all of its objects are faulty")


def test_many_lines_are_summarised(picture, sources):
    lines = []
    boxes = [EMPTY] * 25 + [BOX] * 475
    sources("skip", lines.append, class_names=("cat",), train=[picture("a", boxes)])
    assert len(lines) == 21
    assert lines[-1] == "left out 5 more faulty objects of 500"


def test_more_than_one_in_twenty_are_not_left_out(picture, sources):
    boxes = [EMPTY] * 26 + [BOX] * 474
    words = "26 of 500 objects are faulty, the first is a.txt, line 1: its box"
    with pytest.raises(errors.DataError, match=words) as caught:
        sources("skip", train=[picture("a", boxes)])
    assert "at most 5%" in caught.value.remedy


def test_a_missing_picture_is_named_with_its_annotation(picture, sources):
    gone, other = picture("gone", [BOX]), picture("other")
    words = rf"^{gone.path}, the picture of gone\.txt, line 1, does not exist \(and 1"
    gone.path.unlink()
    other.path.unlink()
    pictures = [picture("here", [BOX, BOX], [0, 1]), gone, other]
    with pytest.raises(errors.DataError, match=words):
        sources(train=pictures)
    more = [picture(f"more{number}", [BOX]) for number in range(40)]
    lines = []
    found = sources("skip", lines.append, train=pictures + more)["train"]
    assert len(found) == 41
    assert str(gone.path) not in found.names
    assert len(lines) == 2
    assert all("left out" in line and "No such file" in line for line in lines)


def test_an_empty_split_is_refused(picture, sources):
    for found in ({}, {"train": []}, {"test": [picture("a", [BOX])]}):
        with pytest.raises(errors.DataError, match="no picture of its split train"):
            sources(**found)
    with pytest.raises(errors.DataError, match="no picture of its split validation"):
        sources(train=[picture("a", [BOX])], validation=[])
    with pytest.raises(errors.DataError, match="none of the 2 pictures of train has"):
        sources(train=[picture("a"), picture("b")], test=[picture("c", [BOX])])


def test_classes_that_cannot_be_learned_are_told(picture, sources):
    lines = []
    sources(
        warn=lines.append,
        class_names=("cat", "dog", "eel"),
        train=[picture("a", [BOX, BOX], [0, 1], crowds=[1])],
        validation=[picture("b", [BOX, BOX, BOX], [1, 1, 0])],
    )
    assert lines == [
        "train has no object of 2 of 3 classes: dog, eel",
        "validation has objects of classes that train lacks: dog (2)",
    ]


def test_all_faults_are_listed(picture):
    gone, text = picture("gone", [BOX]), picture("text", [EMPTY])
    gone.path.unlink()
    text.path.write_text("no picture")
    found = {"train": [gone, text, picture("a", [EMPTY, BOX])], "test": [picture("b")]}
    lines = annotated.all_faults(annotated.Annotations(("cat",), found))
    assert lines == [
        f"{gone.path}, the picture of gone.txt, line 1, does not exist",
        f"{text.path}, the picture of text.txt, line 1, cannot be read",
        "a.txt, line 1: its box of 0 x 4 pixels has no area",
    ]


def test_sound_annotations_have_true_sizes_and_cut_boxes(picture):
    outside = picture("a", [(-1, 0.25, 61, 40.5), BOX])
    annotations = annotated.Annotations(("cat",), {"train": [outside, picture("b")]})
    found = annotated.sound(annotations, on_bad_data="error", warn=print)
    assert [kept.size for kept in found.splits["train"]] == [(40, 60)] * 2
    first = found.splits["train"][0]
    assert first.boxes.tolist() == [[0, 0.25, 60, 40], list(BOX)]
    assert first.boxes.dtype == np.float64
    assert first.places == outside.places


def test_splits_of_one_folder_do_not_share_their_memory(picture, sources, tmp_path):
    found = {"train": [picture("a", [BOX])], "test": [picture("b", [BOX])]}
    first = sources(**found)
    memories = sorted((tmp_path / "cache" / "scans").iterdir())
    assert len(memories) == 2
    times = [path.stat().st_mtime_ns for path in memories]
    second = sources(**found)
    assert [path.stat().st_mtime_ns for path in memories] == times
    assert first["test"].digests.tolist() == second["test"].digests.tolist()


def test_names_of_classes_are_needed_once():
    annotated.refuse_repeated(["a", "b"], place="names.txt")
    with pytest.raises(errors.DataError, match=r"names\.txt names the class 'b' twice"):
        annotated.refuse_repeated(["a", "b", "b"], place="names.txt")
    with pytest.raises(errors.DataError, match="is empty"):
        annotated.refuse_repeated([], place="names.txt")


def test_the_real_blood_cells(real_data, tmp_path):
    annotations = voc.read(real_data / "bccd")
    lines = []
    found = annotated.sources(
        annotations, cache=tmp_path / "cache", on_bad_data="skip", warn=lines.append
    )
    assert len(lines) == 2
    assert [len(examples) for examples in found.values()] == [205, 87, 72]
    labels = [known.labels for examples in found.values() for known in examples.objects]
    assert np.bincount(np.concatenate(labels)).tolist() == [361, 4155 - 2, 372]
    train = found["train"]
    for sample in train.records().take(3).map(train.load):
        assert sample["image"].shape == (480, 640, 3)
        assert np.all(sample["boxes"][:, 2:] > sample["boxes"][:, :2])
