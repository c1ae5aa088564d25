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

# Batches that wait; left to AUTOTUNE, they grow to hundreds on a fast pipeline.
_PREFETCHED = 4

# Streams of draws beside those of augmentation, which has 0, 1, 2 ... of a key.
_PARTNER_STREAM, _MIX_STREAM = -1, -2


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

    Raises:
        UsageError: the batch is larger than the source, classes without one label for
            each example are to be balanced, or a Stream is asked for partners or
            balanced classes.
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
        is_stream = isinstance(self.examples, source.Stream)
        is_balanced = self.recipe.sampling == "balanced"
        if is_stream and (is_balanced or self.recipe.mix is not None):
            raise errors.UsageError(
                "a tfds: source is read in order and cannot pick examples by number, "
                "as mixing and --sampling balanced need",
                "switch them off, or use folder: data",
            )
        if is_balanced and self.examples.labels.ndim != 1:
            raise errors.UsageError(
                "--sampling balanced needs one class for each example",
                "use --sampling uniform",
            )

    def shard(self, index: int, count: int, replicas: int) -> Shard:
        """Return one worker's part of each batch, see `Shard`."""
        return Shard(index, count, replicas)

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
            UsageError: the batch does not divide into the parts.
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
        return _as_it_stands(batched.map(self.recipe.feed).prefetch(_PREFETCHED))

    def example_at(self, position: tf.Tensor) -> dict[str, tf.Tensor]:
        """Compute the prepared example at a position, int64 (), of the training."""
        key = _key(self.seed, position, self._epoch_size)
        example = self._prepared(self.number_at(position), key)
        if self.recipe.mix is None:
            return example
        partner_key = tf.random.experimental.stateless_fold_in(key, _PARTNER_STREAM)
        mix_key = tf.random.experimental.stateless_fold_in(key, _MIX_STREAM)
        other = self._prepared(self._drawn(partner_key), partner_key)
        return self.recipe.mix(example, other, seed=mix_key)

    def number_at(self, position: tf.Tensor) -> tf.Tensor:
        """Compute which example, int64 (), is at a position of the training."""
        if self.recipe.sampling == "balanced":
            return self._drawn(tf.stack([tf.constant(self.seed, tf.int64), position]))
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

    def _prepared(self, record, key: tf.Tensor) -> dict[str, tf.Tensor]:
        """Load an example by its number, or by its record in a Stream."""
        sample = self.examples.load(record)
        sample = augment.apply(self.recipe.augmentations, sample, seed=key)
        return self.recipe.prepare(sample)

    def _drawn(self, key: tf.Tensor) -> tf.Tensor:
        """Draw the number of an example, int64 (), as often of each class if asked."""
        if self.recipe.sampling == "balanced":
            return _balanced(self.examples.labels, key)
        return tf.random.stateless_uniform(
            [], key, maxval=len(self.examples), dtype=tf.int64
        )

    def _streamed(self, steps: range, shard: Shard) -> tf.data.Dataset:
        """Read whole epochs in seeded order, and load the positions asked for."""
        first, last = (step * self.batch_size for step in (steps.start, steps.stop))
        size, part = self._epoch_size, self.batch_size // shard.count

        def epoch_records(epoch: tf.Tensor) -> tf.data.Dataset:
            key = tf.stack([tf.constant(self.seed, tf.int64), epoch])
            order = tf.random.stateless_uniform(
                [], key, minval=None, maxval=None, dtype=tf.int64
            )
            return self.examples.read(order).take(size).enumerate(epoch * size)

        def is_own(position: tf.Tensor, _) -> tf.Tensor:
            return position % self.batch_size // part == shard.index

        def example(position: tf.Tensor, record) -> dict[str, tf.Tensor]:
            return self._prepared(record, _key(self.seed, position, size))

        epochs = tf.data.Dataset.range(first // size, -(-last // size))
        records = epochs.flat_map(epoch_records).skip(first % size).take(last - first)
        if shard.count > 1:
            records = records.filter(is_own)
        return records.map(
            example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )


def evaluation(
    examples: source.Source | source.Stream, prepare: Prepare, *, batch_size: int
) -> tf.data.Dataset:
    """Build batches of every example once, in order; the last may be smaller."""
    if isinstance(examples, source.Stream):
        records = examples.read(None)
    else:
        records = tf.data.Dataset.range(len(examples))
    prepared = records.map(
        lambda record: prepare(examples.load(record)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return _as_it_stands(prepared.batch(batch_size).prefetch(_PREFETCHED))


def _as_it_stands(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Keep tf.data from rewriting the pipeline, which is written as it should run.

    To rewrite it, every new iterator copies what its functions refer to, such as all
    the pictures that are kept in memory.
    """
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    return dataset.with_options(options)


def _balanced(labels: np.ndarray, key: tf.Tensor) -> tf.Tensor:
    """Draw a class, then one of its examples."""
    by_class = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(
        labels[by_class], return_index=True, return_counts=True
    )
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


def _key(seed: int, position: tf.Tensor, epoch_size: int) -> tf.Tensor:
    """Make the int32 (2,) seed of everything random about the example at a position.

    By the place in the epoch, not by the example: balanced sampling may show one often.
    """
    parts = tf.stack([position // epoch_size, position % epoch_size])
    return tf.random.experimental.stateless_fold_in(tf.cast(parts, tf.int32), seed)
