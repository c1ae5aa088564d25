import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import masks

# Over all 701 pictures of CamVid, as measured by those who chose the 53 of them.
CAMVID = [0.1581, 0.2410, 0.0099, 0.2932, 0.0669, 0.1119]
CAMVID += [0.0108, 0.0143, 0.0464, 0.0064, 0.0054]


@pytest.fixture
def read(tmp_path):
    def read(path, *, ignore=(), on_bad_data="error", warn=print):
        return masks.read(
            path,
            cache=tmp_path / "cache",
            ignore=ignore,
            on_bad_data=on_bad_data,
            warn=warn,
        )

    return read


@pytest.fixture
def folder(tmp_path, encode, pixels):
    """Return a folder of three pictures with maps of the values 0, 1 and 2."""
    for kind in ("images", "masks"):
        (tmp_path / "set" / kind).mkdir(parents=True)
    for number in range(3):
        values = np.full([8, 12], number, np.uint8)
        values[0] = 0
        image = encode(pixels(8, 12, seed=number))
        (tmp_path / "set" / "images" / f"{number}.png").write_bytes(image)
        (tmp_path / "set" / "masks" / f"{number}.png").write_bytes(encode(values))
    return tmp_path / "set"


def test_classes_are_named_by_a_file_of_the_data_set(read, folder):
    assert read(folder)["train"].class_names == ("class_0", "class_1", "class_2")
    (folder / "classes.txt").write_text("sky\nroad\nvoid\n")
    train = read(folder)["train"]
    assert train.class_names == ("sky", "road")
    assert train.class_pixels.tolist() == [[96, 0], [12, 84], [12, 0]]
    (folder / "classes.txt").write_text("sky\nroad\n")
    with pytest.raises(errors.DataError, match=r"masks/2\.png: its value 2 is none"):
        read(folder)
    assert len(read(folder, ignore=[2])["train"]) == 3


def test_what_is_ignored_is_told_by_an_argument(read, folder):
    train = read(folder, ignore=[0])["train"]
    assert train.class_names == ("class_1", "class_2")
    assert train.class_pixels.sum(axis=1).tolist() == [0, 84, 84]
    sample = train.load(tf.constant(1, tf.int64))
    assert np.unique(sample["semantic"]).tolist() == [0, 255]


def test_the_real_membranes_are_black_and_white(read, real_data):
    lines = []
    [(split, train)] = read(real_data / "isbi_membrane", warn=lines.append).items()
    assert split == "train"
    assert len(train) == 30
    assert lines == [
        f"left out {real_data / 'isbi_membrane/data/membrane/test'}: it holds pictures "
        "and no label maps"
    ]
    assert train.class_names == ("class_0", "class_1")
    for number in (0, 17):
        sample = train.load(tf.constant(number, tf.int64))
        path = train.names[number].replace("/image/", "/label/")
        values = np.array(PIL.Image.open(path))
        np.testing.assert_array_equal(sample["semantic"], values == 255)
        assert train.class_pixels[number, 0] == (values == 0).sum()
    # Membranes are dark: the map fits the picture.
    image, label = (sample[name].numpy() for name in ("image", "semantic"))
    assert image[label == 0].mean() < image[label == 1].mean() - 40


def test_the_real_roads_are_counted_as_published(read, real_data):
    found = read(real_data / "camvid", ignore=[11])
    assert {split: len(part) for split, part in found.items()} == {
        "train": 36,
        "validation": 7,
        "test": 10,
    }
    pixels = sum(part.class_pixels.sum(axis=0) for part in found.values())
    assert pixels.shape == (11,)
    shares = pixels / (53 * 360 * 480)
    np.testing.assert_allclose(shares, CAMVID, atol=0.025)
    assert 0.02 < 1 - shares.sum() < 0.05  # void has 0.0359
    with pytest.raises(errors.UsageError, match="--ignore 300"):
        read(real_data / "camvid", ignore=[300])
