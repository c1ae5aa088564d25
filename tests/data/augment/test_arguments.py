import pytest

from tfdl import errors
from tfdl.data.augment import arguments


def test_sensible_values_pass():
    arguments.check_rate("rate", 0)
    arguments.check_rate("rate", 1)
    arguments.check_within("degrees", 180, low=0, high=180)
    arguments.check_range("areas", (0.1, 0.1))


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_outside_zero_to_one_is_refused(rate):
    with pytest.raises(errors.UsageError, match=f"Received rate={rate}"):
        arguments.check_rate("rate", rate)


@pytest.mark.parametrize("interval", [(0, 1), (2, 1), (-1, 1)])
def test_a_range_must_be_positive_and_ascending(interval):
    with pytest.raises(errors.UsageError, match="the smaller first"):
        arguments.check_range("areas", interval)


def test_one_number_is_both_sides():
    assert arguments.height_and_width("size", 32) == (32, 32)
    assert arguments.height_and_width("size", [32, 48]) == (32, 48)


@pytest.mark.parametrize("size", [0, (3, -1), (1, 2, 3), (2.5, 3)])
def test_a_size_must_be_one_or_two_positive_whole_numbers(size):
    with pytest.raises(errors.UsageError, match="number of pixels"):
        arguments.height_and_width("size", size)
