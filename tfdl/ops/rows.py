"""How are some rows of every picture picked out?"""

import keras
from keras import ops


def take(values: keras.KerasTensor, places: keras.KerasTensor) -> keras.KerasTensor:
    """Pick rows of each picture by their places.

    Keras's `take_along_axis` copies the places for every value of a row.

    Args:
        values: (batch, rows, ...).
        places: int32 (batch, picked), in [0, rows).

    Returns:
        (batch, picked, ...).
    """
    batch, length = ops.shape(values)[:2]
    starts = ops.arange(batch)[:, None] * length
    flat = ops.reshape(values, [-1, *values.shape[2:]])
    return ops.take(flat, places + starts, axis=0)
