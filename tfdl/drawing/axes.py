"""Lays charts out: their size, titles, lines, legends and pixels, the same in all."""

from collections.abc import Sequence

import matplotlib.axes
import numpy as np
from matplotlib import figure
from matplotlib.backends import backend_agg

from tfdl.drawing import colours

_WIDTH = 12  # inches of 100 pixels


def empty(*, height: float) -> figure.Figure:
    """Open a chart without axes, 1200 pixels wide.

    Args:
        height: in hundreds of pixels.
    """
    # A Figure of its own canvas: pyplot would keep every figure in global state.
    chart = figure.Figure(figsize=(_WIDTH, height), dpi=100, layout="constrained")
    chart.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # inches
    return chart


def single(
    *, title: str, x_label: str, y_label: str, height: float
) -> tuple[figure.Figure, matplotlib.axes.Axes]:
    """Open a chart with one pair of axes."""
    chart = empty(height=height)
    axes = chart.add_subplot()
    label(axes, title=title, x_label=x_label, y_label=y_label)
    return chart, axes


def label(
    axes: matplotlib.axes.Axes, *, title: str = "", x_label: str = "", y_label: str
) -> None:
    """Write title and quantities beside axes, and draw a faint grid."""
    axes.set_title(plain(title), fontsize=18, pad=14)
    axes.set_xlabel(plain(x_label), fontsize=15)
    axes.set_ylabel(plain(y_label), fontsize=15)
    axes.tick_params(which="both", labelsize=13)
    axes.grid(visible=True, alpha=0.3)


def name_lines(
    axes: matplotlib.axes.Axes, lines: Sequence, names: Sequence[str], *, beside=False
) -> None:
    """Write a legend, in the emptiest corner or beside the axes."""
    if names:
        texts = [plain(shortened(name, 40)) for name in names]
        if beside:  # a legend of the chart, so that room is made for it
            axes.figure.legend(lines, texts, fontsize=13, loc="outside right center")
        else:
            axes.legend(lines, texts, fontsize=13)


def line_style(index: int) -> dict:
    """Choose the look of the line of this number, told apart by the colour-blind."""
    # The first six, then black: the seventh is yellow, which is not seen on white.
    choices = [*colours.label_colours(6), np.zeros(3)]
    dashes = ("-", "--", "-.", ":")[index // len(choices) % 4]
    colour = choices[index % len(choices)] / 255
    return {"color": colour, "linestyle": dashes, "linewidth": 2, "markersize": 5}


def pixels(chart: figure.Figure) -> np.ndarray:
    """Return what a chart looks like, uint8 (height, 1200, 3)."""
    canvas = backend_agg.FigureCanvasAgg(chart)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[:, :, :3].copy()


def shortened(text: str, limit: int) -> str:
    """Leave out the middle: long class names often differ at the end only."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}…{text[len(text) - half :]}"


def plain(text: str) -> str:
    """Escape what matplotlib would take for the begin of a formula."""
    return text.replace("$", r"\$")
