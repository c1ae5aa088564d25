import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.training import schedules


def rates(name, *, warmup_steps=0, end=0.01, total_steps=100, peak=1.0, cycles=1):
    schedule = schedules.schedule(
        name,
        peak=peak,
        warmup_steps=warmup_steps,
        total_steps=total_steps,
        end=end,
        cycles=cycles,
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


def before_there_were_cycles(step, *, decay, peak, warmup_steps, total_steps, end):
    """Repeat the formula of one decay alone."""
    step = keras.ops.cast(step, "float32")
    warm = (step + 1) / max(1, warmup_steps)
    decay_steps = max(1, total_steps - warmup_steps)
    passed = keras.ops.clip((step - warmup_steps) / decay_steps, 0.0, 1.0)
    decayed = schedules.DECAYS[decay](passed, end)
    return peak * keras.ops.where(step < warmup_steps, warm, decayed)


@pytest.mark.parametrize("name", sorted(schedules.DECAYS))
def test_one_cycle_is_bit_for_bit_what_it_was(name):
    """In a graph too, where a division by a constant becomes a product."""
    settings = {"peak": 0.3, "warmup_steps": 7, "total_steps": 90, "end": 0.03}
    schedule = schedules.schedule(name, **settings, cycles=1)
    steps = tf.range(100, dtype=tf.int64)

    @tf.function
    def ours(steps):
        return tf.map_fn(schedule, steps, fn_output_signature=tf.float32)

    @tf.function
    def theirs(steps):
        def rate(step):
            return before_there_were_cycles(step, decay=name, **settings)

        return tf.map_fn(rate, steps, fn_output_signature=tf.float32)

    np.testing.assert_array_equal(ours(steps), theirs(steps))
    eager = [float(schedule(step)) for step in range(100)]
    before = [
        float(before_there_were_cycles(step, decay=name, **settings))
        for step in range(100)
    ]
    assert eager == before


def test_a_cosine_of_cycles_is_hand_computed():
    values = rates("cosine", warmup_steps=2, total_steps=20, end=0.5, cycles=5)
    first = [0.5, 1.0, 1.0, 0.75]  # 2 of 4 steps warm up, then the middle of a cosine
    later = [1.0, *(0.75 + 0.25 * np.cos(np.pi * np.array([1, 2, 3]) / 4))]
    np.testing.assert_allclose(values[:20], [*first, *later * 4], rtol=1e-6)


def test_cycles_equal_keras_cosine_with_restarts():
    keras_schedule = keras.optimizers.schedules.CosineDecayRestarts(
        1.0, 25, t_mul=1.0, m_mul=1.0, alpha=0.1
    )
    theirs = [float(keras_schedule(step)) for step in range(100)]
    ours = rates("cosine", end=0.1, cycles=4)[:100]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_a_long_cycle_ends_at_its_very_step():
    """In float32 the quotient of the last step rounds up to a whole number."""
    cycle_steps = 3_000_001
    schedule = schedules.schedule(
        "linear",
        peak=1.0,
        warmup_steps=0,
        total_steps=5 * cycle_steps,
        end=0.5,
        cycles=5,
    )
    boundary = 4 * cycle_steps
    assert float(schedule(boundary - 1)) == pytest.approx(0.5, abs=1e-5)
    assert float(schedule(boundary)) == 1.0


def test_a_run_that_is_extended_by_cycles_repeats_the_shorter_one():
    short = rates("cosine", warmup_steps=3, total_steps=30, cycles=3)
    long = rates("cosine", warmup_steps=3, total_steps=50, cycles=5)
    np.testing.assert_array_equal(short[:30], long[:30])


def test_a_warm_up_longer_than_the_first_cycle_is_refused():
    with pytest.raises(errors.UsageError, match="warm-up takes 30 of 25"):
        rates("cosine", warmup_steps=30, cycles=4)


def test_cycles_of_unequal_length_are_refused():
    with pytest.raises(errors.UsageError, match="3 equal --cycles"):
        rates("cosine", cycles=3)
