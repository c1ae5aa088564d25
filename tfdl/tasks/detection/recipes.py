"""What happens to a training picture and its boxes, by name."""

import functools
from collections.abc import Callable

from tfdl.data import augment, pipeline
from tfdl.tasks.detection import data

AUGMENTATIONS = ("none", "flips", "photos", "any_way_up", "ssd")
# How pictures are joined: in a mosaic of four, then with a partner.
MIXES = {
    "none": (None, None),
    "mixup": (None, functools.partial(augment.mixup, alpha=8.0)),
    "mosaic": (augment.mosaic, None),
    "mosaic_mixup": (augment.mosaic, functools.partial(augment.mixup, alpha=8.0)),
}
_PICTURES = {"none": 1, "mixup": 2, "mosaic": 4, "mosaic_mixup": 8}  # seen in one
_FILL = round(255 * data.GREY)


def recipe(
    augmentation: str,
    mix: str,
    *,
    image_size: int,
    max_objects: int,
    feed: Callable,
) -> pipeline.Recipe:
    """Build the recipe of a training.

    Args:
        augmentation: "none"; "flips", left to right; "photos", these, scale jitter,
            shifts and colour; "any_way_up", as for pictures from above or through a
            microscope, upside down as well, and nearly of one scale; "ssd", zooming
            out, crops that overlap with an object, flips and colour [Liu 2016, 2.2 and
            3.6].
        mix: a key of `MIXES`; MixUp is that of Zhang et al., "Bag of Freebies", 2019,
            with shares near one half.
        image_size: side of the model's input, in pixels.
        max_objects: most objects of a picture of the data; one that is made of several
            has room for those of all.
        feed: as of `detector.Detector`.
    """
    zoom = functools.partial(augment.scale, fill=_FILL, antialias=False)
    flips = [augment.flip_horizontal, augment.flip_vertical]
    augmentations = {
        "none": [],
        "flips": [augment.flip_horizontal],
        "photos": [
            augment.colour,
            augment.flip_horizontal,
            functools.partial(zoom, factors=(0.6, 1.5)),
            functools.partial(augment.shift, fill=_FILL),
        ],
        "any_way_up": [
            augment.colour,
            *flips,
            functools.partial(zoom, factors=(0.75, 1.33)),
        ],
        "ssd": [
            augment.colour,
            functools.partial(zoom, factors=(0.5, 1.0)),
            augment.iou_crop,
            augment.flip_horizontal,
        ],
    }
    mosaic, partner = MIXES[mix]
    room = max_objects * _PICTURES[mix]
    return pipeline.Recipe(
        prepare=data.preparation(image_size, max_objects=max_objects),
        augmentations=augmentations[augmentation],
        mosaic=mosaic,
        mix=partner,
        feed=functools.partial(_fed, feed=feed, max_objects=room),
    )


def _fed(batch, *, feed, max_objects):
    """Turn a batch of examples into what Keras's `train_step` takes."""
    names = [name for name in data.FILLINGS if name in batch]
    named = {name: batch[name] for name in names}
    objects = data.together(named, max_objects=max_objects)
    return feed(batch["image"], objects)
