"""Predicts pictures of any size in tiles that overlap, in the graph, in little memory.

A network that sees a picture whole needs memory in proportion to it. Here it sees one
tile at a time [Ronneberger 2015, figure 2]. Where two tiles overlap, the one fades out
as the other fades in, and the quarter of the overlap next to a tile's own edge counts
for nothing: there the tile lacked its surroundings. So, away from the picture's edges,
the tiled answer equals the whole one if the network sees no farther than that quarter,
and if tiles begin where its strides do: the last ends with the picture, and is longer
for that.
"""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from tfdl import errors

Infer = Callable[[tf.Tensor], tf.Tensor]
Piece = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # start, size -> lines

_LARGEST_STRIDE = 32  # of the networks' maps


def check(tile_size: int, overlap: int) -> None:
    """Refuse tiles that could not be laid.

    Raises:
        UsageError: the tile has no pixel, or the overlap is no multiple of 4, negative,
            or over half of the tile.
    """
    if tile_size < 1:
        raise errors.UsageError(
            f"--tile-size must be at least 1. Received --tile-size {tile_size}",
            "512 fits into the memory of most machines",
        )
    if overlap % 4 or not 0 <= overlap <= tile_size // 2:
        raise errors.UsageError(
            f"--overlap must be a multiple of 4 up to half of --tile-size {tile_size}. "
            f"Received --overlap {overlap}",
            f"{tile_size // 4 // 4 * 4} is a quarter of the tile",
        )


def blended(
    infer: Infer,
    images: tf.Tensor,
    *,
    num_classes: int,
    tile_size: int,
    overlap: int,
) -> tf.Tensor:
    """Predict pictures tile by tile, and blend the tiles.

    Args:
        infer: float32 (batch, rows, columns, channels) -> float32 (batch, rows,
            columns, classes), for any rows and columns.
        images: float32 (batch, height, width, channels), of any size.
        num_classes: of what is predicted.
        tile_size: rows and columns of a tile, pixels; less where the picture is
            smaller, up to 31 more at its far edges.
        overlap: of neighbouring tiles at least, pixels, see `check`. The two differ by
            a multiple of 32 best, so that all tiles fit the networks' strides.

    Returns:
        float32 (batch, height, width, classes).
    """
    kept = _Kept(tf.identity, tf.float32, [num_classes])
    return _tiled(infer, images, kept, num_classes, tile_size, overlap)


def label_maps(
    infer: Infer,
    images: tf.Tensor,
    *,
    num_classes: int,
    tile_size: int,
    overlap: int,
) -> tf.Tensor:
    """Find the largest class of each pixel, with one strip of tiles in memory at once.

    The arguments are those of `blended`.

    Returns:
        uint8 (batch, height, width).
    """

    def largest(values: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.argmax(values, axis=-1), tf.float32)

    kept = _Kept(largest, tf.float32, [])
    found = _tiled(infer, images, kept, num_classes, tile_size, overlap)
    # Not before, nor by a cast, which would be moved ahead: oneDNN complains on older
    # processors where anything but floats is transposed.
    return tf.saturate_cast(found, tf.uint8)


@dataclasses.dataclass(frozen=True)
class _Kept:
    """What is kept of blended values: a function of them, its dtype and last axes."""

    finish: Infer
    dtype: tf.DType
    last_axes: list[int]


def _tiled(infer, images, kept: _Kept, num_classes: int, tile_size: int, overlap: int):
    batch, height, width = tf.unstack(tf.shape(images)[:3])
    laying = {"tile_size": tile_size, "overlap": overlap}
    all_of_it = _Kept(tf.identity, tf.float32, [num_classes])

    def strip(top: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
        rows = images[:, top : top + high]

        def tile(left: tf.Tensor, wide: tf.Tensor) -> tf.Tensor:
            predicted = infer(rows[:, :, left : left + wide])
            return tf.transpose(predicted, [2, 0, 1, 3])  # (columns, batch, rows, ...)

        nothing = tf.zeros([0, batch, high, num_classes])
        whole = _stitched(tile, nothing, width, all_of_it, **laying)
        return tf.transpose(whole, [2, 1, 0, 3])  # (rows, batch, width, classes)

    nothing = tf.zeros([0, batch, width, num_classes])
    stitched = _stitched(strip, nothing, height, kept, **laying)
    return tf.transpose(stitched, [1, 0, *range(2, 3 + len(kept.last_axes))])


def _stitched(
    piece: Piece,
    nothing: tf.Tensor,
    length: tf.Tensor,
    kept: _Kept,
    *,
    tile_size: int,
    overlap: int,
) -> tf.Tensor:
    """Lay pieces along their first axis, blended where they overlap.

    Args:
        piece: start and size, int32 () -> float32 (size, ...).
        nothing: float32 (0, ...), a piece without lines.
        length: int32 (), of the whole.
        kept: of lines that no later piece touches.
        tile_size: of a piece, but for the last.
        overlap: of pieces, at least.

    Returns:
        (length, ...) of what is kept.
    """
    stride = tile_size - overlap
    grid = math.gcd(stride, _LARGEST_STRIDE)
    last = tf.maximum(length - tile_size, 0) // grid * grid
    count = 1 + (last + stride - 1) // stride

    def add(number, sums, weights, done):
        """Add a piece to the lines that are open, and close those that are whole."""
        start, following = (tf.minimum(n * stride, last) for n in (number, number + 1))
        is_last = number == count - 1
        size = tf.where(is_last, length - start, tile_size)
        closed = tf.where(is_last, size, following - start)
        weight = _weights(start, size, length, overlap=overlap)
        sums = _longer(sums, piece(start, size) * _spread(weight))
        weights = _longer(weights, weight)
        mean = sums[:closed] / _spread(weights[:closed])
        done = done.write(number, kept.finish(mean))
        return number + 1, sums[closed:], weights[closed:], done

    loose = tf.TensorShape([None, None, None, nothing.shape[-1]])
    done = tf.TensorArray(
        kept.dtype,
        size=count,
        infer_shape=False,
        element_shape=[None, None, None, *kept.last_axes],
    )
    *_, done = tf.while_loop(
        lambda number, *_: number < count,
        add,
        (tf.zeros([], tf.int32), nothing, tf.zeros([0]), done),
        shape_invariants=(
            tf.TensorShape([]),
            loose,
            tf.TensorShape([None]),
            tf.TensorShape(None),
        ),
        parallel_iterations=1,  # one tile in memory
    )
    return done.concat()


def _weights(start, size, length, *, overlap: int) -> tf.Tensor:
    """Weigh the lines of a piece: 1, but where a neighbour takes over -> (size,)."""
    lines = tf.range(size, dtype=tf.float32) + 0.5
    margin, ramp = overlap / 4, max(overlap / 2, 1)
    rise = tf.clip_by_value((lines - margin) / ramp, 0, 1)
    fall = tf.clip_by_value((tf.cast(size, tf.float32) - lines - margin) / ramp, 0, 1)
    rise = tf.where(start > 0, rise, 1.0)
    return rise * tf.where(start + size < length, fall, 1.0)


def _longer(open_lines: tf.Tensor, more: tf.Tensor) -> tf.Tensor:
    """Add lines to those that are open already, which are fewer."""
    count = tf.shape(open_lines)[0]
    return tf.concat([open_lines + more[:count], more[count:]], axis=0)


def _spread(weights: tf.Tensor) -> tf.Tensor:
    """Shape the weights of lines as those of (lines, batch, pixels, classes)."""
    return weights[:, None, None, None]
