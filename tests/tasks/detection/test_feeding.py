import numpy as np
import pytest

from tfdl.tasks.detection import feeding

READING = {
    "spec": "synthetic",
    "image_size": 48,
    "num_examples": 60,
    "validation_fraction": 0.2,
    "test_fraction": 0.2,
    "on_bad_data": "error",
}


@pytest.fixture
def read(tmp_path_factory):
    def read(**options):
        return feeding.read(
            READING | {"cache_dir": tmp_path_factory.getbasetemp() / "drawings"},
            **{
                "cache_bytes": 1 << 24,
                "augmentation": "photos",
                "mix": "mosaic",
                "feed": lambda num_classes: lambda *fed: fed,
                "batch_size": 8,
                "seed": 3,
                "mixed_steps": lambda steps: 2 * steps,
            }
            | options,
        )

    return read


def test_mixing_ends_where_it_is_told_to_and_shapes_stay(read):
    splits = read()
    training = splits.training
    assert splits.mixed_steps == 2 * training.epoch_steps == training.mixed_steps
    last = training.mixed_steps
    batches = list(training.batches(range(last - 2, last + 2)).as_numpy_iterator())
    shapes = {targets["boxes"].shape for _, targets in batches}
    assert len(batches) == 4
    assert len(shapes) == 1
    plain = read(mixed_steps=lambda steps: 0).training
    mixed = read(mixed_steps=lambda steps: 100 * steps).training
    for step, (images, _) in zip(range(last - 2, last + 2), batches, strict=True):
        same = mixed if step < last else plain
        [(wanted, _)] = same.batches(range(step, step + 1))
        np.testing.assert_array_equal(images, wanted)


def test_a_training_that_goes_on_sees_the_same_batches(read):
    training = read().training
    whole = list(training.batches(range(0, 12)).as_numpy_iterator())
    for start in (5, 9, 11):
        rest = list(training.batches(range(start, 12)).as_numpy_iterator())
        for (images, targets), (others, other_targets) in zip(
            whole[start:], rest, strict=True
        ):
            np.testing.assert_array_equal(images, others)
            np.testing.assert_array_equal(targets["boxes"], other_targets["boxes"])


def test_the_first_batch_is_shown_with_the_objects_that_it_is_fed_with(read):
    splits = read()
    shown = splits.first_batch()
    [(images, targets)] = splits.training.batches(range(1))
    np.testing.assert_array_equal(shown["images"], images)
    real = targets["weights"] > 0
    assert np.sum(shown["weights"] > 0) == np.sum(real)


def test_held_out_batches_are_plain(read):
    held_out = read().held_out
    assert held_out.batch_size <= 8
    first, again = (next(iter(held_out.batches(range(1)))) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])


def test_evaluation_numbers_every_picture_of_a_split_in_order(read):
    splits = read(batch_size=7)
    batches = list(splits.evaluation("test").as_numpy_iterator())
    numbers = np.concatenate([batch["number"] for batch in batches])
    assert numbers.tolist() == list(range(len(splits.sources["test"])))
    assert all(
        batch["size"].tolist() == [[48, 48]] * len(batch["size"]) for batch in batches
    )


def test_what_is_fed_knows_the_number_of_classes(read):
    asked = []

    def feed(num_classes):
        asked.append(num_classes)
        return lambda *fed: fed

    splits = read(feed=feed)
    assert asked == [len(splits.class_names)]
