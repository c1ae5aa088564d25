import numpy as np
import pytest

from tfdl.drawing import axes


def test_names_are_shortened_in_the_middle():
    assert axes.shortened("abcdefghij", 10) == "abcdefghij"
    assert axes.shortened("abcdefghijk", 4) == "ab…jk"


def test_fourteen_lines_look_different():
    looks = {
        (tuple(np.round(look["color"], 3)), look["linestyle"])
        for look in map(axes.line_style, range(14))
    }
    assert len(looks) == 14


@pytest.mark.parametrize("beside", [False, True])
def test_a_legend_is_within_the_chart(beside):
    chart, single = axes.single(title="$x", x_label="$", y_label="_", height=6)
    lines = single.plot([0, 1], [0, 1], color="blue")
    axes.name_lines(
        single,
        lines,
        ["an extraordinarily long name, $x$, of a line"] * 1,
        beside=beside,
    )
    drawn = axes.pixels(chart)
    assert drawn.shape == (600, 1200, 3)
    border = [drawn[:, 0], drawn[:, -1], drawn[0], drawn[-1]]
    assert all((part == 255).all() for part in border)


def test_a_dollar_is_written_as_it_is():
    assert axes.plain("5 $ and 6 $") == r"5 \$ and 6 \$"
