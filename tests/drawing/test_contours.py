import numpy as np
import pytest

from tfdl.drawing import colours, contours

X, Y = np.linspace(-4, 4, 81), np.linspace(-2, 2, 41)
BOWL = X[None, :] ** 2 + Y[:, None] ** 2
LINE = np.array([[-3.0, 1.5], [3.0, -1.5]])
TEXT = {"title": "Bowl", "x_label": "x (no unit)", "y_label": "y (no unit)"}


def draw(paths, heights=BOWL, **options):
    landscape = {"heights": heights, "x": X, "y": Y, "minima": np.zeros((1, 2))}
    return contours.descents(paths, **landscape, **TEXT, **options)


def pixels_of(drawn, colour):
    """Return rows and columns of the pixels that have exactly a colour."""
    return np.nonzero((drawn == np.asarray(colour, np.uint8)).all(axis=-1))


@pytest.mark.parametrize("count", [1, 2, 4, 5, 8])
def test_every_path_has_the_colour_of_its_place(count):
    drawn = draw({f"path {index}": LINE for index in range(count)})
    assert drawn.dtype == np.uint8
    assert drawn.shape[1:] == (1200, 3)
    palette = colours.label_colours(6)
    for index, colour in enumerate(palette):
        assert (len(pixels_of(drawn, colour)[0]) > 0) == (index < count)


def test_one_unit_is_as_long_on_both_axes():
    rows, columns = pixels_of(draw({"line": LINE}), colours.label_colours(1)[0])
    # The line spans 6 by 3 units; black marks cover its ends.
    ratio = (columns.max() - columns.min()) / (rows.max() - rows.min())
    assert ratio == pytest.approx(6 / 3, rel=0.03)


def test_what_leaves_the_landscape_is_cut_off():
    inside = draw({"line": LINE})
    outside = draw({"line": np.concatenate([LINE, [[1e3, 1e3]]])})
    assert inside.shape == outside.shape
    blue = colours.label_colours(1)[0]
    assert pixels_of(outside, blue)[1].max() < 1200 - 10


@pytest.mark.parametrize(
    ("path", "heights"),
    [
        (LINE[:1], BOWL),
        (LINE, np.zeros_like(BOWL)),
        (np.full((3, 2), np.nan), BOWL),
    ],
)
def test_odd_paths_and_landscapes_are_drawn(path, heights):
    assert draw({"odd $x$": path}, heights).shape[1:] == (1200, 3)
