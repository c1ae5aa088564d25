"""Draws charts of numbers, as lines and as bars: uint8 (height, width, 3).

All are 1200 pixels wide, in colours that the colour-blind can tell apart. Nothing is
shown and nothing is written.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tfdl.drawing import axes as layout


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    log_y: bool = False,
) -> np.ndarray:
    """Draw named lines over one pair of axes.

    Args:
        series: name -> (x, y), each of its own length; not-a-number leaves a gap.
        title: what the chart shows.
        x_label: quantity and unit of x.
        y_label: quantity and unit of y.
        log_x: whether x is scaled logarithmically.
        log_y: whether y is scaled logarithmically.
    """
    chart, axes = layout.single(
        title=title, x_label=x_label, y_label=y_label, height=6.75
    )
    lines = []
    for index, (x, y) in enumerate(series.values()):
        marker = "o" if len(x) <= 30 else ""  # a line of one point would not be seen
        lines += axes.plot(x, y, marker=marker, **layout.line_style(index))
    axes.set_xscale(_scale([x for x, _ in series.values()], is_log=log_x))
    axes.set_yscale(_scale([y for _, y in series.values()], is_log=log_y))
    if not log_x and all(np.all(np.equal(np.mod(x, 1), 0)) for x, _ in series.values()):
        axes.xaxis.get_major_locator().set_params(integer=True)  # epochs, steps
    layout.name_lines(axes, lines, list(series))
    return layout.pixels(chart)


def staircase(
    values: Mapping[str, float],
    *,
    gaps: Sequence[str],
    intervals: Mapping[str, tuple[float, float]],
    title: str,
    y_label: str,
) -> np.ndarray:
    """Draw bars, each with what it adds to the one before in a colour of its own.

    Args:
        values: name -> height of the bar, in order; at least one.
        gaps: what the difference between each two neighbours is called.
        intervals: name -> (low, high), drawn as a whisker; not every bar needs one.
        title: what the chart shows.
        y_label: quantity and unit of the heights.
    """
    chart, axes = layout.single(title=title, x_label="", y_label=y_label, height=6.75)
    heights = list(values.values())
    bars = [axes.bar(range(len(heights)), heights, 0.6, color="lightgrey")]
    names = ["no more than the bar before"]
    for index, gap in enumerate(gaps):
        before, height = heights[index : index + 2]
        place, colour = index + 1, layout.line_style(index)["color"]
        bars.append(axes.bar(place, max(0, height - before), 0.6, before, color=colour))
        names.append(f"{gap} {height - before:+.2%}")
        axes.plot([index + 0.3, place + 0.3], [before] * 2, color="grey", linestyle=":")
    for index, (name, height) in enumerate(values.items()):
        low, high = intervals.get(name, (height, height))
        axes.vlines(index, low, high, color="black", linewidth=2)
        text = f"{height:.2%}"
        axes.annotate(
            text,
            (index, max(high, height)),
            (0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=15,
        )
    axes.set_xticks(range(len(heights)), [layout.plain(name) for name in values])
    axes.yaxis.set_major_formatter("{x:.1%}")
    axes.margins(y=0.1)
    axes.grid(visible=False, axis="x")
    layout.name_lines(axes, bars, names, beside=True)
    return layout.pixels(chart)


def _scale(values, *, is_log):
    # matplotlib raises on a logarithmic axis with nothing to show on it.
    has_positive = any(
        np.any(np.isfinite(part) & np.greater(part, 0)) for part in values
    )
    return "log" if is_log and has_positive else "linear"
