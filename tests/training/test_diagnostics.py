import numpy as np
import pytest

from tfdl.findings import Finding
from tfdl.training import diagnostics, optimizers


def set_up(kind, model, **changes):
    options = {
        "feed": kind(),
        "held_out": kind(8, seed=1),
        "build": lambda optimizer: model,
        "found": [Finding("splits", "pass", "two")],
        "pictures": {"train_batch": np.zeros((4, 4, 3), np.uint8)},
        "start_losses": lambda batch: {"loss": np.log(2)},
        "least_loss": lambda batch: 0.0,
    }
    return diagnostics.SetUp(**options | changes)


@pytest.fixture
def checked(bars, model, monkeypatch):
    """Return a function: changes -> (verdict of each finding, reasons, pictures)."""
    monkeypatch.setattr(diagnostics, "_TIMED_SECONDS", 0.05)

    def run(rate=0.03, **changes):
        optimizers.build(model)
        found, drawn = diagnostics.run(
            set_up(bars, model, **changes), model, rate=rate, is_frozen=set(), seed=0
        )
        verdicts = {row.name: row.verdict for row in found}
        return verdicts, {row.name: row.reason for row in found}, drawn

    return run


def test_a_healthy_set_up_passes_and_is_drawn(checked):
    verdicts, _, drawn = checked()
    assert "fail" not in verdicts.values()
    assert list(verdicts)[0] == "splits"
    assert verdicts.keys() >= {
        *("pictures differ", "input scale", "loss at step 0", "activations"),
        *("gradients", "learning rate", "update to weight"),
        *("one batch is overfitted", "input is used", "input pipeline"),
    }
    assert drawn.keys() == {"train_batch", "learning_rate_range", "one_batch", "layers"}
    assert drawn["learning_rate_range"].shape[1] == 1200


def test_a_loss_that_is_not_that_of_guessing_fails(checked, model):
    model.get_layer("head").bias.assign([3.0, 0.0])
    verdicts, reasons, _ = checked()
    assert verdicts["loss at step 0"] == "fail"
    assert "in theory 0.6931" in reasons["loss at step 0"]


def test_penalties_on_weights_are_not_held_against_the_loss(checked, model):
    optimizers.penalize(model, l2=1e-2)
    assert checked()[0]["loss at step 0"] == "pass"


@pytest.mark.parametrize(("rate", "word"), [(1e3, "too high"), (1e-9, "too low")])
def test_a_rate_out_of_range_fails(checked, rate, word):
    verdicts, reasons, _ = checked(rate=rate)
    assert verdicts["learning rate"] == "fail"
    assert word in reasons["learning rate"]


def test_labels_that_pictures_do_not_tell_fail(checked, bars):
    class Shuffled(bars):
        def batches(self, steps):
            random = np.random.default_rng(5)
            for_all = np.eye(2, dtype="float32")[random.integers(0, 2, 32)]
            return (
                super().batches(steps).map(lambda x, y: (x, for_all[: self.batch_size]))
            )

    verdicts, reasons, _ = checked(feed=Shuffled(), held_out=bars(8, seed=1))
    assert verdicts["input is used"] == "fail"
    assert "shuffled" in reasons["input is used"]


def test_a_model_that_cannot_learn_by_heart_fails(checked):
    verdicts, reasons, _ = checked(least_loss=lambda batch: -10.0)  # out of reach
    assert verdicts["one batch is overfitted"] == "fail"
    assert "cannot even learn these by heart" in reasons["one batch is overfitted"]


def test_what_fails_at_once_keeps_trial_trainings_from_being_run(checked, model):
    model.get_layer("second").bias.assign([-100.0] * 8)
    verdicts, reasons, drawn = checked()
    assert verdicts["activations"] == "fail"
    assert "one batch is overfitted" not in verdicts
    assert "left out until" in reasons["trial trainings"]
    assert drawn.keys() == {"train_batch"}


def test_a_gain_is_counted_in_standard_errors():
    """Gains of 1, 2 and 3: the deviation is 1, the error of the mean 1 / sqrt(3)."""
    losses, blind = np.array([4.0, 3.0, 2.0]), np.full(3, 5.0)
    np.testing.assert_allclose(diagnostics._gain(losses, blind), 2 * np.sqrt(3))
    assert diagnostics._gain(np.array([np.nan, 1.0]), np.ones(2)) == -np.inf
    assert diagnostics._gain(np.array([1.0]), np.array([2.0])) > 1e6
