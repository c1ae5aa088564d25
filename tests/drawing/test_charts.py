import subprocess
import sys

import numpy as np
import pytest

from tfdl.drawing import charts, colours

AXES = {"title": "Loss", "x_label": "epoch", "y_label": "loss (nats)"}


def _has_colour(drawn, colour):
    return (drawn == np.asarray(colour, np.uint8)).all(axis=-1).any()


def _is_chart(drawn):
    return drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[1:] == (1200, 3)


def test_curves_have_the_colours_of_labels():
    series = {"train": ([1, 2, 3], [3, 2, 1]), "validation": ([1, 2], [3, 2.5])}
    drawn = charts.curves(series, **AXES)
    assert _is_chart(drawn)
    assert all(_has_colour(drawn, colour) for colour in colours.label_colours(2))
    assert not _has_colour(drawn, colours.label_colours(3)[2])


@pytest.mark.parametrize(
    "series",
    [
        {},
        {"empty": ([], [])},
        {"one point": ([1], [0.5])},
        {"gap": ([1, 2, 3], [1.0, np.nan, 2.0])},
        {"nothing but gaps": ([1, 2], [np.nan, np.inf])},
        {f"{index} $x$ _": ([1, 2], [index, 2]) for index in range(12)},
        {"_hidden": (np.arange(1, 100), np.ones(99))},
    ],
)
@pytest.mark.parametrize("log", [False, True])
def test_curves_survive_odd_series(series, log):
    assert _is_chart(charts.curves(series, log_x=log, log_y=log, **AXES))


def test_logarithmic_axes_change_the_chart():
    series = {"loss": (np.arange(1, 50), np.exp(-np.arange(1, 50) / 5))}
    linear = charts.curves(series, **AXES)
    assert (linear != charts.curves(series, log_y=True, **AXES)).any()
    assert (linear != charts.curves(series, log_x=True, **AXES)).any()


STEPS = {"human": 0.01, "train": 0.05, "validation": 0.04, "test": 0.08}
LOOK = {"title": "Errors", "y_label": "error (share)", "gaps": ["one", "two", "three"]}


def test_a_step_up_has_its_colour_and_a_step_down_none():
    drawn = charts.staircase(STEPS, intervals={"train": (0.04, 0.06)}, **LOOK)
    assert _is_chart(drawn)
    blue, orange, green = colours.label_colours(3)
    heights = [
        (drawn[:, :800] == colour).all(axis=-1).any(axis=1).sum()
        for colour in (blue, orange, green)
    ]
    assert heights[0] == pytest.approx(heights[2], abs=4)  # 0.04 each
    assert heights[1] == 0  # but in the legend
    assert _has_colour(drawn, orange)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_staircase_of_one_height_is_drawn(value):
    steps = dict.fromkeys(STEPS, value)
    assert _is_chart(charts.staircase(steps, intervals={}, **LOOK))


def test_pyplot_with_its_global_state_is_not_loaded():
    code = "import sys, tfdl.drawing; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
