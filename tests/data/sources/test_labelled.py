import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import splits as splits_of_data
from tfdl.data.sources import label_classes, labelled, semantic

NAMED = label_classes.Named(("sky", "road", "void"), frozenset([2]), "classes.txt")


@pytest.fixture
def pair(tmp_path, encode, pixels):
    """Return a function that writes a picture of 8 x 12 pixels and its label map."""

    def make(name, values=0, *, palette=False, size=(8, 12), **options):
        image, label = (tmp_path / kind / f"{name}.png" for kind in ("images", "maps"))
        for path in (image, label):
            path.parent.mkdir(exist_ok=True)
        image.write_bytes(encode(pixels(8, 12, seed=sum(map(ord, name)))))
        values = np.broadcast_to(np.asarray(values, np.uint8), size)
        picture = PIL.Image.fromarray(np.ascontiguousarray(values))
        if palette:
            picture = PIL.Image.frombytes("P", picture.size, picture.tobytes())
            picture.putpalette([255 - n % 256 for n in range(768)])
        picture.save(label)
        return labelled.Pair(image, label, **options)

    return make


@pytest.fixture
def sources(tmp_path):
    """Return a function that makes sources of the pairs of some splits."""

    def make(on_bad_data="error", named=NAMED, ignore=(), warn=print, **splits):
        return labelled.sources(
            splits,
            named=named,
            ignore=ignore,
            place="the set",
            cache=tmp_path / "cache",
            on_bad_data=on_bad_data,
            warn=warn,
        )

    return make


def halves(first, second):
    return np.where(np.arange(12) < 5, first, second)


def test_everything_that_is_known_is_in_the_source(pair, sources, pixels):
    pairs = [
        pair("a", halves(0, 1)),
        pair("b", halves(1, 2), palette=True),
        pair("c", 255),
    ]
    found = sources(train=pairs, test=[pair("d", 0)])
    assert list(found) == ["train", "test"]
    train = found["train"]
    assert isinstance(train, semantic.Source)
    assert train.class_names == ("sky", "road")
    assert train.names == [str(p.image) for p in pairs]
    assert train.class_pixels.tolist() == [[40, 56], [0, 40], [0, 0]]
    assert train.labels.tolist() == [[1, 1], [0, 1], [0, 0]]
    assert train.sizes.tolist() == [[8, 12]] * 3
    assert train.pixels.tolist() == [8 * 12 * 3] * 3
    samples = list(train.records().map(train.load).as_numpy_iterator())
    for sample, name in zip(samples, "abc", strict=True):
        np.testing.assert_array_equal(sample["image"], pixels(8, 12, seed=ord(name)))
        assert sample["semantic"].dtype == np.uint8
    for sample, row in zip(
        samples, [halves(0, 1), halves(1, 255), halves(255, 255)], strict=True
    ):
        np.testing.assert_array_equal(sample["semantic"], np.tile(row, (8, 1)))


def test_black_and_white_is_told_by_the_whole_data_set(pair, sources):
    black, white = pair("a", 0), pair("b", 255)
    found = sources(named=None, train=[black, black], test=[white])
    assert found["train"].class_names == ("class_0", "class_1")
    assert found["test"].class_pixels.tolist() == [[0, 96]]
    other = sources(named=None, train=[black, pair("c", 1)], test=[white])
    assert other["test"].class_pixels.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (3, {}, r"maps/x\.png: its value 3 is none of the 2 classes of classes\.txt"),
        (
            0,
            {"size": (12, 8)},
            r"maps/x\.png: it has 8 x 12 pixels, its picture x\.png has 12 x 8 pixels",
        ),
        (0, {"fault": "it is upside down"}, r"maps/x\.png: it is upside down"),
    ],
)
def test_a_faulty_map_is_named(pair, sources, values, options, words):
    sound = pair("a", 1)
    with pytest.raises(errors.DataError, match=words):
        sources(train=[sound, pair("x", values, **options)])


def test_missing_and_broken_files_are_named(pair, sources):
    missing = pair("a")
    missing.label.unlink()
    with pytest.raises(errors.DataError, match=r"maps/a\.png: it does not exist"):
        sources(train=[missing])
    broken = pair("b")
    broken.label.write_bytes(broken.label.read_bytes()[:45])
    with pytest.raises(errors.DataError, match=r"maps/b\.png: it cannot be read"):
        sources(train=[broken])
    no_picture = pair("c")
    no_picture.image.write_bytes(b"nothing")
    with pytest.raises(errors.DataError, match=r"images/c\.png: it is no JPEG"):
        sources(train=[no_picture])


def test_up_to_a_twentieth_is_skipped(pair, sources):
    pairs = [pair(f"sound{number}", halves(0, 1)) for number in range(19)]
    lines = []
    found = sources("skip", warn=lines.append, train=[*pairs, pair("x", 9)])
    assert len(found["train"]) == 19
    [line] = lines
    assert line.endswith("its value 9 is none of the 2 classes of classes.txt")
    with pytest.raises(errors.DataError, match="2 of 20 pictures are broken"):
        sources("skip", train=[*pairs[1:], pair("x", 9), pair("y", 9)])


@pytest.mark.parametrize("splits", [{}, {"test": ()}])
def test_an_empty_split_is_refused(pair, sources, splits):
    if splits:
        splits = {"train": [pair("a")], **splits}
    with pytest.raises(errors.DataError, match="the set has no picture of its split"):
        sources(**splits)


def test_splits_keep_counts_and_maps_beside_their_pictures(pair, sources):
    values = [halves(n % 2, 1) for n in range(10)]
    pairs = [pair(f"p{n}", value) for n, value in enumerate(values)]
    found = splits_of_data.complete(
        sources(train=pairs), validation_fraction=0.2, test_fraction=0.3
    )
    assert {split: len(part) for split, part in found.items()} == {
        "train": 6,
        "validation": 1,
        "test": 3,
    }
    for part in found.values():
        for number in range(len(part)):
            sample = part.load(tf.constant(number, tf.int64))
            counts = np.bincount(sample["semantic"].numpy().ravel(), minlength=2)
            np.testing.assert_array_equal(part.class_pixels[number], counts)
            assert part.names[number].endswith(".png")


def test_a_picture_in_two_splits_is_refused(pair, sources):
    found = sources(train=[pair("a"), pair("b")], test=[pair("a")])
    with pytest.raises(errors.DataError, match="1 pictures are in two splits"):
        splits_of_data.apart(found, on_bad_data="error", warn=print)
