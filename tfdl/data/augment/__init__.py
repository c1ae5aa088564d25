"""Random changes of samples: stateless functions, listed in a recipe.

An augmentation is `function(sample, *, seed, **parameters) -> sample`: `seed` is an
int32 (2,) tensor, the same seed gives the same result, and what a sample knows of its
picture ("boxes", "labels", "masks", "semantic") follows the picture. A recipe is a
list of such functions, their parameters bound by `functools.partial`.
"""

from tfdl.data.augment.class_crop import class_crop as class_crop
from tfdl.data.augment.colours import colour as colour, random_grey as random_grey
from tfdl.data.augment.elastic import elastic as elastic
from tfdl.data.augment.geometry import (
    flip_horizontal as flip_horizontal,
    flip_vertical as flip_vertical,
    random_crop as random_crop,
    random_resized_crop as random_resized_crop,
    scale as scale,
    shift as shift,
)
from tfdl.data.augment.iou_crop import iou_crop as iou_crop
from tfdl.data.augment.mixing import cutmix as cutmix, mixup as mixup
from tfdl.data.augment.mosaic import mosaic as mosaic
from tfdl.data.augment.occlusion import erasing as erasing
from tfdl.data.augment.randaugment import rand_augment as rand_augment
from tfdl.data.augment.recipe import Augmentation as Augmentation, apply as apply
from tfdl.data.augment.warps import affine as affine, rotate as rotate
from tfdl.data.augment.zooming import scaled_crop as scaled_crop
