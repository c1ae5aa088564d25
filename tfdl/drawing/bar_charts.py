"""Draws named numbers as bars beside one another: uint8 (height, 1200, 3)."""

from collections.abc import Mapping

import numpy as np

from tfdl.drawing import axes as layout


def bars(
    values: Mapping[str, float],
    *,
    notes: Mapping[str, str],
    title: str,
    x_label: str,
) -> np.ndarray:
    """Draw horizontal bars, the first on top, each with what is to be said of it.

    Args:
        values: name -> length of the bar, at least one; it may be negative.
        notes: name -> text behind the bar.
        title: what the chart shows.
        x_label: quantity and unit of the lengths.
    """
    chart, axes = layout.single(
        title=title, x_label=x_label, y_label="", height=2 + 0.6 * len(values)
    )
    places, lengths = range(len(values)), list(values.values())
    axes.barh(places, lengths, 0.6, color=layout.line_style(0)["color"])
    for place, (name, length) in enumerate(values.items()):
        axes.annotate(
            layout.plain(notes[name]),
            (max(length, 0), place),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=13,
        )
    axes.set_yticks(places, [layout.plain(name) for name in values])
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=1)
    axes.margins(x=0.3)  # room for the texts
    axes.set_xlim(left=min(0, *lengths))
    axes.grid(visible=False, axis="y")
    return layout.pixels(chart)
