import numpy as np
import pytest

from tfdl import errors
from tfdl.data import pipeline
from tfdl.data.sources import semantic, tfds_semantic

COUNT = 20
FRACTIONS = {"validation_fraction": 0.2, "test_fraction": 0.2}


@pytest.fixture(scope="module")
def tfds():
    """Return TensorFlow Datasets, silent."""
    import tensorflow_datasets

    tensorflow_datasets.disable_progress_bar()
    return tensorflow_datasets


@pytest.fixture(scope="module")
def prepare(tfds, tmp_path_factory):
    """Return a function that prepares a set whose pictures show their number."""

    def write(key="segmentation_mask", *, values=None, channels=1, map_height=4):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            key: tfds.features.Image(shape=(None, None, channels)),
            "name": tfds.features.Text(),
        }

        class TinyMaps(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            VERSION = tfds.core.Version("1.0.0")

            def _info(self):
                described = tfds.features.FeaturesDict(features)
                return self.dataset_info_from_configs(features=described)

            def _split_generators(self, _):
                return {"train": self._generate_examples()}

            def _generate_examples(self):
                for number in range(COUNT):
                    label_map = np.resize(values or label_values(number), (4, 6))
                    label_map = np.repeat(label_map[..., None], channels, axis=-1)
                    yield (
                        number,
                        {
                            "image": np.full([4, 6, 3], number, np.uint8),
                            key: label_map[:map_height].astype(np.uint8),
                            "name": str(number),
                        },
                    )

        folder = tmp_path_factory.mktemp("sets")
        TinyMaps(data_dir=folder).download_and_prepare()
        return folder

    return write


def label_values(number):
    """Map a fourth to 1, the rest to 2 or 3, and the corner to 255."""
    return [255, *[1] * 6, *[2 + number % 2] * 17]


@pytest.fixture
def read(tmp_path):
    def read_set(folder, name="tiny_maps", *, ignore=(), **fractions):
        return tfds_semantic.read(
            name,
            folders=[folder],
            ignore=ignore,
            cache=tmp_path / "cache",
            **(FRACTIONS | fractions),
        )

    return read_set


@pytest.fixture(scope="module")
def folder(prepare):
    return prepare()


def test_splits_know_classes_counts_and_sizes(read, folder):
    found = read(folder, train_dev_fraction=0.2)
    assert {split: len(part) for split, part in found.items()} == {
        "train": 8,
        "train_dev": 4,
        "validation": 4,
        "test": 4,
    }
    for part in found.values():
        assert isinstance(part, semantic.Stream)
        assert part.class_names == ("class_0", "class_1", "class_2", "class_3")
        assert part.sizes.tolist() == [[4, 6]] * len(part)
        samples = list(part.records().map(part.load).as_numpy_iterator())
        assert len(samples) == len(part)
        for sample, pixels in zip(samples, part.class_pixels, strict=True):
            number = int(sample["image"][0, 0, 0])
            expected = np.reshape(label_values(number), (4, 6))
            np.testing.assert_array_equal(sample["semantic"], expected)
            counts = np.bincount(expected.ravel(), minlength=256)[:4]
            assert pixels.tolist() == counts.tolist()


def test_values_that_are_ignored_leave_no_gap(read, folder):
    train = read(folder, ignore=[0])["train"]
    assert train.class_names == ("class_1", "class_2", "class_3")
    assert train.class_pixels.sum(axis=1).tolist() == [23] * len(train)
    [sample] = train.records().take(1).map(train.load)
    assert set(np.unique(sample["semantic"])) <= {0, 1, 2, 255}
    assert sample["semantic"].numpy()[0].tolist() == [255, 0, 0, 0, 0, 0]


def test_maps_are_passed_over_once(read, folder, tmp_path):
    first = read(folder)
    memories = sorted((tmp_path / "cache" / "scans").iterdir())
    assert len(memories) == 3
    times = [memory.stat().st_mtime_ns for memory in memories]
    again = read(folder)
    assert [memory.stat().st_mtime_ns for memory in memories] == times
    for split, part in first.items():
        np.testing.assert_array_equal(part.class_pixels, again[split].class_pixels)


def test_training_is_a_function_of_the_position(read, folder):
    def show(sample):
        return {"number": sample["image"][0, 0, 0], "map": sample["semantic"]}

    training = pipeline.Training(
        read(folder)["train"], pipeline.Recipe(show), batch_size=4, seed=3
    )
    whole = list(training.batches(range(7)).as_numpy_iterator())
    for first in (2, 5):
        rest = training.batches(range(first, 7)).as_numpy_iterator()
        for batch, other in zip(whole[first:], rest, strict=True):
            assert batch["number"].tolist() == other["number"].tolist()
            np.testing.assert_array_equal(batch["map"], other["map"])
    shown = np.concatenate([batch["number"] for batch in whole[:3]])
    assert len(set(shown.tolist())) == 12


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"key": "instance_ids"}, "no map of one channel"),
        ({"channels": 3}, "no map of one channel"),
        ({"map_height": 3}, "its map has 6 x 3 pixels, it has 6 x 4 pixels"),
        ({"values": [0]}, "have 1 class where two or more"),
    ],
)
def test_sets_without_proper_maps_are_refused(read, prepare, options, words):
    folder = prepare(**options)
    with pytest.raises(errors.DataError, match=words):
        read(folder)


def test_a_set_must_be_named(read, folder):
    with pytest.raises(errors.UsageError, match="names no data set"):
        read(folder, "")
