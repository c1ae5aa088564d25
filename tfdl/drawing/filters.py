"""Draws what a network has learned: its first filters and the maps of a picture.

Both return uint8 (height, width, 3). Nothing is shown and nothing is written.
"""

import pathlib

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfdl.drawing import pictures

_MOST = 96  # tiles of a drawing
_WIDE, _NARROW = 12, 8  # columns of many and of few tiles
_HEADING = 18  # pixels, of its letters
_FONT = pathlib.Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")


def filters(kernel: np.ndarray, *, heading: str) -> np.ndarray:
    """Draw the filters of a convolution side by side, each with its number.

    Each is scaled by its own largest weight: grey is 0, white and bright colours are
    positive, black and dark ones negative. Filters over three channels are drawn in
    colour, with the channels as red, green and blue; others as the mean over theirs.

    Args:
        kernel: float (height, width, channels, filters); of many filters, the first 96
            are drawn.
        heading: what is drawn.
    """
    kernel = np.asarray(kernel, np.float32)
    if kernel.shape[2] != 3:
        kernel = kernel.mean(axis=2, keepdims=True)
    drawn = min(kernel.shape[3], _MOST)
    tiles = [_around_grey(kernel[..., number]) for number in range(drawn)]
    names = [str(number) for number in range(drawn)]
    if drawn < kernel.shape[3]:
        heading += f", the first {drawn}"
    return _page(tiles, names, f"{heading}. Grey is 0, each has its own scale.")


def activation_maps(
    image: np.ndarray, maps: np.ndarray, *, heading: str, most: int = 31
) -> np.ndarray:
    """Draw a picture and the feature maps that answer to it, the strongest first.

    Each map is scaled from its own least (dark blue) to its own largest value (yellow),
    which stand below its channel's number; the strength is the mean of the values'
    distances from 0.

    Args:
        image: float (height, width, 1 or 3) in [0, 1].
        maps: float (height, width, channels), what the picture gave.
        heading: what is drawn.
        most: maps to draw.
    """
    maps = np.asarray(maps, np.float32)
    strengths = np.abs(maps).mean(axis=(0, 1))
    strongest = np.argsort(-strengths, kind="stable")[:most].tolist()
    tiles = [image, *(_coloured(maps[..., channel]) for channel in strongest)]
    names = ["picture"]
    for channel in strongest:
        low, high = maps[..., channel].min(), maps[..., channel].max()
        names.append(f"{channel}: {_short(low)} to {_short(high)}")
    if len(strongest) < maps.shape[2]:
        heading += f", the {len(strongest)} strongest of {maps.shape[2]} channels"
    return _page(tiles, names, f"{heading}. Channel: least to largest value.")


def _around_grey(weights):
    """Scale to [0, 1] with 0 in the middle."""
    largest = float(np.abs(weights).max())
    return 0.5 + weights / (2 * largest) if largest > 0 else np.full_like(weights, 0.5)


def _coloured(values):
    """Scale from the least to the largest value -> uint8 (height, width, 3)."""
    low, high = float(values.min()), float(values.max())
    shares = (values - low) / (high - low) if high > low else np.zeros_like(values)
    colours = matplotlib.colormaps["viridis"](shares, bytes=True)[..., :3]
    return np.ascontiguousarray(colours)


def _short(value):
    return f"{value:.0f}" if 100 <= abs(value) < 1e5 else f"{value:.2g}"


def _page(tiles, names, heading):
    columns = _WIDE if len(tiles) > 4 * _NARROW else _NARROW
    grid = pictures.grid(tiles, titles=names, columns=columns)
    return np.concatenate([_banner(heading, grid.shape[1]), grid])


def _banner(text, width):
    """Write a heading, in as many lines as it needs -> uint8 (height, width, 3)."""
    font, lines = ImageFont.truetype(_FONT, _HEADING), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width - _HEADING:
            lines.append(word)
        else:
            lines[-1] = longer
    line_height = sum(font.getmetrics())
    banner = Image.new("RGB", (width, line_height * len(lines) + _HEADING), "white")
    pen = ImageDraw.Draw(banner)
    pen.multiline_text((_HEADING // 2, _HEADING // 2), "\n".join(lines), "black", font)
    return np.array(banner)
