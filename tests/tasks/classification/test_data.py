import gzip
import io
import struct
import zipfile

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import pipeline, splits
from tfdl.data.sources import source
from tfdl.tasks.classification import data


def noise(height, width, channels=3, seed=0):
    """Draw a picture that changes from pixel to pixel, uint8."""
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def prepared(picture, image_size, channels):
    """Prepare a picture eagerly, in tf.data and in tf.function, which must agree."""

    def prepare(image):
        return data.prepare_image(image, image_size=image_size, channels=channels)

    any_size = tf.TensorSpec([None, None, picture.shape[-1]], tf.uint8)
    pictures = tf.data.Dataset.from_generator(
        lambda: [picture], output_signature=any_size
    )
    [mapped] = pictures.map(prepare)
    traced = tf.function(prepare, input_signature=[any_size])(picture)
    eager = prepare(tf.constant(picture)).numpy()
    np.testing.assert_array_equal(eager, mapped)
    np.testing.assert_array_equal(eager, traced)
    assert eager.shape == (image_size, image_size, channels)
    assert eager.dtype == np.float32
    assert mapped.shape == traced.shape == eager.shape
    return eager


@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_the_right_size_keeps_its_pixels(channels):
    picture = noise(16, 16, channels)
    found = prepared(picture, 16, channels)
    np.testing.assert_array_equal(np.round(found * 255), picture)
    np.testing.assert_allclose(found, picture / 255, atol=1e-7)


@pytest.mark.parametrize(("height", "width"), [(16, 30), (31, 16), (16, 17)])
def test_of_a_longer_picture_the_middle_is_kept(height, width):
    picture = noise(height, width)
    top, left = (height - 16) // 2, (width - 16) // 2
    middle = picture[top : top + 16, left : left + 16]
    np.testing.assert_allclose(prepared(picture, 16, 3), middle / 255, atol=1e-7)


@pytest.mark.parametrize(
    ("height", "width", "image_size"),
    [(64, 64, 32), (97, 61, 24), (33, 200, 32), (20, 31, 48), (7, 5, 9), (2, 2, 31)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_is_pillows_with_antialiasing(height, width, image_size, channels):
    picture = noise(height, width, channels)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side].squeeze()
    wanted = PIL.Image.fromarray(square).resize([image_size] * 2, PIL.Image.BILINEAR)
    wanted = np.asarray(wanted, np.float32).reshape(image_size, image_size, channels)
    found = prepared(picture, image_size, channels)
    assert np.abs(found - wanted / 255).max() < 1.5 / 255


def test_halving_averages_by_hand():
    """Triangles over 4 pixels, 1 3 3 1, that end at the border: 3 3 1 over 7."""
    picture = np.zeros([4, 4, 1], np.uint8)
    picture[:, 0], picture[:, 2] = 70, 140
    row = prepared(picture, 2, 1)[0, :, 0] * 255
    np.testing.assert_allclose(row, [(3 * 70 + 140) / 7, 3 * 140 / 7], rtol=1e-5)


@pytest.mark.parametrize("image_size", [1, 2, 7])
@pytest.mark.parametrize("channels", [1, 3])
def test_one_pixel_fills_any_size(image_size, channels):
    picture = np.full([1, 1, 3], 51, np.uint8)
    found = prepared(picture, image_size, channels)
    np.testing.assert_allclose(found, 0.2, rtol=1e-6)


def test_values_stay_between_0_and_1():
    white = prepared(np.full([37, 53, 3], 255, np.uint8), 24, 3)
    np.testing.assert_allclose(white, 1, rtol=1e-6)
    mixed = prepared(noise(37, 53) // 255 * 255, 24, 3)
    assert mixed.min() >= 0
    assert mixed.max() <= 1 + 1e-6


def test_rgb_becomes_grey_by_luma():
    picture = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255] * 3]], np.uint8)
    found = prepared(picture, 2, 1).ravel()
    np.testing.assert_allclose(found, [0.299, 0.587, 0.114, 1], rtol=1e-6)


def test_grey_becomes_rgb_and_back():
    picture = noise(8, 8, 1)
    coloured = prepared(picture, 8, 3)
    for channel in range(3):
        np.testing.assert_array_equal(
            coloured[..., channel], prepared(picture, 8, 1)[..., 0]
        )
    again = prepared(picture.repeat(3, axis=-1), 8, 1)
    np.testing.assert_allclose(again, picture / 255, atol=1e-6)


@pytest.mark.parametrize("label", [2, [0, 1, 1, 0]])
def test_examples_have_an_image_and_a_row_of_classes(label):
    prepare = data.preparation(8, 3, num_classes=4)
    sample = {"image": tf.constant(noise(9, 12)), "label": tf.constant(label)}
    [mapped] = tf.data.Dataset.from_tensors(sample).map(prepare)
    example = prepare(sample)
    assert sorted(example) == ["classes", "image"]
    wanted = label if isinstance(label, list) else [0, 0, 1, 0]
    for found in (example, mapped):
        assert found["classes"].dtype == tf.float32
        np.testing.assert_array_equal(found["classes"], wanted)
        np.testing.assert_array_equal(found["image"], example["image"])


def test_a_batch_is_fed_as_a_pair():
    batch = {"image": tf.zeros([2, 8, 8, 3]), "classes": tf.ones([2, 4])}
    images, classes = data.inputs_and_targets(batch)
    assert images is batch["image"]
    assert classes is batch["classes"]


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a data set."""

    def read_spec(spec, **options):
        defaults = {
            "cache_dir": tmp_path / "cache",
            "cache_bytes": 1 << 20,
            "image_size": 16,
            "num_examples": 60,
            "validation_fraction": 0.1,
            "test_fraction": 0.1,
            "multi_label": False,
            "on_bad_data": "error",
            "warn": pytest.fail,
        }
        return data.read(spec, **(defaults | options))

    return read_spec


@pytest.fixture
def folder(tmp_path):
    """Return a folder of two classes of 20 pictures each."""
    root = tmp_path / "pictures"
    for number in range(40):
        path = root / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(noise(5 + number % 3, 7, seed=number)).save(path)
    return root


def assert_is_whole(sources, total):
    """Check that splits share no picture, and that batches can be made of them."""
    assert list(sources) == ["train", "validation", "test"]
    assert sum(map(len, sources.values())) == total
    names = {examples.class_names for examples in sources.values()}
    assert len(names) == 1
    prepare = data.preparation(8, 1, num_classes=len(names.pop()))
    for examples in sources.values():
        batches = list(pipeline.evaluation(examples, prepare, batch_size=16))
        assert sum(len(batch["image"]) for batch in batches) == len(examples)
        classes = np.concatenate([batch["classes"] for batch in batches])
        assert (classes.sum(axis=1) >= 1).all()
        if isinstance(examples, source.Source):
            wanted = examples.labels
            if wanted.ndim == 1:
                wanted = np.eye(classes.shape[1])[wanted]
            np.testing.assert_array_equal(classes, wanted)


@pytest.mark.parametrize("cache_bytes", [0, 20_000, 1 << 20])
@pytest.mark.parametrize("multi_label", [False, True])
def test_drawings_are_read_whatever_is_cached(read, cache_bytes, multi_label):
    sources = read("synthetic", cache_bytes=cache_bytes, multi_label=multi_label)
    assert_is_whole(sources, 60)
    assert not splits.leaks(sources)
    assert sources["train"].labels.ndim == 1 + multi_label


def test_folders_are_read(read, folder):
    sources = read(f"folder:{folder}")
    assert_is_whole(sources, 40)
    assert [len(examples) for examples in sources.values()] == [32, 4, 4]
    for examples in sources.values():
        assert set(np.bincount(examples.labels)) == {len(examples) // 2}


def test_a_fourth_split_is_like_train(read, folder):
    sources = read(f"folder:{folder}", train_dev_fraction=0.2)
    assert list(sources) == ["train", "train_dev", "validation", "test"]
    assert sum(map(len, sources.values())) == 40
    assert not splits.leaks(sources)


def test_the_same_folder_gives_the_same_splits(read, folder):
    first, second = (read(f"folder:{folder}") for _ in range(2))
    assert {s: e.names for s, e in first.items()} == {
        s: e.names for s, e in second.items()
    }


def test_zips_are_read_like_folders(read, folder, tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        for picture in sorted(folder.rglob("*.png")):
            file.write(picture, picture.relative_to(folder))
    plain, zipped = read(f"folder:{folder}"), read(f"folder:{path}")
    for split, examples in zipped.items():
        np.testing.assert_array_equal(examples.digests, plain[split].digests)


def test_idx_files_are_read(read, tmp_path):
    for prefix, count in (("train", 50), ("t10k", 10)):
        for name, values in (
            ("images-idx3-ubyte", noise(count, 6, 6, seed=count)),
            ("labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 5),
        ):
            shape = struct.pack(f">{values.ndim}I", *values.shape)
            content = bytes([0, 0, 8, values.ndim]) + shape + values.tobytes()
            (tmp_path / f"{prefix}-{name}.gz").write_bytes(gzip.compress(content))
    sources = read(f"mnist:{tmp_path}")
    assert_is_whole(sources, 60)
    assert [len(examples) for examples in sources.values()] == [45, 5, 10]


def test_prepared_sets_are_read(read, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    class SmallSet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
            }
            described = tfds.features.FeaturesDict(features)
            return self.dataset_info_from_configs(features=described)

        def _split_generators(self, _):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number in range(40):
                yield number, {"image": noise(9, 9, seed=number), "label": number % 3}

    tfds.disable_progress_bar()
    SmallSet(data_dir=tmp_path / "tensorflow_datasets").download_and_prepare()
    monkeypatch.setenv("TFDL_DATA", str(tmp_path))
    assert_is_whole(read("tfds:small_set"), 40)


def test_a_relative_place_is_below_the_folder_of_data_sets(read, folder, monkeypatch):
    monkeypatch.setenv("TFDL_DATA", str(folder.parent))
    assert_is_whole(read("folder:pictures"), 40)


def test_a_leak_is_refused_or_taken_out(read, folder, tmp_path):
    root = tmp_path / "leaky"
    root.mkdir()
    folder.rename(root / "train")
    for name in ("cat", "dog"):
        (root / "test" / name).mkdir(parents=True)
    PIL.Image.fromarray(noise(5, 5, seed=99)).save(root / "test/dog/new.png")
    with PIL.Image.open(root / "train/cat/2.png") as picture:
        picture.save(root / "test/cat/copy.bmp")  # the same pixels in another file
    with pytest.raises(errors.DataError, match=r"2\.png.*copy\.bmp") as caught:
        read(f"folder:{root}")
    assert caught.value.exit_code == 3
    lines = []
    sources = read(f"folder:{root}", on_bad_data="skip", warn=lines.append)
    assert [line.partition(":")[0] for line in lines] == [
        "1 pictures are in two splits"
    ]
    assert len(sources["test"]) == 2
    assert_is_whole(sources, 41)


def test_broken_pictures_are_refused_or_left_out(read, folder):
    (folder / "cat/2.png").write_bytes(b"no picture")
    with pytest.raises(errors.DataError, match=r"cat/2\.png"):
        read(f"folder:{folder}")
    lines = []
    sources = read(f"folder:{folder}", on_bad_data="skip", warn=lines.append)
    assert_is_whole(sources, 39)
    assert len(lines) == 1


def test_one_class_for_each_picture_cannot_be_several(read, folder):
    with pytest.raises(errors.UsageError, match="has one class for each picture"):
        read(f"folder:{folder}", multi_label=True)


def test_an_unknown_format_and_a_missing_place_are_told_apart(read):
    with pytest.raises(errors.UsageError, match="Did you mean folder"):
        read("folders:here")
    with pytest.raises(errors.DataError, match="nowhere"):
        read("mnist:nowhere")


def test_memory_goes_to_train_first_and_never_over_the_limit(read, monkeypatch):
    limits = []

    def keep(examples, *, limit_bytes, annotations):
        limits.append(limit_bytes)
        return examples

    monkeypatch.setattr(data.cache, "keep_pictures", keep)
    bytes_each = 16 * 16 * 3  # 42,240 are 55 pictures
    train, validation, _ = map(len, read("synthetic", cache_bytes=42_240).values())
    left = [55, 55 - train, 55 - train - validation]
    assert limits == [bytes_each * count for count in left]
    limits.clear()
    read("synthetic", cache_bytes=100)
    assert limits == [100, 0, 0]


def test_what_is_served_is_what_is_trained_on(read, folder):
    """The pixels of an example are those of `prepare_image` of the file's pixels."""
    examples = read(f"folder:{folder}")["test"]
    prepare = data.preparation(8, 3, num_classes=2)
    [batch] = pipeline.evaluation(examples, prepare, batch_size=9)
    for name, image in zip(examples.names, batch["image"], strict=True):
        with open(name, "rb") as file:
            picture = np.asarray(PIL.Image.open(io.BytesIO(file.read())))
        wanted = data.prepare_image(tf.constant(picture), image_size=8, channels=3)
        np.testing.assert_array_equal(image, wanted)


@pytest.mark.slow
def test_the_real_cifar(read, real_data):
    path = real_data / "cifar10_jpg" / "cifar10_jpg_subset.zip"
    sources = read(f"folder:{path}", cache_bytes=1 << 30)
    assert len(sources["train"]) + len(sources["validation"]) == 20_000
    assert len(sources["test"]) == 10_000
    assert len(sources["train"].class_names) == 10
    assert np.bincount(sources["test"].labels).tolist() == [1000] * 10
    assert np.bincount(sources["validation"].labels).tolist() == [200] * 10
    assert not splits.leaks(sources)


def test_the_real_caltech(read, real_data):
    sources = read(f"folder:{real_data / 'caltech10'}")
    assert_is_whole(sources, sum(map(len, sources.values())))
    assert len(sources["train"].class_names) == 10
