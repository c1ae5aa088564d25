"""The splits of a data set, fed to training, to a check and to evaluation."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import tensorflow as tf

from tfdl.data import pipeline, splits
from tfdl.data.sources import source
from tfdl.tasks.classification import data, recipes

_HELD_OUT_BATCH = 8  # so that a small validation split still has several


def read(
    reading: Mapping,
    *,
    cache_bytes: int,
    class_names: Sequence[str] | None = None,
    augmentation: str,
    mix: str,
    channels: int,
    multi_label: bool,
    sampling: str,
    batch_size: int,
    seed: int,
) -> "Splits":
    """Open a data set, and say what happens to its pictures.

    Args:
        reading: arguments of `data.read`, without `multi_label` and `cache_bytes`.
        cache_bytes: most memory for decoded pictures.
        class_names: those of a run that the data must have, or None.
        augmentation: as in `recipes.recipe`.
        mix: likewise.
        channels: of what the model takes.
        multi_label: whether an example has several classes.
        sampling: "uniform" or "balanced".
        batch_size: examples in the global batch.
        seed: of order, augmentation and mixing.

    Raises:
        As `data.read`.
    """
    sources = data.read(**reading, cache_bytes=cache_bytes, multi_label=multi_label)
    splits.refuse_other_classes(sources["train"].class_names, class_names)
    recipe = recipes.recipe(
        augmentation,
        mix,
        image_size=reading["image_size"],
        channels=channels,
        num_classes=len(sources["train"].class_names),
        sampling=sampling,
    )
    return Splits(sources, recipe, batch_size, seed)


@dataclasses.dataclass(frozen=True)
class Splits:
    """All of a data set, and what happens to its pictures.

    Attributes:
        sources: {"train", "validation", "test"}, as `data.read` returns them.
        recipe: of the training pictures.
        batch_size: examples in the global batch.
        seed: of order, augmentation and mixing.
    """

    sources: Mapping[str, source.Source | source.Stream]
    recipe: pipeline.Recipe
    batch_size: int
    seed: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names that labels index."""
        return self.sources["train"].class_names

    @functools.cached_property
    def training(self) -> pipeline.Training:
        """The training batches."""
        return pipeline.Training(
            self.sources["train"], self.recipe, self.batch_size, self.seed
        )

    @property
    def held_out(self) -> pipeline.Training:
        """Small batches of the validation split in the form of training batches."""
        plain = dataclasses.replace(
            self.recipe, augmentations=(), mosaic=None, mix=None
        )
        size = min(_HELD_OUT_BATCH, len(self.sources["validation"]))
        return pipeline.Training(self.sources["validation"], plain, size, self.seed)

    def first_batch(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Compute images and targets of the first step."""
        return next(iter(self.training.batches(range(1))))

    def evaluation(self, split: str) -> tf.data.Dataset:
        """Batch every example of a split once, in order, as it was prepared."""
        return pipeline.evaluation(
            self.sources[split], self.recipe.prepare, batch_size=self.batch_size
        )
