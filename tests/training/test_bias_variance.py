import dataclasses
import json
import math

import numpy as np
import pytest

from tfdl import errors
from tfdl.ops import intervals
from tfdl.training import bias_variance

# Of Ng's course: errors of 1 %, 7 %, 10 %, 11 % and 12 %.
MEASURED = {
    "train": (0.07, 20000),
    "train_dev": (0.10, 2000),
    "validation": (0.11, 2000),
    "test": (0.12, 2000),
}


def test_every_gap_has_its_cause_by_hand():
    reading = bias_variance.read(0.01, MEASURED)
    assert {gap.name: round(gap.value, 9) for gap in reading.gaps} == {
        "avoidable bias": 0.06,
        "variance": 0.03,
        "data mismatch": 0.01,
        "overfitting to validation": 0.01,
    }
    assert reading.first == "avoidable bias"
    assert len(reading.remedies) >= 2
    assert all("--" in remedy for remedy in reading.remedies)


def test_intervals_are_those_of_the_counts():
    reading = bias_variance.read(0.01, MEASURED)
    bias, variance = reading.gaps[:2]
    low, high = intervals.proportion_interval(0.07, 20000)
    assert bias.interval == pytest.approx((low - 0.01, high - 0.01))
    assert variance.interval == intervals.difference_interval(
        (0.10, 2000), (0.07, 20000)
    )
    assert reading.intervals["human"] == (0.01, 0.01)


def test_without_train_dev_the_variance_is_up_to_validation():
    measured = {name: MEASURED[name] for name in ("train", "validation", "test")}
    reading = bias_variance.read(0.06, measured)
    assert [gap.name for gap in reading.gaps] == [
        "avoidable bias",
        "variance",
        "overfitting to validation",
    ]
    assert reading.gaps[1].splits == ("train", "validation")
    assert reading.first == "variance"


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"validation": (0.30, 2000), "test": (0.30, 2000)}, "data mismatch"),
        ({"test": (0.40, 2000)}, "overfitting to validation"),
        ({"train_dev": (0.40, 2000)}, "variance"),
    ],
)
def test_the_largest_gap_is_first(change, first):
    reading = bias_variance.read(0.01, MEASURED | change)
    assert reading.first == first
    assert first in bias_variance.describe(reading)[-len(reading.remedies) - 1]


def test_no_gap_is_first_where_none_is_certain():
    few = dict.fromkeys(MEASURED, (0.1, 20)) | {"test": (0.15, 20)}
    reading = bias_variance.read(0.1, few)
    assert reading.first == ""
    assert reading.remedies == ()
    assert bias_variance.describe(reading)[-1].startswith("no gap is certain")


def test_exact_errors_have_no_width():
    exact = {name: (share, math.inf) for name, (share, _) in MEASURED.items()}
    reading = bias_variance.read(0.01, exact)
    for gap in reading.gaps:
        assert gap.interval == pytest.approx((gap.value, gap.value))


def test_a_reading_is_json():
    content = dataclasses.asdict(bias_variance.read(0.01, MEASURED))
    assert json.loads(json.dumps(content, allow_nan=False))["errors"]["test"] == 0.12


def test_a_reading_is_drawn():
    drawn = bias_variance.chart(bias_variance.read(0.01, MEASURED))
    assert drawn.shape[1:] == (1200, 3)
    assert drawn.dtype == np.uint8


@pytest.mark.parametrize(
    ("human_error", "change"), [(1.5, {}), (0.01, {"test": (0.1, 0)})]
)
def test_what_is_no_share_is_refused(human_error, change):
    with pytest.raises(errors.UsageError, match="Received"):
        bias_variance.read(human_error, MEASURED | change)


@pytest.mark.parametrize("names", [["train", "test"], ["dev", *MEASURED]])
def test_missing_and_unknown_splits_are_refused(names):
    with pytest.raises(errors.UsageError, match="must name train, train_dev"):
        bias_variance.read(0.01, dict.fromkeys(names, (0.1, 10)))
