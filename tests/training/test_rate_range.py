import numpy as np
import tensorflow as tf

from tfdl.training import rate_range

RATES = np.geomspace(rate_range.LOWEST, rate_range.HIGHEST, rate_range.STEPS)


def curve(*, falls_at, rises_at, noise=0.0):
    """Draw a loss of 2.3 that falls to 1.3 between two rates, and blows up after."""
    passed = np.clip(np.log(RATES / falls_at) / np.log(rises_at / falls_at), 0, None)
    losses = 2.3 - np.minimum(passed, 1) + 5 * np.clip(passed - 1, 0, None) ** 2
    return losses + noise * np.random.default_rng(0).normal(size=len(RATES))


def test_the_useful_rates_lie_where_the_loss_falls():
    found = rate_range.read(RATES, curve(falls_at=1e-3, rises_at=1e-1, noise=0.02))
    assert 5e-4 < found.lowest < 5e-3
    assert 3e-2 < found.highest < 3e-1


def test_a_fall_after_a_rise_is_not_read():
    losses = curve(falls_at=1e-4, rises_at=1e-2)
    losses[-20:] = 0.1
    assert rate_range.read(RATES, losses).highest < 5e-2


def test_nothing_is_suggested_where_the_loss_never_falls():
    noise = np.random.default_rng(0).normal(2.3, 0.05, rate_range.STEPS)
    assert np.isnan(rate_range.read(RATES, noise).suggested)


def test_a_loss_that_ends_in_nan_is_read():
    losses = curve(falls_at=1e-3, rises_at=1e-1)
    losses[-10:] = np.nan
    assert np.isfinite(rate_range.read(RATES, losses).suggested)


def test_a_model_is_swept_until_it_blows_up_and_is_put_back(model, bars, made_trial):
    trial = made_trial(model, bars())
    before = model.get_weights()
    found = rate_range.measure(trial, bars().batches(range(rate_range.STEPS)))
    assert 1e-3 < found.suggested < 1
    assert not found.is_of_one_batch
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_suggestion_trains_the_model(model, bars, made_trial):
    trial = made_trial(model, bars())
    rate = rate_range.measure(trial, bars().batches(range(rate_range.STEPS))).suggested
    assert trial.train(bars().batches(range(150)), rate, 150)[-5:].mean() < 0.2


def test_one_batch_is_swept_where_the_others_are_noise(model, bars, made_trial):
    class Noise(bars):
        def batches(self, steps):
            random = tf.random.Generator.from_seed(1)
            return super().batches(steps).map(lambda x, y: (random.normal(x.shape), y))

    found = rate_range.measure(
        made_trial(model, bars()), Noise().batches(range(rate_range.STEPS))
    )
    assert found.is_of_one_batch
    assert np.isfinite(found.suggested)
