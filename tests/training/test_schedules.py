import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.training import schedules


def rates(name, *, warmup_steps=0, end=0.01, total_steps=100, peak=1.0):
    schedule = schedules.schedule(
        name,
        peak=peak,
        warmup_steps=warmup_steps,
        total_steps=total_steps,
        end=end,
    )
    return np.array([float(schedule(step)) for step in range(total_steps + 1)])


@pytest.mark.parametrize("name", sorted(set(schedules.DECAYS) - {"constant"}))
def test_every_decay_starts_at_the_peak_and_ends_at_its_share(name):
    values = rates(name)
    assert values[0] == pytest.approx(1.0)
    assert values[-1] == pytest.approx(0.01, rel=1e-4)
    assert (np.diff(values) <= 1e-7).all()


def test_warm_up_rises_linearly_to_the_peak():
    values = rates("cosine", warmup_steps=10, peak=0.5)
    np.testing.assert_allclose(values[:10], 0.5 * np.arange(1, 11) / 10, rtol=1e-6)
    assert values[10] == pytest.approx(0.5)


def test_cosine_equals_keras():
    ours = rates("cosine", end=0.1, peak=0.3)
    keras_schedule = keras.optimizers.schedules.CosineDecay(0.3, 100, alpha=0.1)
    theirs = [float(keras_schedule(step)) for step in range(101)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_polynomial_equals_keras():
    keras_schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 100, 0.01, power=2)
    theirs = [float(keras_schedule(step)) for step in range(101)]
    np.testing.assert_allclose(rates("polynomial"), theirs, rtol=1e-4, atol=1e-7)


def test_exponential_equals_keras():
    keras_schedule = keras.optimizers.schedules.ExponentialDecay(1.0, 100, 0.01)
    theirs = [float(keras_schedule(step)) for step in range(101)]
    np.testing.assert_allclose(rates("exponential"), theirs, rtol=1e-4)


def test_inverse_time_equals_keras():
    keras_schedule = keras.optimizers.schedules.InverseTimeDecay(1.0, 100, 99.0)
    theirs = [float(keras_schedule(step)) for step in range(101)]
    np.testing.assert_allclose(rates("inverse_time"), theirs, rtol=1e-4)


def test_step_divides_by_ten_at_half_and_three_quarters():
    values = rates("step")
    np.testing.assert_allclose(values[[0, 49, 50, 74, 75]], [1, 1, 0.1, 0.1, 0.01])


def test_constant_stays():
    assert set(rates("constant")) == {1.0}


def test_an_unknown_name_is_refused_with_the_choices():
    with pytest.raises(errors.UsageError, match="--schedule cosin"):
        rates("cosin")


def test_a_warm_up_longer_than_the_training_is_refused():
    with pytest.raises(errors.UsageError, match="warm-up takes 200 of 100"):
        rates("cosine", warmup_steps=200)


def test_the_linear_rule_doubles_the_rate_for_twice_the_batch():
    rate = schedules.linear_rule(0.1, batch_size=512, base_batch_size=256)
    assert rate == pytest.approx(0.2)


def test_a_schedule_is_rebuilt_from_its_configuration():
    schedule = schedules.schedule(
        "cosine", peak=1.0, warmup_steps=3, total_steps=9, end=0.5
    )
    again = schedules.WarmUpThenDecay(**schedule.get_config())
    assert float(again(5)) == float(schedule(5))
