"""What happens to a training picture, by name."""

import functools

from tfdl.data import augment, pipeline
from tfdl.tasks.classification import data

AUGMENTATIONS = ("none", "digits", "small", "strong", "photos")
# How pictures are joined: in a mosaic of four, then with a partner.
MIXES = {
    "none": (None, None),
    "mixup": (None, augment.mixup),
    "cutmix": (None, augment.cutmix),
    "mosaic": (augment.mosaic, None),
    "mosaic_mixup": (augment.mosaic, augment.mixup),
}


def recipe(
    augmentation: str,
    mix: str,
    *,
    image_size: int,
    channels: int,
    num_classes: int,
    sampling: str,
) -> pipeline.Recipe:
    """Build the recipe of a training.

    Args:
        augmentation: "none"; "digits", small shifts, turns and scales; "small", flips
            and crops after padding by 4 pixels [He 2016, 4.2]; "strong", these and
            RandAugment and erasing; "photos", crops of random size and aspect, flips
            and colour [Szegedy 2015].
        mix: a key of `MIXES`.
        image_size: of the result, in pixels.
        channels: of the result.
        num_classes: length of a target.
        sampling: "uniform" or "balanced".
    """
    small = [augment.flip_horizontal, functools.partial(augment.random_crop, padding=4)]
    crop = functools.partial(augment.random_resized_crop, size=image_size)
    augmentations = {
        "none": [],
        "digits": [augment.affine],
        "small": small,
        "strong": [*small, augment.rand_augment, augment.erasing],
        "photos": [crop, augment.flip_horizontal, augment.colour],
    }
    mosaic, partner = MIXES[mix]
    return pipeline.Recipe(
        prepare=data.preparation(image_size, channels, num_classes=num_classes),
        augmentations=augmentations[augmentation],
        mosaic=mosaic,
        mix=partner,
        sampling=sampling,
        feed=data.inputs_and_targets,
    )
