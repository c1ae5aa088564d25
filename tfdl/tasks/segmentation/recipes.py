"""What happens to a training picture and its label map, by name."""

import functools
from collections.abc import Callable

import numpy as np

from tfdl.data import augment, pipeline
from tfdl.tasks.segmentation import data

AUGMENTATIONS = ("none", "flips", "photos", "any_way_up", "elastic")
RARE = "rare_classes"
CROPS = ("random", RARE)
_FILL = round(255 * data.GREY)
_FACTORS = {"photos": (0.5, 2.0), "any_way_up": (0.75, 1.33)}  # of the zoom


def recipe(
    augmentation: str,
    crop: str,
    *,
    image_size: int,
    frequencies: np.ndarray | None,
    targets: Callable,
) -> pipeline.Recipe:
    """Build the recipe of a training.

    Args:
        augmentation: "none", only the crop; "flips", left to right; "photos", these,
            colour, and zooms between a half and twice [Chen 2017, Rethinking Atrous
            Convolution, 4.1]; "any_way_up", as for pictures from above or through a
            microscope, upside down as well, and nearly of one scale; "elastic", for
            cells and tissue, also upside down, with grey values that vary and smooth
            deformations [Ronneberger 2015, 3.1].
        crop: where a window of `image_size` is cut out: "random", anywhere;
            "rare_classes", around a pixel of a class that is drawn more often the rarer
            it is.
        image_size: side of the window, in pixels.
        frequencies: float64 (classes,), of `data.class_frequencies`, which
            "rare_classes" needs.
        targets: uint8 labels (batch, image_size, image_size) -> what the model's losses
            take.
    """
    cut = {
        "random": augment.scaled_crop,
        RARE: functools.partial(augment.class_crop, frequencies=frequencies),
    }
    window = functools.partial(
        cut[crop],
        size=image_size,
        factors=_FACTORS.get(augmentation, (1.0, 1.0)),
        fill=_FILL,
        antialias=False,
    )
    flips = [augment.flip_horizontal, augment.flip_vertical]
    grey = functools.partial(augment.colour, saturation=0.0, hue=0.0)
    augmentations = {
        "none": [window],
        "flips": [window, augment.flip_horizontal],
        "photos": [window, augment.colour, augment.flip_horizontal],
        "any_way_up": [window, augment.colour, *flips],
        # Bent first: what comes in from beyond the picture is then seldom in a window.
        "elastic": [
            functools.partial(augment.elastic, fill=_FILL),
            window,
            grey,
            *flips,
        ],
    }
    return pipeline.Recipe(
        prepare=data.preparation(image_size),
        augmentations=augmentations[augmentation],
        feed=functools.partial(_feed, targets=targets),
    )


def _feed(batch, *, targets):
    """Turn a batch of examples into what Keras's `train_step` takes."""
    return batch["image"], targets(batch["semantic"])
