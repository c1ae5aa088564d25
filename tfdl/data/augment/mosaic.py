"""How do four prepared examples share one picture?"""

import numpy as np
import tensorflow as tf

from tfdl.data.augment import annotations, arguments, mixing, objects


def mosaic(
    example: mixing.Example,
    top_right: mixing.Example,
    bottom_left: mixing.Example,
    bottom_right: mixing.Example,
    *,
    seed: tf.Tensor,
    centres: tuple[float, float] = (0.25, 0.75),
    min_visibility: float = 0.1,
) -> mixing.Example:
    """Lay four pictures side by side and cut a window around where they meet.

    The mosaic of YOLOv4 [Bochkovskiy 2020, 3.3] in keras-cv's form: pictures keep their
    scale, so that of each the corner is seen that faces the others. The point where
    they meet is uniform within `centres`, in whole pixels. "classes" are mixed by the
    area of each picture.

    Boxes are cut to what is seen. To keep the number of objects fixed, one of which too
    little is seen becomes padding: weight 0, label -1, a box of zeros.

    Args:
        example: the top left one; see the docstring of `mixing`.
        top_right: the same keys, shapes and dtypes; its number of objects is free.
        bottom_left: likewise.
        bottom_right: likewise.
        seed: int32 (2,).
        centres: smallest and largest place of the meeting point, as a share of the
            sides, in [0, 1].
        min_visibility: share of its area that a box must keep.

    Returns:
        A dict like `example`, with "weights" if it has boxes, and as many objects as
        all four together.

    Raises:
        UsageError: a parameter is out of range.
    """
    for share in centres:
        arguments.check_rate("centres", share)
    arguments.check_rate("min_visibility", min_visibility)
    four = (example, top_right, bottom_left, bottom_right)
    size = annotations.size_of(example["image"])
    places = tf.random.stateless_uniform([2], seed, *centres)
    centre = tf.cast(tf.round(places * tf.cast(size, tf.float32)), tf.int32)
    mixed = dict(example)
    for name in ("image", "semantic"):
        if name in example:
            mixed[name] = _laid([each[name] for each in four], size - centre)
    if "classes" in example:
        classes = tf.stack([each["classes"] for each in four])
        mixed["classes"] = tf.linalg.matvec(classes, _areas(centre, size), True)
    if "boxes" in example:
        parts = [
            _moved(each, behind, centre, size, min_visibility)
            for each, behind in zip(four, _BEHIND, strict=True)
        ]
        mixed |= objects.joined(*parts)
    return mixed


# Whether each picture is behind the centre: in rows, in columns.
_BEHIND = ((0, 0), (0, 1), (1, 0), (1, 1))


def _laid(planes, rest):
    """Lay what is seen of four pictures, (height, width, ...), side by side."""
    parts = [
        _seen(each, behind, rest) for each, behind in zip(planes, _BEHIND, strict=True)
    ]
    rows = [tf.concat(parts[:2], axis=1), tf.concat(parts[2:], axis=1)]
    return tf.ensure_shape(tf.concat(rows, axis=0), planes[0].shape)


def _seen(planes, behind, rest, *, first_axis=0):
    """Cut out what is seen of a picture.

    Before the centre a picture shows its end, which starts at `rest`, int32 (2,);
    behind it its beginning, of the length `rest`.
    """
    other_axes = [first_axis, planes.shape.rank - first_axis - 2]
    rest, behind = tf.pad(rest, [other_axes]), np.pad(np.int32(behind), other_axes)
    whole = -1  # the size that means "all that is left" to tf.slice
    size = rest * behind + whole * (1 - behind)
    return tf.slice(planes, rest * (1 - behind), size)


def _areas(centre, size):
    """Compute the share of each picture in the window, float32 (4,)."""
    share = tf.cast(centre / size, tf.float32)
    down, across = tf.unstack(tf.stack([share, 1 - share], axis=1))
    return tf.reshape(down[:, None] * across, [4])


def _moved(example, behind, centre, size, min_visibility):
    """Move the objects of one picture, and cut them to its part of the window."""
    own = objects.weighted(example, 1.0)
    shift = centre - (1 - np.int32(behind)) * size
    own["boxes"] += tf.cast(tf.tile(shift[::-1], [2]), tf.float32)
    first, behind_last = behind * centre, tf.where(np.bool_(behind), size, centre)
    if "masks" in own:
        seen = _seen(own["masks"], behind, size - centre, first_axis=1)
        margins = tf.stack([first, size - behind_last], axis=1)
        padded = tf.pad(seen, tf.pad(margins, [[1, 0], [0, 0]]))
        own["masks"] = tf.ensure_shape(padded, own["masks"].shape)
    corners = tf.concat([first[::-1], behind_last[::-1]], axis=0)
    return objects.inside(own, tf.cast(corners, tf.float32), min_visibility)
