import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from sklearn import metrics

from tfdl.drawing import charts, colours

BLUES = matplotlib.colormaps["Blues"]
LONG = "an extraordinarily long class name, number {} of all the classes"
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


def test_cells_have_the_colour_of_their_share():
    labels = np.array([0] * 4 + [1] * 4)
    guesses = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    matrix = metrics.confusion_matrix(labels, guesses)
    drawn = charts.confusion_matrix(matrix, ("cat", "dog"))
    assert _is_chart(drawn)
    for share in (0.75, 0.25, 0, 1):  # the true cat's row and the true dog's
        expected = np.array(BLUES(share)[:3]) * 255
        # imshow resamples before it colours: a level of 256 more or less.
        cells = (np.abs(drawn[:, :900] - expected) < 3).all(axis=-1).sum()
        assert cells > 100_000, share


def test_normalized_changes_the_numbers_only():
    matrix = np.array([[30, 10], [0, 40]])
    counts = charts.confusion_matrix(matrix, ("cat", "dog"))
    shares = charts.confusion_matrix(matrix, ("cat", "dog"), normalized=True)
    changed = (counts != shares).any(axis=-1).mean()
    assert 0 < changed < 0.02


@pytest.mark.parametrize("classes", [1, 20, 21, 100, 250])
def test_confusion_matrix_of_any_number_of_classes(classes):
    names = [LONG.format(index) for index in range(classes)]
    matrix = np.eye(classes, dtype=int) * 12345
    assert charts.confusion_matrix(matrix, names).shape == (1080, 1200, 3)


def test_confusion_matrix_without_examples_is_drawn():
    assert _is_chart(charts.confusion_matrix(np.zeros((3, 3), int), ("a", "$b", "_c")))


@pytest.mark.parametrize("count", [0, 1, 10, 40])
def test_roc_curves_of_any_number_of_classes(count):
    rates = np.linspace(0, 1, 20)
    curves = {LONG.format(index): (rates, rates**0.5, 2 / 3) for index in range(count)}
    drawn = charts.roc_curves(curves)
    assert _is_chart(drawn)
    assert _has_colour(drawn, colours.label_colours(1)[0]) == (count > 0)


def test_worst_of_many_curves_is_the_first_colour():
    rates = np.array([0, 1])
    curves = {str(index): (rates, np.ones(2), 1.0) for index in range(20)}
    curves["undefined"] = (np.full(2, np.nan), np.full(2, np.nan), np.nan)
    curves["worst"] = (np.array([0, 0.5, 1]), np.array([0, 0.25, 1]), 0.375)
    drawn = charts.roc_curves(curves)
    rows, _ = np.nonzero((drawn == colours.label_colours(1)[0]).all(axis=-1))
    assert rows.max() > 780  # down to the origin, as no other curve


def test_names_are_shortened_in_the_middle():
    assert charts._shortened("abcdefghij", 10) == "abcdefghij"
    assert charts._shortened("abcdefghijk", 4) == "ab…jk"


def test_pyplot_with_its_global_state_is_not_loaded():
    code = "import sys, tfdl.drawing; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
