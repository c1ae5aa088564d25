import socket
import time

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import pipeline
from tfdl.data.sources import tfds as source_tfds

NUM_EXAMPLES = 50
FRACTIONS = {"validation_fraction": 0.1, "test_fraction": 0.2}


@pytest.fixture
def tfds():
    """Return TensorFlow Datasets, silent."""
    import tensorflow_datasets

    tensorflow_datasets.disable_progress_bar()
    return tensorflow_datasets


@pytest.fixture
def prepare(tfds, tmp_path):
    """Return a function that prepares a set whose pictures show their number."""

    def write(
        folder=tmp_path,
        *,
        version="1.0.0",
        count=NUM_EXAMPLES,
        shards=1,
        splits=("train",),
        **features,
    ):
        defaults = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["even", "odd"]),
            "name": tfds.features.Text(),
        }
        kept = {name: kind for name, kind in (defaults | features).items() if kind}

        channels = kept["image"].shape[-1] if "image" in kept else 3

        class TinySet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            VERSION = tfds.core.Version(version)

            def _info(self):
                described = tfds.features.FeaturesDict(kept)
                return self.dataset_info_from_configs(features=described)

            def _split_generators(self, _):
                return {split: self._generate_examples() for split in splits}

            def _generate_examples(self):
                for number in range(count):
                    row = {
                        "image": picture(number, channels),
                        "label": number % 2,
                        "name": f"number {number}",
                        "objects": objects(number, kept.get("objects")),
                    }
                    yield number, {name: row[name] for name in kept}

        config = tfds.download.DownloadConfig(num_shards=shards)
        TinySet(data_dir=folder).download_and_prepare(download_config=config)
        return folder

    return write


def objects(number, feature):
    """Make as many objects as the number says, up to two, and of the last a crowd."""
    import tensorflow_datasets as tfds

    known = {
        "bbox": tfds.features.BBox(
            ymin=0.0, xmin=0.5, ymax=0.25 + number / 100, xmax=1.0
        ),
        "label": number % 2,
        "is_crowd": False,
        "pose": "upright",
    }
    names = getattr(feature, "feature", {})
    if not hasattr(names, "keys"):
        return [number]
    rows = [{name: known[name] for name in names} for _ in range(number % 3)]
    if rows and "is_crowd" in names:
        rows[-1]["is_crowd"] = True
    return rows


def picture(number, channels=3):
    return np.full([3, 2 + number % 4, channels], number, np.uint8)


@pytest.fixture
def read(tmp_path):
    """Return a function that reads the prepared set."""

    def read_set(name="tiny_set", folders=(tmp_path,), **fractions):
        options = FRACTIONS | fractions
        return source_tfds.read(name, folders=list(folders), **options)

    return read_set


def show(sample):
    return {"number": sample["image"][0, 0, 0], "label": sample["label"]}


def numbers(batches):
    return [batch["number"].tolist() for batch in batches.as_numpy_iterator()]


def evaluated(stream):
    return [
        n
        for batch in numbers(pipeline.evaluation(stream, show, batch_size=7))
        for n in batch
    ]


@pytest.mark.parametrize("shards", [1, 3])
def test_train_is_cut_into_the_splits_that_are_missing(prepare, read, shards):
    prepare(shards=shards, count=100)
    sources = read()
    assert {split: len(stream) for split, stream in sources.items()} == {
        "train": 70,
        "validation": 10,
        "test": 20,
    }
    shown = [evaluated(stream) for stream in sources.values()]
    assert sorted(sum(shown, [])) == list(range(100))
    assert sources["train"].class_names == ("even", "odd")
    assert evaluated(sources["train"]) == shown[0]


def test_train_dev_is_cut_out_of_train(prepare, read):
    prepare(count=100)
    sources = read(train_dev_fraction=0.15)
    assert {split: len(stream) for split, stream in sources.items()} == {
        "train": 55,
        "train_dev": 15,
        "validation": 10,
        "test": 20,
    }
    shown = [evaluated(stream) for stream in sources.values()]
    assert sorted(sum(shown, [])) == list(range(100))


def test_splits_that_are_there_are_whole(prepare, read):
    prepare(splits=("train", "validation", "test"))
    sources = read()
    assert list(sources) == ["train", "validation", "test"]
    assert [len(stream) for stream in sources.values()] == [NUM_EXAMPLES] * 3


def test_samples_are_what_was_written(prepare, read):
    prepare()
    stream = read()["train"]
    for sample in stream.read(None).map(stream.load).as_numpy_iterator():
        assert sorted(sample) == ["image", "label"]
        number = int(sample["image"][0, 0, 0])
        np.testing.assert_array_equal(sample["image"], picture(number))
        assert sample["label"] == number % 2
        assert sample["label"].dtype == np.int32


def test_pictures_are_decoded_as_everywhere(prepare, read, tfds, tmp_path, encode):
    """Grey becomes RGB, and a photograph is turned upright."""
    tags = PIL.Image.Exif()
    tags[0x0112] = 6
    upright = tmp_path / "upright.jpg"
    upright.write_bytes(encode(np.zeros([8, 16, 3], np.uint8), "JPEG", exif=tags))
    prepare(image=tfds.features.Image(shape=(None, None, 1)))
    stream = read()["train"]
    [record] = stream.read(None).take(1)
    assert stream.load(record)["image"].shape[-1] == 3
    turned = stream.load({"image": upright.read_bytes(), "label": 0})
    assert turned["image"].shape == (16, 8, 3)


@pytest.mark.parametrize("shards", [1, 3])
def test_training_is_a_function_of_the_position(prepare, read, shards):
    prepare(shards=shards)
    stream = read()["train"]
    training = pipeline.Training(stream, pipeline.Recipe(show), batch_size=6, seed=3)
    assert training.epoch_steps == 5
    whole = numbers(training.batches(range(14)))
    for first in (2, 5, 8, 13):
        assert numbers(training.batches(range(first, 14))) == whole[first:]
    epochs = [sum(whole[start : start + 5], []) for start in (0, 5)]
    for shown in epochs:
        assert len(set(shown)) == 30
        assert set(shown) <= set(evaluated(stream))
    assert epochs[0] != epochs[1]
    other = pipeline.Training(stream, pipeline.Recipe(show), batch_size=6, seed=4)
    assert numbers(other.batches(range(14))) != whole


def test_a_set_in_one_file_is_shuffled_beyond_its_order(prepare, read):
    """One file cannot be shuffled by files: neighbours must part all the same."""
    prepare()
    stream = read()["train"]
    order = evaluated(stream)
    training = pipeline.Training(stream, pipeline.Recipe(show), batch_size=35, seed=0)
    [shown] = numbers(training.batches(range(1)))
    following = dict(zip(order, order[1:], strict=False))
    kept = sum(following.get(a) == b for a, b in zip(shown, shown[1:], strict=False))
    assert sorted(shown) == sorted(order)
    assert kept < 6


def test_workers_share_each_batch(prepare, read):
    prepare(shards=2)
    training = pipeline.Training(
        read()["train"], pipeline.Recipe(show), batch_size=8, seed=3
    )
    parts = [
        numbers(training.batches(range(2, 7), pipeline.Shard(index, 2, 2)))
        for index in range(2)
    ]
    joined = [
        sum([*parts[0][2 * k : 2 * k + 2], *parts[1][2 * k : 2 * k + 2]], [])
        for k in range(5)
    ]
    assert joined == numbers(training.batches(range(2, 7)))


def test_the_newest_version_is_read(prepare, read):
    for version, count in {"1.9.0": 10, "1.10.0": 20, "1.2.0": 40}.items():
        prepare(version=version, count=count)
    splits = {"validation_fraction": 0.25, "test_fraction": 0.25}
    assert len(read(**splits)["train"]) == 10
    assert len(read("tiny_set:1.2.0", **splits)["train"]) == 20


def test_of_several_configurations_one_must_be_named(prepare, read, tmp_path):
    for name in ("small", "large"):
        prepared = prepare(tmp_path / name) / "tiny_set" / "1.0.0"
        place = tmp_path / "sets" / "tiny_set" / name
        place.mkdir(parents=True)
        prepared.rename(place / "1.0.0")
    folders = [tmp_path / "nothing", tmp_path / "sets"]
    with pytest.raises(errors.UsageError, match="tiny_set/large, tiny_set/small"):
        read(folders=folders)
    assert len(read("tiny_set/small", folders=folders)["test"]) == 10


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"label": None}, "image, name and no `label` of kind ClassLabel"),
        ({"image": None}, "no `image` of kind Image"),
        ({"label": "scalar"}, "no `label` of kind ClassLabel"),
    ],
)
def test_a_set_for_another_task_is_refused(prepare, read, tfds, features, words):
    if features.get("label") == "scalar":
        features = {"label": tfds.features.Scalar(np.int64)}
    prepare(**features)
    with pytest.raises(errors.DataError, match=words):
        read()


def objects_feature(tfds, **features):
    defaults = {
        "bbox": tfds.features.BBoxFeature(),
        "label": tfds.features.ClassLabel(names=["even", "odd"]),
        "is_crowd": np.bool_,
        "pose": tfds.features.Text(),
    }
    kept = {name: kind for name, kind in (defaults | features).items() if kind}
    return tfds.features.Sequence(kept)


def test_objects_are_read_and_known_beforehand(prepare, read, tfds):
    prepare(objects=objects_feature(tfds))
    sources = read(features="objects")
    assert [len(found) for found in sources.values()] == [35, 5, 10]
    for split, stream in sources.items():
        assert stream.class_names == ("even", "odd")
        samples = [*stream.read(None).map(stream.load).as_numpy_iterator()]
        for place, (sample, known) in enumerate(
            zip(samples, stream.objects, strict=True), start=1
        ):
            assert sorted(sample) == ["boxes", "image", "labels"]
            number = int(sample["image"][0, 0, 0])
            height, width, _ = sample["image"].shape
            assert known.size == (height, width)
            assert len(known) == number % 3
            box = [width / 2, 0, width, height * np.float32(0.25 + number / 100)]
            boxes = np.tile(box, [number % 3, 1])
            np.testing.assert_allclose(known.boxes, boxes, rtol=1e-6)
            np.testing.assert_array_equal(sample["boxes"], known.boxes[:-1])
            assert sample["labels"].tolist() == known.labels[:-1].tolist()
            assert known.labels.tolist() == [number % 2] * (number % 3)
            assert all(f"picture {place}," in name for name in known.places)
            assert all(name.startswith("tfds:tiny_set") for name in known.places)
        assert split == "train" or len(samples) < 35


def test_objects_are_shuffled_with_their_pictures(prepare, read, tfds):
    prepare(objects=objects_feature(tfds))
    stream = read(features="objects")["train"]
    records = stream.read(tf.constant(5, tf.int64)).map(stream.load)
    shown = [
        (int(sample["image"][0, 0, 0]), len(sample["labels"]))
        for sample in records.as_numpy_iterator()
    ]
    assert [count for _, count in shown] == [max(0, n % 3 - 1) for n, _ in shown]
    ordered = stream.read(None).map(stream.load).as_numpy_iterator()
    assert [number for number, _ in shown] != [
        int(s["image"][0, 0, 0]) for s in ordered
    ]


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (
            None,
            "tfds:tiny_set has image, label, name and no `objects` of kind Sequence",
        ),
        ("flat", "objects of tfds:tiny_set has no names and no `bbox`"),
        ({"label": None}, "no `label` of kind ClassLabel"),
        ({"bbox": None}, "label, pose and no `bbox` of kind BBoxFeature"),
        ({"bbox": "XYXY"}, "have boxes of the form .*XYXY"),
    ],
)
def test_a_set_without_such_objects_is_refused(prepare, read, tfds, features, words):
    if features == "flat":
        features = {"objects": tfds.features.Sequence(np.int64)}
    elif features is not None:
        if features.get("bbox"):
            form = tfds.features.BBoxFeature(bbox_format=features["bbox"])
            features = {"bbox": form}
        features = {"objects": objects_feature(tfds, **features)}
    prepare(**(features or {}))
    with pytest.raises(errors.DataError, match=words) as caught:
        read(features="objects")
    assert "detection" in caught.value.remedy or "REL_YXYX" in caught.value.remedy


def test_a_set_without_train_is_refused(prepare, read):
    prepare(splits=("test",))
    with pytest.raises(errors.DataError, match="splits test and no train"):
        read()


def test_fractions_must_leave_something(prepare, read):
    prepare()
    with pytest.raises(errors.UsageError, match="leave nothing to train on"):
        read(validation_fraction=0.5, test_fraction=0.5)
    with pytest.raises(errors.DataError, match="too small"):
        read(validation_fraction=0.001, test_fraction=0.5)


def test_no_name_is_a_usage_error(prepare, read):
    prepare()
    with pytest.raises(errors.UsageError, match="names no data set"):
        read("")


def no_network(*_, **__):
    raise OSError("no route to host")


def slow_names(*_, **__):
    time.sleep(10)
    raise OSError("no such host")


@pytest.mark.parametrize("connect", [no_network, slow_names])
def test_absent_data_without_a_network_are_reported_at_once(
    read, tmp_path, monkeypatch, tfds, connect
):
    monkeypatch.setattr(socket, "create_connection", connect)
    start = time.perf_counter()
    with pytest.raises(
        errors.NetworkError, match="tfds:mnist is not prepared"
    ) as caught:
        read("mnist")
    assert time.perf_counter() - start < 5
    assert str(tmp_path / "mnist") in str(caught.value)
    assert caught.value.exit_code == 7


def test_an_unknown_name_is_a_usage_error_where_there_is_a_network(
    read, monkeypatch, tfds
):
    class Connection:
        close = staticmethod(lambda: None)

    def builder(name, **_):
        raise tfds.core.DatasetNotFoundError(name)

    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: Connection)
    monkeypatch.setattr(tfds, "builder", builder)
    with pytest.raises(errors.UsageError, match="tfds:mnits is no data set"):
        read("mnits")
