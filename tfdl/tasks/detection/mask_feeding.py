"""Splits with masks, fed to training, to a check and to evaluation."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

from tfdl.data import pipeline, splits
from tfdl.tasks.detection import data, feeding, mask_data, recipes


def read(
    reading: Mapping,
    *,
    cache_bytes: int,
    class_names: Sequence[str] | None = None,
    augmentation: str,
    feed: Callable[[int], Callable],
    batch_size: int,
    seed: int,
) -> "Splits":
    """Open a data set, and say what happens to its pictures.

    Args:
        reading: arguments of `mask_data.read`.
        cache_bytes: as of `feeding.read`, and so are the others; masks are not kept.
        class_names: those of a run that the data must have, or None.
        augmentation: as in `recipes.recipe`.
        feed: number of classes -> `feed` of the `detector.Detector`.
        batch_size: pictures in the global batch.
        seed: of order and augmentation.

    Raises:
        As `mask_data.read`.
    """
    sources = mask_data.read(**reading)
    train = sources["train"]
    splits.refuse_other_classes(train.class_names, class_names)
    most = max(
        data.most_objects(sources[split].objects) for split in ("train", "validation")
    )
    recipe = recipes.recipe(
        augmentation,
        "none",
        image_size=reading["image_size"],
        max_objects=most,
        feed=feed(len(train.class_names)),
    )
    prepare = mask_data.preparation(reading["image_size"], max_objects=most)
    return Splits(
        sources,
        dataclasses.replace(recipe, prepare=prepare),
        batch_size,
        seed,
        image_size=reading["image_size"],
        cache_bytes=cache_bytes,
        mixed_steps=0,
    )


@dataclasses.dataclass(frozen=True)
class Splits(feeding.Splits):
    """All of a data set with masks, and what happens to its pictures."""

    @functools.cached_property
    def training(self) -> pipeline.Training:
        """The training batches."""
        examples = mask_data.shrunk(self.sources["train"], image_size=self.image_size)
        return pipeline.Training(examples, self.recipe, self.batch_size, self.seed)
