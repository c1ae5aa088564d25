"""Which anchor is responsible for which object?"""

from collections.abc import Mapping

import keras
from keras import ops

from tfdl.ops import boxes as boxes_of, rows


def match(
    iou: keras.KerasTensor,
    weights: keras.KerasTensor,
    *,
    positive: float,
    negative: float,
    one_for_each: bool = True,
) -> dict[str, keras.KerasTensor]:
    """Match anchors to objects by their overlap.

    An anchor whose best overlap is at least `positive` belongs to that object, and one
    below `negative` to the background; those between are ignored. Before that, with
    `one_for_each`, every object takes an anchor of its own (`take_one_each`).

    SSD [Liu 2016, 2.2] is positive=0.5, negative=0.5; RetinaNet [Lin 2017, 4] is 0.5
    and 0.4, Faster R-CNN's proposals [Ren 2015, 3.1.2] are 0.7 and 0.3.

    Args:
        iou: float32 (objects, anchors) in [0, 1], with at least one object.
        weights: float32 (objects,), 0 for padding, which is never matched.
        positive: in (0, 1].
        negative: at most `positive`.
        one_for_each: whether an object that overlaps no anchor well has one all the
            same; without, small objects may have none.

    Returns:
        {"objects": int32 (anchors,), index of the object with the best overlap, or of
        the one that took the anchor; without meaning unless positive,
        "is_positive": bool (anchors,),
        "is_negative": bool (anchors,)}.
    """
    iou = ops.where(ops.expand_dims(weights, -1) > 0, iou, 0.0)
    best = ops.max(iou, axis=0)
    objects = ops.cast(ops.argmax(iou, axis=0), "int32")
    is_positive = best >= positive
    if one_for_each:
        owners = take_one_each(iou)
        objects = ops.where(owners >= 0, owners, objects)
        is_positive = ops.logical_or(is_positive, owners >= 0)
    is_negative = ops.logical_and(best < negative, ops.logical_not(is_positive))
    return {
        "objects": objects,
        "is_positive": is_positive,
        "is_negative": is_negative,
    }


def take_one_each(iou: keras.KerasTensor) -> keras.KerasTensor:
    """Let every object take one anchor, the pair that overlaps most first.

    The greedy bipartite matching of SSD's authors: the best pair of all is matched and
    leaves, then the best of the rest, and so on. Since both sides prefer by the same
    number, that is the stable matching, which a few rounds find: every object asks for
    its best anchor, and whoever is beaten there asks for the next one.

    Args:
        iou: float32 (objects, anchors) in [0, 1].

    Returns:
        int32 (anchors,), index of the object that took the anchor, or -1; an object
        without any overlap takes none.
    """
    num_objects, num_anchors = ops.shape(iou)
    numbers = ops.arange(num_objects, dtype="int32")
    # The others can take all but one of so many; behind them there is nothing.
    overlaps, choices = (
        ops.pad(some, [[0, 0], [0, 1]])
        for some in ops.top_k(iou, ops.minimum(num_objects, num_anchors))
    )

    def asked(places):
        overlap, anchor = (
            rows.take(some, places[:, None])[:, 0] for some in (overlaps, choices)
        )
        # Who overlaps nothing asks for an anchor behind the last.
        return overlap, ops.where(overlap > 0, ops.cast(anchor, "int32"), num_anchors)

    def ask_on(places, is_beaten):
        places = places + ops.cast(is_beaten, "int32")
        return places, _find_beaten(*asked(places))

    start = ops.zeros_like(numbers)
    places, _ = ops.while_loop(
        lambda _, is_beaten: ops.any(is_beaten),
        ask_on,
        (start, _find_beaten(*asked(start))),
    )
    nobody = ops.full((num_anchors + 1,), -1, dtype="int32")
    _, anchor = asked(places)
    return ops.scatter_update(nobody, anchor[:, None], numbers)[:num_anchors]


def match_boxes(
    objects: Mapping[str, keras.KerasTensor],
    anchors: keras.KerasTensor,
    **options,
) -> dict[str, keras.KerasTensor]:
    """Match the same anchors to the objects of every picture of a batch.

    One picture after the other: 500 objects times 80,000 anchors are 160 MB for each.

    Args:
        objects: {"boxes": float32 (batch, objects, 4), pixels, "weights": float32
            (batch, objects), 0 for padding}.
        anchors: float32 (anchors, 4), pixels.
        **options: positive, negative and one_for_each of `match`.

    Returns:
        As `match`, each (batch, anchors).
    """
    anchors = ops.convert_to_tensor(anchors, "float32")

    def match_picture(picture):
        boxes, weights = picture
        return match(boxes_of.iou(boxes, anchors), weights, **options)

    return ops.map(match_picture, (objects["boxes"], objects["weights"]))


def _find_beaten(overlap, anchor):
    """Tell who asks for the anchor of one that overlaps it more, or comes before."""
    numbers = ops.arange(ops.shape(overlap)[0])
    is_before = numbers[:, None] > numbers[None, :]  # the second of the two
    mine, theirs = overlap[:, None], overlap[None, :]
    is_better = ops.logical_or(
        theirs > mine, ops.logical_and(theirs == mine, is_before)
    )
    is_rival = anchor[:, None] == anchor[None, :]
    is_beaten = ops.any(ops.logical_and(is_rival, is_better), axis=1)
    return ops.logical_and(is_beaten, overlap > 0)
