import gzip
import struct

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import mnist

NAMES = ("images-idx3-ubyte", "labels-idx1-ubyte")


def idx(values):
    """Write an array as an idx file."""
    shape = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, 8, values.ndim]) + shape + values.astype(np.uint8).tobytes()


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        prefix: (rng.integers(0, 256, (count, 5, 4), np.uint8), np.arange(count) % 3)
        for prefix, count in (("train", 7), ("t10k", 4))
    }


@pytest.fixture(params=["plain", "gzipped"])
def folder(request, tmp_path, arrays):
    """Return a folder with the four files."""
    for prefix, pair in arrays.items():
        for name, values in zip(NAMES, pair, strict=True):
            content, path = idx(values), tmp_path / f"{prefix}-{name}"
            if request.param == "gzipped":
                content, path = (
                    gzip.compress(content),
                    path.with_name(f"{path.name}.gz"),
                )
            path.write_bytes(content)
    return tmp_path


def test_what_is_written_is_read(folder, arrays):
    sources = mnist.read(folder)
    assert list(sources) == ["train", "test"]
    for examples, (images, labels) in zip(
        sources.values(), arrays.values(), strict=True
    ):
        assert examples.class_names == ("0", "1", "2")
        np.testing.assert_array_equal(examples.labels, labels)
        assert examples.pixels.tolist() == [20] * len(images)
        mapped = tf.data.Dataset.range(len(examples)).map(examples.load)
        assert mapped.element_spec["image"].shape.as_list() == [5, 4, 1]
        for number, sample in enumerate(mapped):
            np.testing.assert_array_equal(sample["image"][..., 0], images[number])
            eager = examples.load(tf.constant(number, tf.int64))
            np.testing.assert_array_equal(sample["image"], eager["image"])
            assert sample["label"] == eager["label"] == labels[number]
    assert sources["test"].names[3] == "t10k-images[3]"


def test_equal_pictures_have_equal_digests(folder, arrays):
    images = arrays["train"][0]
    images[5] = images[2]
    (folder / "train-images-idx3-ubyte").write_bytes(idx(images))
    digests = mnist.read(folder)["train"].digests
    assert digests[5] == digests[2]
    assert len(set(digests)) == 6


def test_both_splits_have_the_classes_of_either(folder):
    for name in ("t10k-labels-idx1-ubyte", "t10k-labels-idx1-ubyte.gz"):
        (folder / name).unlink(missing_ok=True)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.array([0, 4, 1, 1])))
    names = {examples.class_names for examples in mnist.read(folder).values()}
    assert names == {("0", "1", "2", "3", "4")}


def test_a_hand_written_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\0\0\x08\x02\0\0\0\x02\0\0\0\x03\1\2\3\4\5\6")
    assert mnist.read_idx(path).tolist() == [[1, 2, 3], [4, 5, 6]]


WHOLE = idx(np.arange(60).reshape(3, 4, 5))
BROKEN = {
    "empty": b"",
    "three bytes": WHOLE[:3],
    "magic alone": WHOLE[:4],
    "half a size": WHOLE[:6],
    "header alone": WHOLE[:16],
    "cut short": WHOLE[:-1],
    "too long": WHOLE + b"\0",
    "floats": b"\0\0\x0d" + WHOLE[3:],
    "another file": b"\x89PNG\r\n\x1a\n" + WHOLE,
    "sizes beyond 64 bits": b"\0\0\x08\x03" + b"\x80\0\0\0" * 3,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "broken-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(
        errors.DataError, match="broken-idx3-ubyte is damaged"
    ) as caught:
        mnist.read_idx(path)
    assert caught.value.exit_code == 3


def gzip_damages():
    whole = gzip.compress(WHOLE * 50)
    middle = len(whole) // 2
    return {
        "no gzip": WHOLE,
        "cut short": whole[:-12],
        "half": whole[:middle],
        "wrong bytes": whole[:20] + b"\xff" * 8 + whole[28:],
        "wrong sum": whole[:-8] + bytes(8),
    }


@pytest.mark.parametrize("content", gzip_damages().values(), ids=gzip_damages())
def test_a_broken_gzip_is_named(tmp_path, content):
    path = tmp_path / "broken.gz"
    path.write_bytes(content)
    with pytest.raises(errors.DataError, match=r"broken\.gz is damaged"):
        mnist.read_idx(path)


WRONG_PAIRS = {
    "counts": (np.zeros([3, 2, 2]), np.zeros(4), "3 images but 4 labels"),
    "swapped": (np.zeros(3), np.zeros(3), "images-idx3-ubyte is damaged"),
    "labels of images": (np.zeros([3, 2, 2]), np.zeros([3, 2, 2]), "labels-idx1-ubyte"),
    "none": (np.zeros([0, 2, 2]), np.zeros(0), "images-idx3-ubyte is damaged"),
    "no pixels": (np.zeros([3, 0, 2]), np.zeros(3), "images-idx3-ubyte is damaged"),
}


@pytest.mark.parametrize(
    ("images", "labels", "words"), WRONG_PAIRS.values(), ids=WRONG_PAIRS
)
def test_files_that_do_not_go_together_are_refused(tmp_path, images, labels, words):
    for prefix in ("train", "t10k"):
        for name, values in zip(NAMES, (images, labels), strict=True):
            (tmp_path / f"{prefix}-{name}").write_bytes(idx(values))
    with pytest.raises(errors.DataError, match=words):
        mnist.read(tmp_path)


def test_a_missing_file_is_named(folder):
    for path in folder.glob("t10k-labels*"):
        path.unlink()
    with pytest.raises(errors.DataError, match="t10k-labels-idx1-ubyte is missing"):
        mnist.read(folder)


def test_the_real_mnist(real_data):
    sources = mnist.read(real_data / "mnist_idx")
    assert {split: len(examples) for split, examples in sources.items()} == {
        "train": 60_000,
        "test": 10_000,
    }
    assert sources["train"].class_names == tuple("0123456789")
    assert np.bincount(sources["test"].labels)[:3].tolist() == [980, 1135, 1032]
    every = tf.data.Dataset.range(60_000).batch(60_000).map(sources["train"].load)
    [samples] = every.as_numpy_iterator()
    assert samples["image"].shape == (60_000, 28, 28, 1)
    # The mean that everybody normalises by, 0.1307 of 255.
    assert abs(samples["image"].mean() - 33.318) < 0.001
