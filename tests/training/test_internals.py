import keras
import numpy as np
import pytest

from tfdl.training import internals, optimizers


@pytest.fixture
def batch(bars):
    return next(iter(bars().batches(range(1))))


def test_healthy_pictures_pass(model, batch):
    assert [row.verdict for row in internals.inputs(model, batch)] == ["pass", "pass"]


def test_pictures_all_alike_are_a_constant_input(model, batch):
    images, targets = batch
    (row,) = internals.inputs(model, (images * 0 + 3.0, targets))
    assert row.verdict == "fail"
    assert "constant" in row.reason
    assert row.is_about_data


@pytest.mark.parametrize(("scale", "offset"), [(100, 0), (0.1, 0), (1, 20)])
def test_pictures_off_scale_fail(model, batch, scale, offset):
    images, targets = batch
    row = internals.inputs(model, (images * scale + offset, targets))[-1]
    assert (row.name, row.verdict) == ("input scale", "fail")
    assert "not normalised" in row.reason


def test_dead_units_are_counted(model, batch):
    assert internals.activations(model, batch).verdict == "pass"
    bias = model.get_layer("second").bias
    bias.assign([-100.0] * 6 + [0.0] * 2)
    row = internals.activations(model, batch)
    assert row.verdict == "fail"
    assert "75% of the channels of second never fire" in row.reason


def test_activations_that_grow_with_depth_fail(model, batch):
    kernel = model.get_layer("second").kernel
    kernel.assign(kernel * 1000)
    row = internals.activations(model, batch)
    assert row.verdict == "fail"
    assert "grow with depth" in row.reason


def test_probing_leaves_running_averages_alone(batch):
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3)(inputs))
    model = keras.Model(inputs, keras.layers.Activation("relu")(x))
    before = model.get_weights()
    internals.activations(model, batch)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_reach_every_weight(model, bars, made_trial, batch):
    row, shares = internals.gradients(made_trial(model, bars()), batch, is_frozen=set())
    assert row.verdict == "pass"
    assert len(shares) == 3
    assert min(shares) > 0


def test_a_frozen_layer_is_named_unless_it_is_meant(model, bars, made_trial, batch):
    model.get_layer("first").trainable = False
    trial = made_trial(model, bars())
    row, _ = internals.gradients(trial, batch, is_frozen=set())
    assert row.verdict == "fail"
    assert "first" in row.reason
    row, _ = internals.gradients(trial, batch, is_frozen={"first"})
    assert row.verdict == "pass"


def test_a_weight_without_a_gradient_is_named(model, bars, made_trial, batch):
    model.get_layer("second").bias.assign([-100.0] * 8)
    row, _ = internals.gradients(made_trial(model, bars()), batch, is_frozen=set())
    assert row.verdict == "fail"
    assert "no gradient reaches first/kernel" in row.reason


@pytest.mark.parametrize(
    ("rate", "verdict"), [(0.01, "pass"), (1e4, "fail"), (1e-9, "fail")]
)
def test_updates_are_judged_by_the_weights(
    bars, made_trial, batch, model, rate, verdict
):
    row, ratios = internals.updates(made_trial(model, bars()), batch, rate=rate)
    assert row.verdict == verdict
    assert len(ratios) == 3


def test_the_update_of_plain_sgd_is_rate_times_gradient(bars, made_trial, batch, model):
    model.compile(optimizers.optimizer("sgd", 0.1), model.loss)
    trial = made_trial(model, bars())
    _, shares = internals.gradients(trial, batch, is_frozen=set())
    _, ratios = internals.updates(trial, batch, rate=0.1)
    np.testing.assert_allclose(ratios, 0.1 * np.asarray(shares), rtol=1e-3)


def test_pictures_are_found_among_several_inputs(batch):
    """As detectors of two stages have them, whose objects are inputs as well."""
    images, targets = batch
    inputs = {
        "boxes": keras.Input((2,), name="boxes"),
        "image": keras.Input(images.shape[1:], name="image"),
    }
    x = keras.layers.Flatten()(inputs["image"])
    x = keras.layers.Concatenate()([keras.layers.Dense(4, "relu")(x), inputs["boxes"]])
    both = keras.Model(inputs, keras.layers.Dense(2)(x))
    fed = {"boxes": np.zeros((len(images), 2), "f4"), "image": images}
    found = [*internals.inputs(both, (fed, targets))]
    assert [row.verdict for row in found] == ["pass", "pass"]
    assert internals.activations(both, (fed, targets)).verdict == "pass"
    row = internals.inputs(both, (fed | {"image": images * 0 + 3.0}, targets))[0]
    assert "constant" in row.reason
