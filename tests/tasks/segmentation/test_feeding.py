import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment
from tfdl.tasks.segmentation import data, feeding

READING = {
    "spec": "synthetic",
    "image_size": 48,
    "num_examples": 40,
    "validation_fraction": 0.2,
    "test_fraction": 0.2,
    "on_bad_data": "error",
}


@pytest.fixture
def read(tmp_path_factory):
    def read(reading=READING, **options):
        return feeding.read(
            reading | {"cache_dir": tmp_path_factory.getbasetemp() / "drawn_maps"},
            **{
                "cache_bytes": 1 << 24,
                "augmentation": "photos",
                "crop": "rare_classes",
                "targets": lambda labels: labels,
                "batch_size": 8,
                "seed": 3,
            }
            | options,
        )

    return read


@pytest.fixture
def folder(tmp_path):
    """Return a folder of pictures of three sizes, and one of a single size."""
    rng = np.random.default_rng(0)
    sizes = {"mixed": [(20, 30), (30, 20), (20, 31)], "even": [(20, 30)]}
    for name, kinds in sizes.items():
        for split, count in (("train", 6), ("val", 4), ("test", 5)):
            for number in range(count):
                shape = kinds[number % len(kinds)]
                planes = {
                    "images": rng.integers(0, 256, (*shape, 3)),
                    "masks": rng.integers(0, 3, (*shape, 1)),
                }
                for kind, values in planes.items():
                    path = tmp_path / name / split / kind / f"{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    content = tf.io.encode_png(values.astype(np.uint8))
                    path.write_bytes(content.numpy())
    return tmp_path


def test_a_training_that_goes_on_sees_the_same_batches(read):
    training = read().training
    whole = list(training.batches(range(9)).as_numpy_iterator())
    assert training.epoch_steps == 3
    for start in (2, 7):
        rest = training.batches(range(start, 9)).as_numpy_iterator()
        for (images, labels), (others, other_labels) in zip(
            whole[start:], rest, strict=True
        ):
            np.testing.assert_array_equal(images, others)
            np.testing.assert_array_equal(labels, other_labels)
    assert not np.array_equal(whole[0][1], whole[3][1])
    other = next(iter(read(seed=4).training.batches(range(1))))
    assert not np.array_equal(whole[0][0], other[0])


def test_batches_are_those_of_each_example_alone(read):
    splits = read(cache_bytes=0)
    training = splits.training
    [(images, labels)] = training.batches(range(2, 3))
    for place in range(8):
        position = tf.constant(2 * 8 + place, tf.int64)
        example = training.example_at(position)
        np.testing.assert_allclose(images[place], example["image"], atol=1 / 200)
        np.testing.assert_array_equal(labels[place], example["semantic"])
    assert images.shape == (8, 48, 48, 3)
    assert images.dtype == tf.float32
    assert labels.shape == (8, 48, 48)
    assert labels.dtype == tf.uint8


def test_the_first_batch_is_shown_as_it_is_fed(read):
    splits = read(targets=lambda labels: tf.one_hot(labels, 3))
    shown = splits.first_batch()
    [(images, targets)] = splits.training.batches(range(1))
    np.testing.assert_array_equal(shown["images"], images)
    np.testing.assert_array_equal(tf.one_hot(shown["labels"], 3), targets)


def test_held_out_batches_are_plain(read):
    splits = read()
    held_out = splits.held_out
    assert held_out.batch_size == 6
    [(images, labels)] = held_out.batches(range(1))
    validation = splits.sources["validation"]
    expected = {
        sample["semantic"].numpy().tobytes(): data.prepare_image(sample["image"])
        for sample in validation.records().map(validation.load)
    }
    for image, label_map in zip(images, labels, strict=True):
        np.testing.assert_array_equal(image, expected[label_map.numpy().tobytes()])


@pytest.mark.parametrize(
    ("name", "batch_sizes"), [("even", [4, 1]), ("mixed", [1] * 5)]
)
def test_evaluation_sees_whole_pictures_in_order(read, folder, name, batch_sizes):
    reading = READING | {"spec": f"masks:{folder / name}"}
    splits = read(reading, batch_size=4, crop="random")
    batches = list(splits.evaluation("test").as_numpy_iterator())
    assert [len(batch["number"]) for batch in batches] == batch_sizes
    numbers = np.concatenate([batch["number"] for batch in batches])
    assert numbers.tolist() == list(range(5))
    test = splits.sources["test"]
    for batch in batches:
        for number, image, label_map in zip(
            batch["number"], batch["image"], batch["semantic"], strict=True
        ):
            sample = test.load(tf.constant(number))
            assert image.shape[:2] == tuple(test.sizes[number])
            wanted = data.prepare_image(sample["image"])
            np.testing.assert_array_equal(image, wanted)
            np.testing.assert_array_equal(label_map, sample["semantic"])


def test_training_pictures_of_all_sizes_are_batched(read, folder):
    reading = READING | {"spec": f"masks:{folder / 'mixed'}"}
    splits = read(reading, batch_size=3, augmentation="elastic", crop="random")
    for images, labels in splits.training.batches(range(3)):
        assert images.shape == (3, 48, 48, 3)
        assert (np.asarray(labels) == data.IGNORED).any()  # pictures are smaller


def test_crops_know_the_frequencies_of_what_is_trained_on(read):
    splits = read()
    assert len(splits.class_names) == 11
    crop = splits.recipe.augmentations[0]
    assert crop.func is augment.class_crop
    np.testing.assert_array_equal(
        crop.keywords["frequencies"], data.class_frequencies(splits.sources["train"])
    )


def test_other_classes_than_those_of_the_run_are_refused(read):
    with pytest.raises(errors.DataError, match="not of the run's classes"):
        read(class_names=("background", "cat"))
