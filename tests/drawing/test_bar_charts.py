import numpy as np
import pytest

from tfdl.drawing import bar_charts, colours

LABELS = {"title": "Costs", "x_label": "AP50 (points)"}


def drawn(values):
    notes = {name: f"{value:+.1f}, $ of them" for name, value in values.items()}
    return bar_charts.bars(values, notes=notes, **LABELS)


def lengths(chart):
    """Measure the bars of the upper and of the lower half, in pixels."""
    rows = (chart == colours.label_colours(1)[0]).all(axis=-1).sum(axis=1)
    return [half.max() for half in np.array_split(rows, 2)]


def test_bars_are_as_long_as_their_numbers_from_the_top():
    chart = drawn({"ten": 10.0, "four": 4.0})
    assert chart.dtype == np.uint8
    assert chart.shape[1:] == (1200, 3)
    upper, lower = lengths(chart)
    assert upper / lower == pytest.approx(2.5, abs=0.02)


@pytest.mark.parametrize(
    "values", [{"zero": 0.0}, {"less": -1.0, "more": 2.0}, {"all $less_": -3.0}]
)
def test_bars_survive_odd_values(values):
    assert drawn(values).ndim == 3
