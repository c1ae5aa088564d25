"""In which order, and with which randomness, are augmentations applied?"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfdl.data.sources import source

Augmentation = Callable[..., source.Sample]  # (sample, *, seed) -> sample


def apply(
    recipe: Sequence[Augmentation], sample: source.Sample, *, seed: tf.Tensor
) -> source.Sample:
    """Apply the augmentations of a recipe, each with a seed of its own.

    Args:
        recipe: functions (sample, *, seed) -> sample, such as
            `[functools.partial(random_crop, padding=4), flip_horizontal]`.
        sample: dict with "image", uint8 (height, width, channels), and the
            annotations that its source knows.
        seed: int (2,), of the whole recipe; the seeds of its functions are folded
            from it and from their places in the list.

    Returns:
        A dict with the same keys and dtypes.
    """
    for place, augmentation in enumerate(recipe):
        own_seed = tf.random.experimental.stateless_fold_in(seed, place)
        sample = augmentation(sample, seed=own_seed)
    return sample
