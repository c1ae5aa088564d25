"""Turns numbered examples into batches, as a pure function of the step.

Position p of the whole training is place p % epoch_size of epoch p // epoch_size. Its
example and its augmentation follow from (seed, epoch, place) alone. So a position is a
number: resuming needs no state of the pipeline, and each replica and worker computes
its own part of every batch.

Mixing takes its partners from neighbouring positions, see `groups`.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment, groups
from tfdl.data.sources import source

Prepare = Callable[[source.Sample], dict[str, tf.Tensor]]

# Batches that wait; left to AUTOTUNE, they grow to hundreds on a fast pipeline.
_PREFETCHED = 4


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
        mosaic: (example, three others, *, seed) -> example, applied after it, or None.
        mix: (example, partner, *, seed) -> example, applied last, or None.
        sampling: "uniform" shows every example once an epoch; "balanced" draws every
            class equally often.
        feed: batch of examples -> what `model.train_step` takes.
    """

    prepare: Prepare
    augmentations: Sequence[augment.Augmentation] = ()
    mosaic: Callable | None = None
    mix: Callable | None = None
    sampling: str = "uniform"
    feed: Callable = dict

    @property
    def is_mixing(self) -> bool:
        """Whether an example is made of several."""
        return self.mosaic is not None or self.mix is not None


@dataclasses.dataclass(frozen=True)
class Training:
    """The training batches of a source, by the number of the step.

    Attributes:
        examples: where they come from.
        recipe: what is done to each.
        batch_size: examples in the global batch.
        seed: of order, augmentation and mixing.
        mixed_steps: how many steps mix, from the first; the others show examples by
            themselves. None is all.

    Raises:
        UsageError: the batch is larger than the source, classes without one label for
            each example are to be balanced, or a Stream is asked for partners or
            balanced classes.
    """

    examples: source.Source | source.Stream
    recipe: Recipe
    batch_size: int
    seed: int
    mixed_steps: int | None = None

    def __post_init__(self):
        if self.batch_size > len(self.examples):
            raise errors.UsageError(
                f"--batch-size {self.batch_size} is more than the "
                f"{len(self.examples)} training examples",
                "choose a smaller batch",
            )
        is_stream = isinstance(self.examples, source.Stream)
        is_balanced = self.recipe.sampling == "balanced"
        if is_stream and (is_balanced or self.recipe.is_mixing):
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
        return self._batches(steps, shard, self.recipe.feed)

    def unfed(self, steps: range) -> tf.data.Dataset:
        """Build the batches of the given steps as they are before `recipe.feed`."""
        return self._batches(steps, WHOLE, dict)

    def example_at(self, position: tf.Tensor) -> dict[str, tf.Tensor]:
        """Compute the example at a position, int64 (), of the training, not mixed."""
        key = _key(self.seed, position, self._epoch_size)
        return self._prepared(self.number_at(position), key)

    def number_at(self, position: tf.Tensor) -> tf.Tensor:
        """Compute which example, int64 (), is at a position of the training."""
        if self.recipe.sampling == "balanced":
            key = tf.stack([tf.constant(self.seed, tf.int64), position])
            return _balanced(self.examples.labels, key)
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

    def _end_of_mixing(self, steps: range) -> int:
        """Return the first of the steps that does not mix."""
        if not self.recipe.is_mixing:
            return steps.start
        if self.mixed_steps is None:
            return steps.stop
        return min(max(self.mixed_steps, steps.start), steps.stop)

    def _batches(self, steps: range, shard: Shard, feed: Callable) -> tf.data.Dataset:
        parts = shard.count * shard.replicas
        if self.batch_size % parts:
            raise errors.UsageError(
                f"--batch-size {self.batch_size} does not divide into {parts} replicas",
                f"choose a multiple of {parts}",
            )
        part = self.batch_size // parts
        middle = self._end_of_mixing(steps)
        mixed, plain = range(steps.start, middle), range(middle, steps.stop)
        if not mixed:
            batches = self._plain_batches(plain, shard, part, feed)
        elif not plain:
            batches = self._mixed_batches(mixed, shard, part, feed)
        else:
            later = self._plain_batches(plain, shard, part, feed)
            batches = self._mixed_batches(mixed, shard, part, feed).concatenate(later)
        return _as_it_stands(batches.prefetch(_PREFETCHED))

    def _plain_batches(
        self, steps: range, shard: Shard, size: int, feed: Callable
    ) -> tf.data.Dataset:
        """Batch examples as they are."""
        if isinstance(self.examples, source.Stream):
            batched = self._streamed(steps, shard).batch(size, drop_remainder=True)
            return batched.map(feed)

        one = self._traced_example

        def batch(places: tf.Tensor):
            return feed(_in_turn(places, one))

        positions = _positions(self.batch_size, steps, shard)
        return _mapped(positions.batch(size, drop_remainder=True), batch)

    def _mixed_batches(
        self, steps: range, shard: Shard, size: int, feed: Callable
    ) -> tf.data.Dataset:
        """Batch mixed examples; groups never reach over the end of a batch."""
        if size % groups.SIZE:
            raise errors.UsageError(
                f"--batch-size {self.batch_size} gives each replica {size} pictures; "
                f"mixing needs a multiple of {groups.SIZE}",
                f"choose a multiple of {groups.SIZE} times the number of replicas",
            )
        shape = [size // groups.SIZE, groups.SIZE]
        one, mixed_group = self._traced_example, self._traced_group

        def batch(places: tf.Tensor):
            examples = _in_turn(places, one)
            placed = tf.nest.map_structure(
                lambda t: tf.reshape(t, [*shape, *t.shape[1:]]), (places, examples)
            )
            mixed = _in_turn(placed, mixed_group)
            whole = tf.nest.map_structure(
                lambda t: tf.reshape(t, [size, *t.shape[2:]]), mixed
            )
            return feed(whole)

        positions = _positions(self.batch_size, steps, shard)
        return _mapped(positions.batch(size, drop_remainder=True), batch)

    @functools.cached_property
    def _traced_example(self):
        """Trace `example_at` once, for every data set of this training."""
        return _traced(self.example_at, tf.TensorSpec([], tf.int64))

    @functools.cached_property
    def _traced_group(self):
        """Trace `_mixed` once, for every data set of this training."""
        members = tf.nest.map_structure(
            lambda t: tf.TensorSpec([groups.SIZE, *t.shape], t.dtype),
            self._traced_example.structured_outputs,
        )
        return _traced(self._mixed, tf.TensorSpec([groups.SIZE], tf.int64), members)

    def _mixed(self, positions: tf.Tensor, group: dict) -> dict[str, tf.Tensor]:
        """Mix the examples of a group, each tensor (group, ...)."""
        keys = [
            _key(self.seed, positions[index], self._epoch_size)
            for index in range(groups.SIZE)
        ]
        return groups.mixed(group, keys, mosaic=self.recipe.mosaic, mix=self.recipe.mix)

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
        return _mapped(records, example)


def evaluation(
    examples: source.Source | source.Stream, prepare: Prepare, *, batch_size: int
) -> tf.data.Dataset:
    """Build batches of every example once, in order; the last may be smaller."""
    prepared = _mapped(
        examples.records(), lambda record: prepare(examples.load(record))
    )
    return _as_it_stands(prepared.batch(batch_size).prefetch(_PREFETCHED))


def _mapped(dataset: tf.data.Dataset, function: Callable) -> tf.data.Dataset:
    """Compute several elements at a time, in order."""
    return dataset.map(
        tf.autograph.experimental.do_not_convert(function),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def _traced(function: Callable, *arguments):
    """Trace a function that has no Python branches on tensors."""
    return tf.function(function, autograph=False).get_concrete_function(*arguments)


def _in_turn(elements, function):
    """Compute the elements of a batch one after another, in one call.

    Batches are computed beside each other instead: handing every single element from
    thread to thread takes as long as its augmentation. It is a loop and no data set in
    the data set: that would count as stateful, and where operations are to be
    deterministic tf.data computes what is stateful on one thread.

    Args:
        elements: tensor, or tuple of nests of them, (batch, ...).
        function: of one of them, as `_traced` makes it.
    """
    return tf.map_fn(
        lambda one: function(*one) if isinstance(one, tuple) else function(one),
        elements,
        parallel_iterations=1,
        fn_output_signature=tf.nest.map_structure(
            lambda t: tf.TensorSpec(t.shape, t.dtype), function.structured_outputs
        ),
    )


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
