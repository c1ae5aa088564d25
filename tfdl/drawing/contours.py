"""Draws paths over the contour lines of a function of two numbers, side by side."""

from collections.abc import Mapping

import numpy as np

from tfdl.drawing import axes as layout

# Of the chart, in inches: its width without labels, title and labels, a panel's name.
_WIDTH, _MARGINS, _NAME = 10.9, 1.5, 0.45
_LEVELS = 14


def descents(
    paths: Mapping[str, np.ndarray],
    *,
    heights: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    minima: np.ndarray,
    title: str,
    x_label: str,
    y_label: str,
    columns: int = 4,
) -> np.ndarray:
    """Draw each path over the same landscape, in a panel and a colour of its own.

    A path has the colour that `curves` gives to the line of the same place. One unit is
    as long on both axes, so that the steepest descent is across the contour lines.

    Args:
        paths: name -> float (points, 2), x and y of each point, in order; at least one.
            What lies outside the landscape is cut off.
        heights: float (rows, columns), of the landscape.
        x: float (columns,), ascending.
        y: float (rows,), ascending.
        minima: float (minima, 2), points to mark.
        title: what the chart shows.
        x_label: quantity and unit of x.
        y_label: quantity and unit of y.
        columns: most panels beside each other.

    Returns:
        uint8 (height, 1200, 3); the height follows the shape of the landscape.
    """
    columns = min(columns, len(paths) + 1)
    rows = -(-(len(paths) + 1) // columns)  # one panel is the legend's
    panel_height = _WIDTH / columns * (y[-1] - y[0]) / (x[-1] - x[0]) + _NAME
    chart = layout.empty(height=rows * panel_height + _MARGINS)
    chart.set_layout_engine("compressed", w_pad=0.1, h_pad=0.1)  # inches
    chart.suptitle(layout.plain(title), fontsize=18)
    chart.supxlabel(layout.plain(x_label), fontsize=15)
    chart.supylabel(layout.plain(y_label), fontsize=15)
    panels = chart.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    levels = _levels(heights)
    for index, (name, path) in enumerate(paths.items()):
        axes = panels.flat[index]
        axes.contour(x, y, heights, levels, colors="silver", linewidths=0.8)
        marks = _draw_path(axes, np.asarray(path), minima, index)
        axes.set_title(layout.plain(name), fontsize=14)
        axes.set(xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), aspect="equal")
        is_lowest = index + columns >= len(paths)
        axes.tick_params(labelsize=12, labelbottom=is_lowest)
    for axes in panels.flat[len(paths) :]:
        axes.set_axis_off()
    names = ["start", "last point", "minimum"]
    spare = panels.flat[len(paths)]
    spare.legend(marks, names, fontsize=13, loc="center", labelspacing=1)
    return layout.pixels(chart)


def _draw_path(axes, path, minima, index):
    """Draw a path and its landmarks -> what a legend shows of them."""
    look = {**layout.line_style(index), "linewidth": 1.2, "markersize": 3}
    axes.plot(path[:, 0], path[:, 1], marker="o", **look)
    black = {"color": "black", "linestyle": ""}
    (start,) = axes.plot(*path[0], "o", markersize=8, **black)
    (end,) = axes.plot(*path[-1], "x", markersize=10, markeredgewidth=2.5, **black)
    (bottom,) = axes.plot(
        *np.transpose(minima),
        "*",
        markersize=15,
        markerfacecolor="none",
        zorder=1,  # below the path
        **black,
    )
    return start, end, bottom


def _levels(heights):
    """Space levels as those of a parabola are, densest at the bottom."""
    low, high = float(np.min(heights)), float(np.max(heights))
    steps = np.linspace(0, 1, _LEVELS + 2)[1:-1]
    return low + (high - low or 1.0) * steps**2
