"""Which object has a place of a grid to itself, and what is predicted there?

A place is a number along the axis of candidates (or of cells) of a network's outputs.
Where a detector learns one object per place, as YOLO's first three versions do, work is
per object, (batch, objects), instead of per candidate.
"""

import keras
from keras import ops

from tfdl.ops import boxes as boxes_of


def owners(
    places: keras.KerasTensor, boxes: keras.KerasTensor, weights: keras.KerasTensor
) -> keras.KerasTensor:
    """Take the weight of every object but the largest at its place.

    Args:
        places: int32 (batch, objects), where each would be predicted.
        boxes: float32 (batch, objects, 4), pixels; of equal areas the last stays.
        weights: float32 (batch, objects), 0 for padding, which owns nothing.

    Returns:
        float32 (batch, objects), the weights of those that stay, else 0.
    """
    areas = boxes_of.area(boxes)
    order = ops.arange(ops.shape(areas)[1], dtype="int32")
    is_larger = areas[:, None, :] > areas[:, :, None]
    is_later = ops.logical_and(
        areas[:, None, :] == areas[:, :, None], order[None, :] > order[:, None]
    )
    is_rival = ops.logical_and(
        places[:, None, :] == places[:, :, None], weights[:, None, :] > 0
    )
    is_beaten = ops.logical_and(is_rival, ops.logical_or(is_larger, is_later))
    return ops.where(ops.any(is_beaten, axis=2), 0.0, weights)


def spread(
    weights: keras.KerasTensor, places: keras.KerasTensor, num_places: int
) -> keras.KerasTensor:
    """Write each object's weight at its place.

    Args:
        weights: float32 (batch, objects), of `owners`: no two at the same place.
        places: int32 (batch, objects), in [0, num_places).
        num_places: of a picture.

    Returns:
        float32 (batch, num_places), 0 where no object is.
    """
    batch_size = ops.shape(places)[0]
    starts = num_places * ops.arange(batch_size, dtype="int32")[:, None]
    dense = ops.scatter(
        ops.reshape(places + starts, (-1, 1)),
        ops.reshape(weights, (-1,)),
        (batch_size * num_places,),
    )
    return ops.reshape(dense, (-1, num_places))


def predicted(
    values: keras.KerasTensor, places: keras.KerasTensor
) -> keras.KerasTensor:
    """Look up what a network says at each object's place.

    Args:
        values: float32 (batch, num_places, ...).
        places: int32 (batch, objects), in [0, num_places).

    Returns:
        float32 (batch, objects, ...).
    """
    for _ in values.shape[2:]:
        places = places[..., None]
    return ops.take_along_axis(values, places, axis=1)
