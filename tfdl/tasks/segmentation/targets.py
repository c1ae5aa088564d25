"""Label maps -> what the losses take: the maps, and perhaps a weight of each pixel."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfdl.data.sources import semantic
from tfdl.tasks.segmentation import weight_maps

_ALIKE = np.ones(semantic.NUM_VALUES, np.float32)


def plain(labels: tf.Tensor) -> dict[str, tf.Tensor]:
    """Leave label maps, uint8 (batch, height, width), as they are: {"labels"}."""
    return {"labels": labels}


def with_borders(border_weight: float) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Build the function that weighs pixels as U-Net does [Ronneberger 2015, eq. 2].

    Deviation: the weight of a class, if there is one, multiplies that of its pixels in
    the loss, so that losses of overlap can tell the two apart; the paper adds them.

    Args:
        border_weight: w0, positive.

    Returns:
        labels, uint8 (batch, height, width) -> {"labels", "weights": float32 of the
        same shape, 0 where it is ignored}; in graphs.
    """

    def weights(label_map: tf.Tensor) -> tf.Tensor:
        return weight_maps.unet(
            label_map, class_weights=_ALIKE, border_weight=border_weight
        )

    def weigh(labels: tf.Tensor) -> dict[str, tf.Tensor]:
        maps = tf.map_fn(weights, labels, fn_output_signature=tf.float32)
        return {"labels": labels, "weights": tf.ensure_shape(maps, labels.shape)}

    return weigh
