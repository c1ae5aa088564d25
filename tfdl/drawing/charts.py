"""Draws charts of numbers, curves and confusion matrices: uint8 (height, width, 3).

All are 1200 pixels wide, in colours that the colour-blind can tell apart. Nothing is
shown and nothing is written.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import figure
from matplotlib.backends import backend_agg

from tfdl.drawing import colours


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
    chart, axes = _chart(title=title, x_label=x_label, y_label=y_label, height=6.75)
    lines = []
    for index, (x, y) in enumerate(series.values()):
        marker = "o" if len(x) <= 30 else ""  # a line of one point would not be seen
        lines += axes.plot(x, y, marker=marker, **_line_style(index))
    axes.set_xscale(_scale([x for x, _ in series.values()], is_log=log_x))
    axes.set_yscale(_scale([y for _, y in series.values()], is_log=log_y))
    if not log_x and all(np.all(np.equal(np.mod(x, 1), 0)) for x, _ in series.values()):
        axes.xaxis.get_major_locator().set_params(integer=True)  # epochs, steps
    _name_lines(axes, lines, list(series))
    return _pixels(chart)


def confusion_matrix(
    matrix: np.ndarray, class_names: Sequence[str], *, normalized: bool = False
) -> np.ndarray:
    """Draw how often each class was taken for each, with numbers up to 20 classes.

    Args:
        matrix: int (classes, classes), examples by true class, then predicted class.
        class_names: one for each class.
        normalized: write shares of the true class, not counts; the colours are shares
            in both cases.
    """
    matrix, num_classes = np.asarray(matrix), len(class_names)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    right, total = int(np.trace(matrix)), int(matrix.sum())
    title = (
        f"Confusion matrix: {right:,} of {total:,} right, {right / max(total, 1):.1%}"
    )
    chart, axes = _chart(
        title=title, x_label="predicted class", y_label="true class", height=10.8
    )
    cells = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = chart.colorbar(cells, ax=axes, shrink=0.7)
    bar.set_label("share of the true class", fontsize=14)
    bar.ax.tick_params(labelsize=13)
    shown = range(0, num_classes, -(-num_classes // 100))  # more names do not fit
    names = [_plain(_shortened(class_names[index], 20)) for index in shown]
    size = float(np.clip(600 / num_classes, 6, 14))  # points
    # The longest name must fit over its cell: an axis has room for some 90 letters.
    upright = max(map(len, names), default=0) * len(names) > 90
    axes.set_xticks(shown, names, rotation=90 if upright else 0, fontsize=size)
    axes.set_yticks(shown, names, fontsize=size)
    axes.grid(visible=False)
    if num_classes <= 20:
        numbers = [f"{share:.2f}" for share in shares.flat]
        counts = [str(count) for count in matrix.flat]
        _write_cells(axes, shares, numbers if normalized else counts)
    return _pixels(chart)


def roc_curves(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], float]],
) -> np.ndarray:
    """Draw receiver operating characteristics; of many, the worst ten are named.

    Args:
        curves: name -> (false positive rates, true positive rates, area below).
    """
    chart, axes = _chart(
        title="Receiver operating characteristic",
        x_label="false positive rate",
        y_label="true positive rate",
        height=9,
    )
    by_area = sorted(curves, key=lambda name: np.nan_to_num(curves[name][2], nan=2))
    worst, others = by_area[:10], by_area[10:]
    for name in others:
        axes.plot(*curves[name][:2], color="lightgrey", linewidth=1)
    lines = [axes.plot([0, 1], [0, 1], color="grey", linestyle=":")[0]]
    for index, name in enumerate(worst):
        lines += axes.plot(*curves[name][:2], **_line_style(index))
    names = [f"{_shortened(name, 24)}, area {curves[name][2]:.3f}" for name in worst]
    note = f"chance (grey: {len(others)} better curves)" if others else "chance"
    axes.set_aspect("equal")
    _name_lines(axes, lines, [note, *names])
    return _pixels(chart)


def _chart(*, title, x_label, y_label, height):
    # A Figure of its own canvas: pyplot would keep every figure in global state.
    chart = figure.Figure(figsize=(12, height), dpi=100, layout="constrained")
    chart.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # inches
    axes = chart.add_subplot()
    axes.set_title(_plain(title), fontsize=18, pad=14)
    axes.set_xlabel(_plain(x_label), fontsize=15)
    axes.set_ylabel(_plain(y_label), fontsize=15)
    axes.tick_params(which="both", labelsize=13)
    axes.grid(visible=True, alpha=0.3)
    return chart, axes


def _pixels(chart):
    canvas = backend_agg.FigureCanvasAgg(chart)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[:, :, :3].copy()


def _line_style(index):
    # The first six, then black: the seventh is yellow, which is not seen on white.
    choices = [*colours.label_colours(6), np.zeros(3)]
    colour = choices[index % len(choices)] / 255
    dashes = ("-", "--", "-.", ":")[index // len(choices) % 4]
    return {"color": colour, "linestyle": dashes, "linewidth": 2, "markersize": 5}


def _scale(values, *, is_log):
    # matplotlib raises on a logarithmic axis with nothing to show on it.
    has_positive = any(
        np.any(np.isfinite(part) & np.greater(part, 0)) for part in values
    )
    return "log" if is_log and has_positive else "linear"


def _name_lines(axes, lines, names):
    if names:
        texts = [_plain(_shortened(name, 40)) for name in names]
        axes.legend(lines, texts, fontsize=13)


def _shortened(text, limit):
    """Leave out the middle: long class names often differ at the end only."""
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]}…{text[len(text) - half :]}"


def _plain(text):
    return text.replace("$", r"\$")  # a pair of them would start a formula


def _write_cells(axes, shares, texts):
    longest = max(len(text) for text in texts)
    size = float(np.clip(780 / len(shares) / longest, 6, 28))  # points, to fit a cell
    for text, (row, column) in zip(texts, np.ndindex(shares.shape), strict=True):
        share = shares[row, column]
        ink = "lightgrey" if share == 0 else "white" if share > 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", size=size, color=ink)
