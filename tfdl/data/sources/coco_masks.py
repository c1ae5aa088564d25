"""Turns outlines as COCO has them into masks, to the pixel as the COCO API does.

An outline is a list of polygons, each a flat list of x and y in pixels, or runs,
{"size": [height, width], "counts": lengths or their text}. An object of several parts,
or with a gap, has several polygons: it is where any of them is.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tfdl.data.sources import coco_json

Outline = Sequence[Sequence[float]] | Mapping

_FINE = 5  # steps to a pixel on which the COCO API walks along a polygon


def mask(outline: Outline, size: tuple[int, int]) -> np.ndarray:
    """Fill an outline.

    Args:
        outline: a sound one, see `coco_json.outline_fault`; an empty list is no object.
        size: (height, width) of the picture in pixels.

    Returns:
        bool (height, width), True inside the object.
    """
    if isinstance(outline, Mapping):
        counts = outline["counts"]
        lengths = coco_json.run_lengths(counts) if isinstance(counts, str) else counts
        return _from_runs(lengths, size)
    filled = np.zeros(size, bool)
    for polygon in outline:
        filled |= _from_polygon(np.asarray(polygon, np.float64).reshape(-1, 2), size)
    return filled


def paint(
    masks: Sequence[np.ndarray],
    classes: Sequence[int],
    *,
    is_crowd: Sequence[bool],
    size: tuple[int, int],
) -> np.ndarray:
    """Paint the objects of a picture over each other, the smallest last.

    So what lies on or in another object is seen: a cup on a table. Crowds, which are
    roughly outlined, are painted before all others.

    Args:
        masks: bool (height, width), of each object.
        classes: of each, in [1, 254].
        is_crowd: of each.
        size: (height, width) of the picture in pixels.

    Returns:
        uint8 (height, width), the class of the topmost object, 0 for background.
    """
    semantic_map = np.zeros(size, np.uint8)
    areas = [-np.count_nonzero(one) for one in masks]
    order = np.lexsort((areas, ~np.asarray(is_crowd, bool)))
    for index in order:  # of equal areas the last of the file stays
        semantic_map[masks[index]] = classes[index]
    return semantic_map


def _from_runs(lengths: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Repeat runs by turns outside and inside, column by column."""
    height, width = size
    is_inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(is_inside, lengths).reshape(width, height).T


def _from_polygon(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Fill a polygon by the parity of the boundaries above each pixel.

    Args:
        points: float64 (points, 2), x and y.
        size: (height, width) of the picture in pixels.
    """
    height = size[0]
    filled = np.zeros(size, bool)
    columns, rows = _crossings(*_boundary(points), size)
    if not len(columns):
        return filled
    # A boundary turns all pixels after it in column order, into the next column too,
    # where an even number of boundaries has turned them back.
    first, end = columns.min(), columns.max() + 1
    places = (columns - first) * height + rows
    turns = np.bincount(places, minlength=(end - first) * height + 1)[:-1]
    is_inside = np.cumsum(turns) % 2 == 1
    filled[:, first:end] = is_inside.reshape(-1, height).T
    return filled


def _boundary(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Walk along a closed polygon on the fine grid.

    Each edge is walked step by step along its longer side, both ends included. The
    arithmetic is that of the COCO API, which rounds halves towards the edge's lower
    end, and negative numbers towards zero.

    Returns:
        int64 (steps,) twice, x and y in fifths of a pixel.
    """
    starts = _truncated(points * _FINE + 0.5)
    ends = np.roll(starts, -1, axis=0)
    lengths = np.abs(ends - starts)
    is_flat = lengths[:, 0] >= lengths[:, 1]
    axis = np.where(is_flat, 0, 1)[:, None]  # along which steps are of one
    first, last = (np.take_along_axis(p, axis, 1)[:, 0] for p in (starts, ends))
    other, other_last = (
        np.take_along_axis(p, 1 - axis, 1)[:, 0] for p in (starts, ends)
    )
    is_back = first > last
    low, other_low = np.minimum(first, last), np.where(is_back, other_last, other)
    other_high = np.where(is_back, other, other_last)
    count = np.abs(last - first)
    slope = (other_high - other_low) / np.maximum(count, 1)

    edge = np.repeat(np.arange(len(points)), count + 1)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(count + 1) - count - 1, count + 1)
    step = np.where(is_back[edge], count[edge] - step, step)
    along = low[edge] + step
    across = _truncated(other_low[edge] + slope[edge] * step + 0.5)
    is_flat = is_flat[edge]
    return np.where(is_flat, along, across), np.where(is_flat, across, along)


def _crossings(
    x: np.ndarray, y: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Find where a boundary crosses the middle of a column of pixels.

    Returns:
        int64 (crossings,) twice: the column in [0, width), and the first row below the
        boundary, in [0, height].
    """
    height, width = size
    is_step = x[1:] != x[:-1]
    column = (np.minimum(x[1:], x[:-1])[is_step] + 0.5) / _FINE - 0.5
    row = (np.minimum(y[1:], y[:-1])[is_step] + 0.5) / _FINE - 0.5
    is_middle = (column == np.floor(column)) & (column >= 0) & (column <= width - 1)
    rows = np.ceil(np.clip(row[is_middle], 0, height))
    return column[is_middle].astype(np.int64), rows.astype(np.int64)


def _truncated(values: np.ndarray) -> np.ndarray:
    return np.trunc(values).astype(np.int64)
