"""The splits of a data set, fed to training, to a check and to evaluation."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfdl.data import pipeline, splits
from tfdl.data.sources import semantic
from tfdl.tasks.segmentation import data, recipes

_HELD_OUT_BATCH = 8  # so that a small validation split still has several


def read(
    reading: Mapping,
    *,
    cache_bytes: int,
    class_names: Sequence[str] | None = None,
    augmentation: str,
    crop: str,
    targets: Callable,
    batch_size: int,
    seed: int,
) -> "Splits":
    """Open a data set, and say what happens to its pictures.

    Args:
        reading: arguments of `data.read`.
        cache_bytes: most memory for decoded training pictures.
        class_names: those of a run that the data must have, or None.
        augmentation: as in `recipes.recipe`.
        crop: likewise.
        targets: likewise.
        batch_size: pictures in the global batch.
        seed: of order and augmentation.

    Raises:
        As `data.read`.
    """
    sources = data.read(**reading)
    train = sources["train"]
    splits.refuse_other_classes(train.class_names, class_names)
    recipe = recipes.recipe(
        augmentation,
        crop,
        image_size=reading["image_size"],
        frequencies=data.class_frequencies(train) if crop == recipes.RARE else None,
        targets=targets,
    )
    return Splits(
        sources,
        recipe,
        batch_size,
        seed,
        image_size=reading["image_size"],
        cache_bytes=cache_bytes,
    )


@dataclasses.dataclass(frozen=True)
class Splits:
    """All of a data set, and what happens to its pictures.

    Attributes:
        sources: {"train", "validation", "test"}, as `data.read` returns them.
        recipe: of the training pictures.
        batch_size: pictures in the global batch.
        seed: of order and augmentation.
        image_size: side of the squares that are trained on, in pixels.
        cache_bytes: most memory for decoded training pictures.
    """

    sources: Mapping[str, semantic.Source | semantic.Stream]
    recipe: pipeline.Recipe
    batch_size: int
    seed: int
    image_size: int
    cache_bytes: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names that label maps index."""
        return self.sources["train"].class_names

    @functools.cached_property
    def training(self) -> pipeline.Training:
        """The training batches."""
        examples = data.kept(self.sources["train"], limit_bytes=self.cache_bytes)
        return pipeline.Training(examples, self.recipe, self.batch_size, self.seed)

    @property
    def held_out(self) -> pipeline.Training:
        """Small batches of the validation split in the form of training batches."""
        plain = dataclasses.replace(self.recipe, augmentations=())
        size = min(_HELD_OUT_BATCH, len(self.sources["validation"]))
        return pipeline.Training(self.sources["validation"], plain, size, self.seed)

    def first_batch(self) -> dict[str, tf.Tensor]:
        """Compute the first step's "images" and "labels"."""
        batch = next(iter(self.training.unfed(range(1))))
        return {"images": batch["image"], "labels": batch["semantic"]}

    def evaluation(self, split: str) -> tf.data.Dataset:
        """Batch every picture of a split once, in order, at its own size.

        Returns:
            Batches of {"image", "semantic"}, see `data.question`, and "number", int64
            (batch,), counted from the first picture of the split.
        """
        size = self.evaluation_batch_size(split)
        batches = pipeline.evaluation(
            self.sources[split], data.question, batch_size=size
        )

        def numbered(place: tf.Tensor, batch: dict) -> dict[str, tf.Tensor]:
            count = tf.shape(batch["image"], tf.int64)[0]
            return batch | {"number": tf.range(place * size, place * size + count)}

        return batches.enumerate().map(numbered)

    def evaluation_batch_size(self, split: str) -> int:
        """Return how many pictures are evaluated at once: one where sizes differ."""
        sizes = self.sources[split].sizes
        return self.batch_size if len(np.unique(sizes, axis=0)) == 1 else 1
