"""What becomes of an example's objects when its picture is blended, cut or moved?

The objects of an example are "boxes", float32 (objects, 4), pixels, and of "labels",
int32 (objects,), "masks", (objects, height, width), and "weights", float32 (objects,),
what is there.
"""

import tensorflow as tf

from tfdl.ops import boxes

Objects = dict[str, tf.Tensor]

_PADDING_LABEL = -1


def weighted(example: dict[str, tf.Tensor], share: tf.Tensor | float) -> Objects:
    """Take an example's objects, their weights (1 without) multiplied by its share."""
    names = ("boxes", "labels", "masks")
    objects = {name: example[name] for name in names if name in example}
    weights = example.get("weights", tf.ones(tf.shape(example["boxes"])[:1]))
    return objects | {"weights": share * weights}


def joined(*parts: Objects) -> Objects:
    """Join the objects of several examples, which know the same of them."""
    return {
        name: tf.concat([part[name] for part in parts], axis=0) for name in parts[0]
    }


def inside(objects: Objects, rectangle: tf.Tensor, min_visibility: float) -> Objects:
    """Cut boxes to a rectangle through which alone they are seen.

    Args:
        objects: with "weights".
        rectangle: float32 (4,), x_min, y_min, x_max, y_max in pixels.
        min_visibility: as of `seen_only`.
    """
    low = tf.maximum(objects["boxes"][:, :2], rectangle[:2])
    high = tf.minimum(objects["boxes"][:, 2:], rectangle[2:])
    cut = tf.concat([low, high], axis=-1)
    return seen_only(objects, cut, boxes.area(cut), min_visibility)


def seen_only(
    objects: Objects, cut: tf.Tensor, seen: tf.Tensor, min_visibility: float
) -> Objects:
    """Take over cut boxes, and turn objects that are hardly seen into padding.

    Padding keeps the number of objects: weight 0, label -1, a box of zeros.

    Args:
        objects: with "weights" and the whole boxes.
        cut: float32 (objects, 4), what is left of the boxes.
        seen: float32 (objects,), the area of each that is seen.
        min_visibility: share of a box's area that must be seen.
    """
    kept = (seen >= min_visibility * boxes.area(objects["boxes"])) & (seen > 0)
    visible = objects | {
        "boxes": tf.where(kept[:, None], cut, 0.0),
        "weights": tf.where(kept, objects["weights"], 0.0),
    }
    if "labels" in objects:
        visible["labels"] = tf.where(kept, objects["labels"], _PADDING_LABEL)
    return visible
