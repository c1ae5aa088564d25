import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import instance_folder

SIZE = (8, 12)


def write_example(folder, masks, seed=0):
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    pixels = random.integers(0, 256, (*SIZE, 4), np.uint8)
    PIL.Image.fromarray(pixels, "RGBA").save(folder / "images" / "a.png")
    for number, mask in enumerate(masks):
        values = (mask * 255).astype(np.uint8)
        PIL.Image.fromarray(values).save(folder / "masks" / f"{number}.png")


def squares(*windows):
    masks = np.zeros((len(windows), *SIZE), bool)
    for mask, (top, bottom, left, right) in zip(masks, windows, strict=True):
        mask[top:bottom, left:right] = True
    return masks


MASKS = squares((0, 3, 0, 4), (3, 8, 5, 12), (7, 8, 0, 1))


@pytest.fixture
def read(tmp_path):
    def read(folder, *, on_bad_data="error", warn=print):
        return instance_folder.read(
            folder, cache=tmp_path / "cache", on_bad_data=on_bad_data, warn=warn
        )

    return read


def test_every_mask_file_is_an_object(tmp_path, read):
    write_example(tmp_path / "set" / "one", MASKS)
    train = read(tmp_path / "set")["train"]
    assert train.class_names == ("object",)
    sample = train.load(tf.constant(0, tf.int64))
    np.testing.assert_array_equal(sample["masks"], MASKS)
    boxes = [[0, 0, 4, 3], [5, 3, 12, 8], [0, 7, 1, 8]]
    np.testing.assert_array_equal(sample["boxes"], boxes)
    assert sample["image"].shape == (*SIZE, 3)
    np.testing.assert_array_equal(train.objects[0].areas, MASKS.sum(axis=(1, 2)))
    np.testing.assert_array_equal(train.masks_of(0), MASKS)


def test_splits_have_folders_of_their_own(tmp_path, read):
    for seed, split in enumerate(("train", "val", "test")):
        write_example(tmp_path / "set" / split / "one", MASKS, seed)
    assert set(read(tmp_path / "set")) == {"train", "validation", "test"}


def test_a_single_folder_between_is_passed(tmp_path, read):
    write_example(tmp_path / "set" / "stage1" / "one", MASKS)
    assert len(read(tmp_path / "set")["train"]) == 1


def test_a_picture_without_objects_is_kept(tmp_path, read):
    write_example(tmp_path / "set" / "one", MASKS)
    write_example(tmp_path / "set" / "two", [], seed=1)
    train = read(tmp_path / "set")["train"]
    assert [len(known) for known in train.objects] == [3, 0]
    assert train.load(tf.constant(1, tf.int64))["masks"].shape == (0, *SIZE)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda file: file.write_bytes(b"\x89PNG"), "cannot be read"),
        (
            lambda file: PIL.Image.new("L", (3, 3), 255).save(file),
            "it has 3 x 3 pixels",
        ),
        (lambda file: PIL.Image.new("L", SIZE[::-1]).save(file), "it is empty"),
    ],
)
def test_faulty_masks_are_named(tmp_path, read, spoil, reason):
    write_example(tmp_path / "set" / "one", MASKS)
    spoil(tmp_path / "set" / "one" / "masks" / "1.png")
    with pytest.raises(errors.DataError, match=reason) as caught:
        read(tmp_path / "set")
    assert "masks/1.png" in str(caught.value)


def test_a_changed_mask_is_read_again(tmp_path, read):
    write_example(tmp_path / "set" / "one", MASKS)
    read(tmp_path / "set")
    other = squares((1, 2, 1, 2))[0]
    file = tmp_path / "set" / "one" / "masks" / "0.png"
    PIL.Image.fromarray((other * 255).astype(np.uint8)).save(file)
    np.testing.assert_array_equal(read(tmp_path / "set")["train"].masks_of(0)[0], other)


def test_other_folders_are_refused(tmp_path, read):
    (tmp_path / "empty").mkdir()
    with pytest.raises(errors.DataError, match="no examples"):
        read(tmp_path / "empty")
    write_example(tmp_path / "set" / "one", MASKS)
    (tmp_path / "set" / "one" / "images" / "a.png").unlink()
    with pytest.raises(errors.DataError, match="holds 0 pictures"):
        read(tmp_path / "set")


def test_nuclei(real_data, read):
    train = read(real_data / "dsb2018_nuclei")["train"]
    assert len(train) == 111
    assert sum(len(known) for known in train.objects) == 5227
    number = int(np.argmax([len(known) for known in train.objects]))
    assert len(train.masks_of(number)) == 369
    assert (train.masks_of(number).sum(axis=0) <= 1).all()  # none overlap
