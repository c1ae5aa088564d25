"""The splits of a data set, fed to training, to a check and to evaluation."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import tensorflow as tf

from tfdl.data import pipeline, splits
from tfdl.data.sources import source
from tfdl.tasks.detection import data, recipes

_HELD_OUT_BATCH = 8  # so that a small validation split still has several


def read(
    reading: Mapping,
    *,
    cache_bytes: int,
    class_names: Sequence[str] | None = None,
    augmentation: str,
    mix: str,
    feed: Callable[[int], Callable],
    batch_size: int,
    seed: int,
    mixed_steps: Callable[[int], int],
) -> "Splits":
    """Open a data set, and say what happens to its pictures.

    Args:
        reading: arguments of `data.read`.
        cache_bytes: most memory for decoded training pictures.
        class_names: those of a run that the data must have, or None.
        augmentation: as in `recipes.recipe`.
        mix: likewise.
        feed: number of classes -> `feed` of the `detector.Detector`.
        batch_size: pictures in the global batch.
        seed: of order, augmentation and mixing.
        mixed_steps: steps of an epoch -> how many steps of the training mix.

    Raises:
        As `data.read`.
    """
    sources = data.read(**reading)
    train = sources["train"]
    splits.refuse_other_classes(train.class_names, class_names)
    recipe = recipes.recipe(
        augmentation,
        mix,
        image_size=reading["image_size"],
        # Of validation as well, whose pictures a check feeds in the same way.
        max_objects=max(
            data.most_objects(sources[split].objects)
            for split in ("train", "validation")
        ),
        feed=feed(len(train.class_names)),
    )
    return Splits(
        sources,
        recipe,
        batch_size,
        seed,
        image_size=reading["image_size"],
        cache_bytes=cache_bytes,
        mixed_steps=mixed_steps(max(1, len(train) // batch_size)),
    )


@dataclasses.dataclass(frozen=True)
class Splits:
    """All of a data set, and what happens to its pictures.

    Attributes:
        sources: {"train", "validation", "test"}, as `data.read` returns them.
        recipe: of the training pictures.
        batch_size: pictures in the global batch.
        seed: of order, augmentation and mixing.
        image_size: side of the model's input, in pixels.
        cache_bytes: most memory for decoded training pictures.
        mixed_steps: how many steps of the training mix.
    """

    sources: Mapping[str, source.Source | source.Stream]
    recipe: pipeline.Recipe
    batch_size: int
    seed: int
    image_size: int
    cache_bytes: int
    mixed_steps: int

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names that labels index."""
        return self.sources["train"].class_names

    @functools.cached_property
    def training(self) -> pipeline.Training:
        """The training batches."""
        return pipeline.Training(
            data.shrunk(
                self.sources["train"],
                image_size=self.image_size,
                limit_bytes=self.cache_bytes,
            ),
            self.recipe,
            self.batch_size,
            self.seed,
            self.mixed_steps,
        )

    @property
    def held_out(self) -> pipeline.Training:
        """Small batches of the validation split in the form of training batches."""
        plain = dataclasses.replace(
            self.recipe, augmentations=(), mosaic=None, mix=None
        )
        size = min(_HELD_OUT_BATCH, len(self.sources["validation"]))
        return pipeline.Training(self.sources["validation"], plain, size, self.seed)

    def first_batch(self) -> dict[str, tf.Tensor]:
        """Compute the first step's "images", "boxes", "labels" and "weights"."""
        batch = next(iter(self.training.unfed(range(1))))
        return {"images": batch.pop("image"), **batch}

    def evaluation(self, split: str) -> tf.data.Dataset:
        """Batch every picture of a split once, in order, as it is asked about.

        Returns:
            Batches of {"image", "size"}, see `data.question`, and "number", int64
            (batch,), counted from the first picture of the split.
        """
        ask = functools.partial(data.question, image_size=self.image_size)
        batches = pipeline.evaluation(
            self.sources[split], ask, batch_size=self.batch_size
        )
        return batches.enumerate().map(self._numbered)

    def _numbered(self, place: tf.Tensor, batch: dict) -> dict[str, tf.Tensor]:
        first = place * self.batch_size
        count = tf.shape(batch["size"], tf.int64)[0]
        return batch | {"number": tf.range(first, first + count)}
