"""Turns numbered examples into batches, as a pure function of the step.

Position p of the whole training is place p % epoch_size of epoch p // epoch_size. Its
example and its augmentation follow from (seed, epoch, place) alone. So a position is a
number: resuming needs no state of the pipeline, and each replica and worker computes
its own part of every batch.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment
from tfdl.data.sources import source

Prepare = Callable[[source.Sample], dict[str, tf.Tensor]]

_PARTNER_STREAM = 1  # keeps the draws of partners apart from those of augmentation


@dataclasses.dataclass(frozen=True)
class Shard:
    """Which part of each global batch this worker reads.

    Attributes:
        index: number of the worker.
        count: how many workers there are.
        replicas: how many replicas of the worker share its part; its batches are of
            one replica each and alternate.
    """

    index: int = 0
    count: int = 1
    replicas: int = 1


WHOLE = Shard()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What happens to an example between its file and the batch.

    Attributes:
        prepare: sample -> what the model eats, in fixed shapes.
        augmentations: functions (sample, *, seed) -> sample, applied before `prepare`.
        mix: (example, partner, *, seed) -> example, applied after it, or None.
        sampling: "uniform" shows every example once an epoch; "balanced" draws every
            class equally often.
        feed: batch of examples -> what `model.train_step` takes.
    """

    prepare: Prepare
    augmentations: Sequence[augment.Augmentation] = ()
    mix: Callable | None = None
    sampling: str = "uniform"
    feed: Callable = dict


@dataclasses.dataclass(frozen=True)
class Training:
    """The training batches of a source, by the number of the step.

    Attributes:
        examples: where they come from.
        recipe: what is done to each.
        batch_size: examples in the global batch.
        seed: of order, augmentation and mixing.
    """

    examples: source.Source | source.Stream
    recipe: Recipe
    batch_size: int
    seed: int

    def __post_init__(self):
        if self.batch_size > len(self.examples):
            raise errors.UsageError(
                f"--batch-size {self.batch_size} is more than the "
                f"{len(self.examples)} training examples",
                "choose a smaller batch",
            )

    @property
    def epoch_steps(self) -> int:
        """Number of whole batches in an epoch."""
        return len(self.examples) // self.batch_size

    def batches(self, steps: range, shard: Shard = WHOLE) -> tf.data.Dataset:
        """Build the batches of the given steps.

        Args:
            steps: from the first step to compute (0, or where a run resumes) to the
                last of the training.
            shard: the part of each batch to read.

        Returns:
            Batches as `recipe.feed` gives them to the model.

        Raises:
            UsageError: the batch does not divide into the parts, or a Stream is asked
                for partners or balanced classes.
        """
        parts = shard.count * shard.replicas
        if self.batch_size % parts:
            raise errors.UsageError(
                f"--batch-size {self.batch_size} does not divide into {parts} replicas",
                f"choose a multiple of {parts}",
            )
        if isinstance(self.examples, source.Stream):
            examples = self._streamed(steps, shard)
        else:
            examples = _positions(self.batch_size, steps, shard).map(
                self.example_at, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
            )
        batched = examples.batch(self.batch_size // parts, drop_remainder=True)
        return batched.map(self.recipe.feed).prefetch(tf.data.AUTOTUNE)

    def example_at(self, position: tf.Tensor) -> dict[str, tf.Tensor]:
        """Compute the prepared example at a position, int64 (), of the training."""
        index = self.number_at(position)
        key = _key(self.seed, position // self._epoch_size, index)
        example = self._prepared(index, key)
        if self.recipe.mix is None:
            return example
        partner_key = tf.random.experimental.stateless_fold_in(key, _PARTNER_STREAM)
        partner = tf.random.stateless_uniform(
            [], partner_key, maxval=len(self.examples), dtype=tf.int64
        )
        other = self._prepared(partner, partner_key)
        return self.recipe.mix(example, other, seed=partner_key)

    def number_at(self, position: tf.Tensor) -> tf.Tensor:
        """Compute which example, int64 (), is at a position of the training."""
        if self.recipe.sampling == "balanced":
            return _balanced(self.examples.labels, position, seed=self.seed)
        epoch = position // self._epoch_size
        return tf.random.experimental.index_shuffle(
            position % self._epoch_size,
            seed=tf.stack([tf.constant(self.seed, tf.int64), epoch]),
            max_index=tf.constant(len(self.examples) - 1, tf.int64),
        )

    def names_of_step(self, step: int) -> list[str]:
        """Name the examples in the global batch of a step, counted from 0."""
        if isinstance(self.examples, source.Stream):
            return []
        first = step * self.batch_size
        positions = tf.range(first, first + self.batch_size, dtype=tf.int64)
        numbers = [int(self.number_at(position)) for position in positions]
        return [self.examples.names[number] for number in numbers]

    @property
    def _epoch_size(self) -> int:
        return self.epoch_steps * self.batch_size

    def _prepared(self, index: tf.Tensor, key: tf.Tensor) -> dict[str, tf.Tensor]:
        sample = self.examples.load(index)
        sample = augment.apply(self.recipe.augmentations, sample, seed=key)
        return self.recipe.prepare(sample)

    def _streamed(self, steps: range, shard: Shard) -> tf.data.Dataset:
        """Read whole epochs in seeded order, and keep the positions asked for."""
        if self.recipe.mix is not None or self.recipe.sampling != "uniform":
            raise errors.UsageError(
                "a tfds: source is read in order and cannot pick examples by number, "
                "as mixing and --sampling balanced need",
                "switch them off, or use folder: data",
            )
        first, last = (step * self.batch_size for step in (steps.start, steps.stop))
        size = self._epoch_size
        dataset = self._stream_epoch(first // size, skipped=first % size)
        for epoch in range(first // size + 1, -(-last // size)):
            dataset = dataset.concatenate(self._stream_epoch(epoch, skipped=0))
        dataset = dataset.take(last - first)
        if shard.count == 1:
            return dataset
        parts = dataset.batch(self.batch_size // shard.count)
        return parts.shard(shard.count, shard.index).unbatch()

    def _stream_epoch(self, epoch: int, *, skipped: int) -> tf.data.Dataset:
        def example(place: tf.Tensor, sample: source.Sample) -> dict[str, tf.Tensor]:
            key = _key(self.seed, tf.constant(epoch, tf.int64), place)
            sample = augment.apply(self.recipe.augmentations, sample, seed=key)
            return self.recipe.prepare(sample)

        order = np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0]
        samples = self.examples.read(int(order) // 2).take(self._epoch_size)
        return (
            samples.enumerate()
            .skip(skipped)
            .map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        )


def evaluation(
    examples: source.Source | source.Stream, prepare: Prepare, *, batch_size: int
) -> tf.data.Dataset:
    """Build batches of every example once, in order; the last may be smaller."""
    if isinstance(examples, source.Stream):
        samples = examples.read(None)
    else:
        samples = tf.data.Dataset.range(len(examples)).map(
            examples.load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
    prepared = samples.map(
        prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return prepared.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _balanced(labels: np.ndarray, position: tf.Tensor, *, seed: int) -> tf.Tensor:
    """Draw a class, then one of its examples, keyed by the position."""
    if labels.ndim != 1:
        raise errors.UsageError(
            "--sampling balanced needs one class for each example",
            "use --sampling uniform",
        )
    by_class = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(
        labels[by_class], return_index=True, return_counts=True
    )
    key = tf.stack([tf.constant(seed, tf.int64), position])
    draws = tf.random.stateless_uniform([2], key, dtype=tf.float64)
    group = tf.cast(draws[0] * len(sizes), tf.int64)
    size = tf.gather(tf.constant(sizes, tf.float64), group)
    place = tf.gather(tf.constant(starts), group) + tf.cast(draws[1] * size, tf.int64)
    return tf.gather(tf.constant(by_class), place)


def _positions(batch_size: int, steps: range, shard: Shard) -> tf.data.Dataset:
    """List the positions of one worker's part of each batch, one after another."""
    part = batch_size // shard.count
    own = tf.data.Dataset.range(steps.start * part, steps.stop * part)
    if shard.count == 1:
        return own
    offset = shard.index * part
    return own.map(lambda k: k // part * batch_size + offset + k % part)


def _key(seed: int, epoch: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """Make the int32 (2,) seed of everything random about an example in an epoch."""
    base = tf.stack([tf.cast(epoch, tf.int32), tf.cast(index, tf.int32)])
    return tf.random.experimental.stateless_fold_in(base, seed)
