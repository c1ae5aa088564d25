import keras
import pytest

from tfdl.tasks.detection import checks, feeding, models
from tfdl.training import diagnostics, optimizers


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    reading = {
        "spec": "synthetic",
        "cache_dir": tmp_path_factory.mktemp("cache"),
        "image_size": 64,
        "num_examples": 40,
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
        "on_bad_data": "error",
    }
    return feeding.read(
        reading,
        cache_bytes=1 << 24,
        augmentation="none",
        mix="none",
        feed=lambda num_classes: make(num_classes).feed,
        batch_size=4,
        seed=0,
        mixed_steps=lambda steps: 0,
    )


def make(num_classes):
    return models.make(
        "yolov8_n", 64, num_classes, backbone="published", weights="none", width=0.25
    )


def test_what_is_checked_fits_the_diagnostics(splits):
    set_up = diagnostics.SetUp(**checks.set_up(splits, make))
    names = [finding.name for finding in set_up.found]
    assert "splits" in names
    assert "small boxes" in names
    assert set_up.pictures["train_batch"].ndim == 3


def test_the_parts_of_the_first_loss_are_what_theory_says(splits):
    keras.utils.set_random_seed(0)
    set_up = diagnostics.SetUp(**checks.set_up(splits, make))
    model = set_up.build(optimizers.optimizer("adamw", 0.001))
    optimizers.build(model)
    batch = next(iter(set_up.feed.batches(range(1))))
    theory = set_up.start_losses(batch)
    assert set(theory) == {"class_loss", "distribution_loss"}
    model.compute_loss(*batch, model(batch[0], training=True))
    measured = {metric.name: float(metric.result()) for metric in model.metrics}
    for name, value in theory.items():
        assert measured[name] == pytest.approx(value, rel=0.05)
