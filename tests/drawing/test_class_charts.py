import matplotlib
import numpy as np
import pytest
from sklearn import metrics

from tfdl.drawing import class_charts, colours

BLUES = matplotlib.colormaps["Blues"]
LONG = "an extraordinarily long class name, number {} of all the classes"
OF_CLASSES = (
    class_charts.roc_curves,
    class_charts.precision_recall_curves,
    class_charts.f_score_curves,
)


def _has_colour(drawn, colour):
    return (drawn == np.asarray(colour, np.uint8)).all(axis=-1).any()


def _sides(drawn):
    """Find the columns of the left and right side of the axes."""
    is_line = (drawn[100:600] < 40).all(axis=-1).mean(axis=0) > 0.95
    return np.flatnonzero(is_line)[[0, -1]]


def _is_chart(drawn):
    return drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[1:] == (1200, 3)


def test_cells_have_the_colour_of_their_share():
    labels = np.array([0] * 4 + [1] * 4)
    guesses = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    matrix = metrics.confusion_matrix(labels, guesses)
    drawn = class_charts.confusion_matrix(matrix, ("cat", "dog"))
    assert _is_chart(drawn)
    for share in (0.75, 0.25, 0, 1):  # the true cat's row and the true dog's
        expected = np.array(BLUES(share)[:3]) * 255
        # imshow resamples before it colours: a level of 256 more or less.
        cells = (np.abs(drawn[:, :900] - expected) < 3).all(axis=-1).sum()
        assert cells > 100_000, share


def test_normalized_changes_the_numbers_only():
    matrix = np.array([[30, 10], [0, 40]])
    counts = class_charts.confusion_matrix(matrix, ("cat", "dog"))
    shares = class_charts.confusion_matrix(matrix, ("cat", "dog"), normalized=True)
    changed = (counts != shares).any(axis=-1).mean()
    assert 0 < changed < 0.02


@pytest.mark.parametrize("classes", [1, 20, 21, 100, 250])
def test_confusion_matrix_of_any_number_of_classes(classes):
    names = [LONG.format(index) for index in range(classes)]
    matrix = np.eye(classes, dtype=int) * 12345
    assert class_charts.confusion_matrix(matrix, names).shape == (1080, 1200, 3)


def test_confusion_matrix_without_examples_is_drawn():
    assert _is_chart(
        class_charts.confusion_matrix(np.zeros((3, 3), int), ("a", "$b", "_c"))
    )


@pytest.mark.parametrize("count", [0, 1, 10, 40])
@pytest.mark.parametrize("draw", OF_CLASSES)
def test_curves_of_any_number_of_classes_leave_room_for_themselves(draw, count):
    rates = np.linspace(0, 1, 20)
    curves = {LONG.format(index): (rates, rates**0.5, 2 / 3) for index in range(count)}
    drawn = draw(curves, mean=(rates, rates, 0.5) if count else None)
    assert _is_chart(drawn)
    black_rows, black_columns = np.nonzero((drawn < 40).all(axis=-1))
    assert np.ptp(black_rows) > 600
    assert black_columns.min() < 60
    assert np.ptp(_sides(drawn)) > 600
    assert _has_colour(drawn, colours.label_colours(1)[0]) == (count > 0)


def test_worst_of_many_curves_is_the_first_colour():
    rates = np.array([0, 1])
    curves = {str(index): (rates, np.ones(2), 1.0) for index in range(20)}
    curves["undefined"] = (np.full(2, np.nan), np.full(2, np.nan), np.nan)
    curves["worst"] = (np.array([0, 0.5, 1]), np.array([0, 0.25, 1]), 0.375)
    drawn = class_charts.roc_curves(curves)
    rows, _ = np.nonzero((drawn == colours.label_colours(1)[0]).all(axis=-1))
    assert rows.max() > 780  # down to the origin, as no other curve


def test_the_best_f1_is_marked_where_it_is():
    x = np.linspace(0, 1, 101)
    drawn = class_charts.f_score_curves({"cat": (x, 1 - np.abs(x - 0.25), 1.0)})
    left, right = _sides(drawn)
    blue = (drawn == colours.label_colours(1)[0]).all(axis=-1)[:, :right]
    rows, columns = np.nonzero(blue)
    place = (columns[rows == rows.min()].mean() - left) / (right - left)
    assert 1.04 * place - 0.02 == pytest.approx(0.25, abs=0.01)  # axes from -0.02


def test_calibration_has_a_bar_for_each_bin_that_is_not_empty():
    confidence = np.array([np.nan, 0.3, 0.6, np.nan])
    drawn = class_charts.calibration(
        confidence, np.array([np.nan, 1, 0.5, np.nan]), np.array([0, 3, 1, 0])
    )
    assert _is_chart(drawn)
    blue = (drawn == colours.label_colours(1)[0]).all(axis=-1)
    shares, counts = blue[:670], blue[670:]
    columns = np.flatnonzero(counts.any(axis=0))
    left, right = np.split(columns, np.flatnonzero(np.diff(columns) > 5) + 1)
    assert counts[:, left].sum() / counts[:, right].sum() == pytest.approx(3, abs=0.1)
    # Not at the middle of the bars: the line of means is over them.
    heights = [shares[:, bar[10]].sum() for bar in (left, right)]
    assert heights[0] / heights[1] == pytest.approx(1 / 0.5, abs=0.1)


def test_calibration_without_answers_is_drawn():
    nothing = np.full(15, np.nan)
    assert _is_chart(class_charts.calibration(nothing, nothing, np.zeros(15, int)))
