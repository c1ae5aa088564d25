"""Draws how well classes are told apart: uint8 (height, 1200, 3).

Confusion matrix, receiver operating characteristic, precision against recall, F-score
against threshold, and calibration. Of many classes the worst ten curves are named, the
others are grey, so that a legend never takes the chart's place.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tfdl.drawing import axes as layout

Curve = tuple[Sequence[float], Sequence[float], float]

_NAMED = 10  # curves
_LEGIBLE = 20  # classes whose cells have room for a number


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
    chart, axes = layout.single(
        title=title, x_label="predicted class", y_label="true class", height=10.8
    )
    cells = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = chart.colorbar(cells, ax=axes, shrink=0.7)
    bar.set_label("share of the true class", fontsize=14)
    bar.ax.tick_params(labelsize=13)
    shown = range(0, num_classes, -(-num_classes // 100))  # more names do not fit
    names = [layout.plain(layout.shortened(class_names[k], 20)) for k in shown]
    size = float(np.clip(600 / num_classes, 6, 14))  # points
    # The longest name must fit over its cell: an axis has room for some 90 letters.
    upright = max(map(len, names), default=0) * len(names) > 90
    axes.set_xticks(shown, names, rotation=90 if upright else 0, fontsize=size)
    axes.set_yticks(shown, names, fontsize=size)
    axes.grid(visible=False)
    if num_classes <= _LEGIBLE:
        numbers = [f"{share:.2f}" for share in shares.flat]
        counts = [str(count) for count in matrix.flat]
        _write_cells(axes, shares, numbers if normalized else counts)
    return layout.pixels(chart)


def roc_curves(curves: Mapping[str, Curve], *, mean: Curve | None = None) -> np.ndarray:
    """Draw receiver operating characteristics; of many, the worst ten are named.

    Args:
        curves: name -> (false positive rates, true positive rates, area below).
        mean: the mean over classes, likewise.
    """
    chart, axes = layout.single(
        title="Receiver operating characteristic",
        x_label="false positive rate",
        y_label="true positive rate",
        height=9,
    )
    (chance,) = axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    lines, names = _class_lines(axes, curves, mean, word="area")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    layout.name_lines(axes, [chance, *lines], ["chance", *names], beside=True)
    return layout.pixels(chart)


def precision_recall_curves(
    curves: Mapping[str, Curve], *, mean: Curve | None = None
) -> np.ndarray:
    """Draw precision against recall; of many, the worst ten are named.

    Args:
        curves: name -> (recalls, ascending, precisions, average precision).
        mean: the mean over classes, likewise.
    """
    chart, axes = layout.single(
        title="Precision against recall, each class against the rest",
        x_label="recall (share of the class that is found)",
        y_label="precision (share of what is found that is right)",
        height=9,
    )
    lines, names = _class_lines(axes, curves, mean, word="AP", drawstyle="steps-pre")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    layout.name_lines(axes, lines, names, beside=True)
    return layout.pixels(chart)


def f_score_curves(
    curves: Mapping[str, Curve], *, mean: Curve | None = None
) -> np.ndarray:
    """Draw F1 against the threshold; the best of each named curve is marked.

    Args:
        curves: name -> (thresholds, ascending, F1 scores, the best of them).
        mean: the mean over classes, likewise.
    """
    chart, axes = layout.single(
        title="F1 against threshold, each class against the rest",
        x_label="threshold on the probability",
        y_label="F1 score",
        height=7.5,
    )
    lines, names = _class_lines(
        axes, curves, mean, word="F1", mark_best=True, drawstyle="steps-pre"
    )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    layout.name_lines(axes, lines, names, beside=True)
    return layout.pixels(chart)


def calibration(
    confidence: np.ndarray, accuracy: np.ndarray, num_examples: np.ndarray
) -> np.ndarray:
    """Draw accuracy against confidence, above how often each confidence occurs.

    Args:
        confidence: float (bins,), mean of each bin of [0, 1]; NaN where it is empty.
        accuracy: float (bins,), share of right answers, likewise.
        num_examples: int (bins,), answers in each bin.
    """
    confidence, accuracy = np.asarray(confidence), np.asarray(accuracy)
    total = max(1, int(np.sum(num_examples)))
    error = np.nansum(np.abs(accuracy - confidence) * num_examples) / total
    chart = layout.empty(height=9.6)
    upper, lower = chart.subplots(2, sharex=True, height_ratios=(3, 1))
    title = f"Calibration: confidence is {error:.1%} off on average"
    layout.label(upper, title=title, y_label="share of right answers")
    layout.label(lower, x_label="confidence of the answer", y_label="answers")
    width = 1 / len(confidence)
    middles = (np.arange(len(confidence)) + 0.5) * width
    blue, orange = (layout.line_style(index)["color"] for index in (0, 1))
    (ideal,) = upper.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=2)
    bars = upper.bar(middles, np.nan_to_num(accuracy), 0.9 * width, color=blue)
    seen = num_examples > 0
    (means,) = upper.plot(
        confidence[seen], accuracy[seen], "o-", color=orange, clip_on=False
    )
    lower.bar(middles, num_examples, 0.9 * width, color=blue)
    for middle, count in zip(middles[seen], num_examples[seen], strict=True):
        lower.annotate(
            f"{count:,}",
            (middle, count),
            (0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=11,
        )
    lower.margins(y=0.2)
    upper.set(xlim=(0, 1), ylim=(0, 1.02))
    names = ["as sure as right", "share of right answers", "at their mean confidence"]
    layout.name_lines(upper, [ideal, bars, means], names)
    return layout.pixels(chart)


def _class_lines(axes, curves, mean, *, word, mark_best=False, **style):
    """Plot curves, the worst in colours -> (lines for a legend, their names)."""
    lines, names = [], []

    def plot(name, curve, look):
        x, y, number = curve
        lines.extend(axes.plot(x, y, **look, **style))
        text = f", {word} {number:.3f}"
        if mark_best:
            best = int(np.argmax(y))
            axes.plot(x[best], y[best], "o", color=look["color"])
            text = f", {word} {y[best]:.3f} at {x[best]:.2f}"
        names.append(layout.shortened(name, 39 - len(text)) + text)

    by_number = sorted(curves, key=lambda name: np.nan_to_num(curves[name][2], nan=2))
    worst, others = by_number[:_NAMED], by_number[_NAMED:]
    for name in others:
        grey = axes.plot(*curves[name][:2], color="lightgrey", linewidth=1, **style)
    if mean is not None:
        look = {"color": "black", "linewidth": 4}
        plot(f"mean of {len(curves)} classes", mean, look)
    for index, name in enumerate(worst):
        plot(name, curves[name], layout.line_style(index))
    if others:
        lines += grey
        names.append(f"{len(others)} better classes")
    return lines, names


def _write_cells(axes, shares, texts):
    longest = max(len(text) for text in texts)
    size = float(np.clip(780 / len(shares) / longest, 6, 28))  # points, to fit a cell
    for text, (row, column) in zip(texts, np.ndindex(shares.shape), strict=True):
        share = shares[row, column]
        ink = "lightgrey" if share == 0 else "white" if share > 0.55 else "black"
        axes.text(column, row, text, ha="center", va="center", size=size, color=ink)
