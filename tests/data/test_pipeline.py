import collections
import functools
import time

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment, pipeline
from tfdl.data.sources import source


def noted(sample, *, seed):
    """Augment nothing, but note the seed."""
    return sample | {"seed": seed}


def prepare(sample):
    """Read the example's number off its pixels."""
    image = tf.cast(sample["image"], tf.int32)
    number = 256 * image[0, 0, 0] + image[0, 0, 1]
    return {
        "number": number,
        "label": sample["label"],
        "seed": sample.get("seed", tf.zeros([2], tf.int32)),
    }


def as_stream(examples):
    """Build a source without random access that shows the same examples."""

    def read(seed):
        numbers = tf.data.Dataset.range(len(examples))
        if seed is None:
            return numbers
        return numbers.shuffle(100, seed=seed, reshuffle_each_iteration=False)

    return source.Stream(examples.class_names, len(examples), read, examples.load)


KINDS = {"source": lambda examples: examples, "stream": as_stream}


@pytest.fixture(params=KINDS)
def make_training(request, make_source):
    """Return a function that builds a training of 20 examples, of both kinds."""

    def make(batch_size=4, seed=7, num_examples=20, **recipe):
        examples = KINDS[request.param](make_source(np.arange(num_examples) % 3))
        recipe = pipeline.Recipe(prepare, **({"augmentations": [noted]} | recipe))
        return pipeline.Training(examples, recipe, batch_size=batch_size, seed=seed)

    return make


def batches(training, steps, shard=pipeline.WHOLE):
    return list(training.batches(steps, shard).as_numpy_iterator())


def numbers(training, steps, shard=pipeline.WHOLE):
    return [batch["number"].tolist() for batch in batches(training, steps, shard)]


def assert_equal(first, second):
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("first", [0, 1, 4, 5, 7, 10, 12])
def test_a_batch_is_the_same_wherever_training_starts(make_training, first):
    """20 examples in batches of 4: steps 5 and 10 begin an epoch."""
    whole = batches(make_training(), range(13))
    assert_equal(batches(make_training(), range(first, 13)), whole[first:])
    assert len(whole) == 13


def test_a_batch_that_does_not_divide_the_epoch_resumes_too(make_training):
    training = make_training(batch_size=6)
    assert training.epoch_steps == 3
    whole = batches(training, range(10))
    for first in range(10):
        assert_equal(batches(training, range(first, 10)), whole[first:])


def test_an_epoch_is_a_permutation_where_the_batch_divides(make_training):
    shown = np.array(numbers(make_training(), range(15))).reshape(3, 20)
    for epoch in shown:
        assert sorted(epoch) == list(range(20))


def test_an_epoch_shows_no_example_twice(make_training):
    shown = np.array(numbers(make_training(batch_size=6), range(30))).reshape(10, 18)
    for epoch in shown:
        assert len(set(epoch)) == 18
    assert set(shown.ravel()) == set(range(20))  # each epoch leaves others out


def test_epochs_differ_in_order_and_in_augmentation(make_training):
    shown = batches(make_training(batch_size=20), range(2))
    assert shown[0]["number"].tolist() != shown[1]["number"].tolist()
    seeds = np.concatenate([batch["seed"] for batch in shown])
    assert len(np.unique(seeds, axis=0)) == 40


@pytest.mark.parametrize("seed", [0, 8, -1, 2**31, 2**32 - 1, 2**40])
def test_seeds_differ(make_training, seed):
    usual, other = make_training(batch_size=20), make_training(batch_size=20, seed=seed)
    [first], [second] = batches(usual, range(1)), batches(other, range(1))
    assert first["number"].tolist() != second["number"].tolist()
    assert not set(map(tuple, first["seed"])) & set(map(tuple, second["seed"]))


@pytest.mark.parametrize("first", [0, 3])
@pytest.mark.parametrize(("count", "replicas"), [(1, 2), (2, 1), (2, 2), (4, 1)])
def test_shards_together_are_the_whole_batch_in_order(
    make_training, first, count, replicas
):
    training, steps = make_training(batch_size=8, num_examples=19), range(first, 6)
    parts = [
        numbers(training, steps, pipeline.Shard(index, count, replicas))
        for index in range(count)
    ]
    joined = [
        [
            number
            for part in parts
            for batch in part[step * replicas : (step + 1) * replicas]
            for number in batch
        ]
        for step in range(len(steps))
    ]
    assert joined == numbers(training, steps)
    assert {len(batch) for part in parts for batch in part} == {8 // count // replicas}


def test_replicas_of_a_strategy_share_each_batch(make_training, mirrored_strategy):
    training = make_training(batch_size=8)

    def part(context):
        return training.batches(
            range(1, 3),
            pipeline.Shard(
                context.input_pipeline_id,
                context.num_input_pipelines,
                context.num_replicas_in_sync // context.num_input_pipelines,
            ),
        )

    distributed = mirrored_strategy.distribute_datasets_from_function(part)
    shown = [
        np.concatenate(mirrored_strategy.experimental_local_results(batch["number"]))
        for batch in distributed
    ]
    np.testing.assert_array_equal(shown, numbers(training, range(1, 3)))


def test_the_size_of_a_batch_is_known_in_the_graph(make_training):
    dataset = make_training(batch_size=8).batches(range(2), pipeline.Shard(0, 2, 2))
    assert dataset.element_spec["number"].shape.as_list() == [2]


def test_no_steps_are_no_batches(make_training):
    assert not batches(make_training(), range(5, 5))


def test_batches_are_fed_as_the_recipe_says(make_training):
    training = make_training(feed=lambda batch: (batch["number"], batch["label"]))
    for shown, labels in batches(training, range(3)):
        np.testing.assert_array_equal(shown % 3, labels)


def test_a_batch_as_large_as_the_source_is_an_epoch(make_training):
    training = make_training(batch_size=20)
    assert training.epoch_steps == 1
    assert make_training(batch_size=1, num_examples=1).epoch_steps == 1


def test_a_batch_larger_than_the_source_is_refused(make_training):
    with pytest.raises(errors.UsageError, match="--batch-size 21 is more than the 20"):
        make_training(batch_size=21)


def test_a_batch_that_does_not_divide_into_the_replicas_is_refused(make_training):
    with pytest.raises(errors.UsageError, match="--batch-size 6 .* 4 replicas"):
        make_training(batch_size=6).batches(range(1), pipeline.Shard(0, 2, 2))


@pytest.mark.parametrize("recipe", [{"mix": augment.mixup}, {"sampling": "balanced"}])
def test_a_stream_cannot_pick_examples(make_source, recipe):
    with pytest.raises(errors.UsageError, match="tfds: source is read in order"):
        pipeline.Training(
            as_stream(make_source([0] * 9)),
            pipeline.Recipe(prepare, **recipe),
            batch_size=3,
            seed=0,
        )


def test_a_stream_is_traced_once_however_many_epochs(make_source):
    traced = []

    def counted(sample, *, seed):
        traced.append(seed)
        return sample

    recipe = pipeline.Recipe(prepare, [counted])
    examples = as_stream(make_source([0] * 20))
    training = pipeline.Training(examples, recipe, batch_size=4, seed=0)
    steps = training.batches(range(0, 50_000)).take(11)
    assert len(list(steps)) == 11
    assert len(traced) == 1


@pytest.fixture
def training(make_source):
    """Return a training of 20 examples by number."""
    examples = make_source(np.arange(20) % 3)
    recipe = pipeline.Recipe(prepare, [noted])
    return pipeline.Training(examples, recipe, batch_size=4, seed=7)


def test_a_late_step_is_computed_at_once(training):
    start = time.perf_counter()
    [batch] = batches(training, range(10**9, 10**9 + 1))
    assert time.perf_counter() - start < 5
    assert len(set(batch["number"])) == 4


def test_examples_are_the_same_eagerly_and_in_the_pipeline(training):
    [batch] = batches(training, range(6, 7))
    eager = [training.example_at(tf.constant(24 + n, tf.int64)) for n in range(4)]
    for name in batch:
        np.testing.assert_array_equal(batch[name], [e[name] for e in eager])


def test_neighbours_share_a_batch_no_more_often_than_others(make_source):
    """Files are sorted by class: of 99 pairs of neighbours, 9 share a batch of 10."""
    recipe = pipeline.Recipe(prepare)
    training = pipeline.Training(make_source([0] * 100), recipe, batch_size=10, seed=0)
    shown = tf.data.Dataset.range(50_000).map(training.number_at).batch(50_000)
    [orders] = shown.as_numpy_iterator()
    steps = np.argsort(orders.reshape(500, 100), axis=1) // 10
    num_shared = (steps[:, 1:] == steps[:, :-1]).sum(axis=1).mean()
    assert abs(num_shared - 9) < 0.8


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_names_are_those_of_the_batch(make_source, sampling):
    training = pipeline.Training(
        make_source(np.arange(20) % 3),
        pipeline.Recipe(prepare, sampling=sampling),
        batch_size=6,
        seed=1,
    )
    for step, shown in enumerate(numbers(training, range(7))):
        assert training.names_of_step(step) == [f"example{n}" for n in shown]


def test_a_stream_has_no_names(make_source):
    examples = as_stream(make_source([0] * 9))
    recipe = pipeline.Recipe(prepare)
    training = pipeline.Training(examples, recipe, batch_size=3, seed=0)
    assert training.names_of_step(0) == []


@pytest.fixture
def lopsided(make_source):
    """Return a training of 90, 9 and 1 examples of three classes."""
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [90, 9, 1]))
    recipe = functools.partial(pipeline.Recipe, prepare, sampling="balanced")
    return lambda **options: pipeline.Training(
        make_source(labels), recipe(**options), batch_size=48, seed=3
    )


def test_balanced_sampling_shows_every_class_as_often(lopsided):
    shown = np.concatenate([b["label"] for b in batches(lopsided(), range(60))])
    counts = np.bincount(shown)
    assert np.abs(counts - 960).max() < 5 * (2880 * 2 / 9) ** 0.5


def test_balanced_sampling_shows_every_example_of_a_class_as_often(lopsided):
    shown = np.concatenate(numbers(lopsided(), range(60)))
    counts = collections.Counter(shown.tolist())
    assert len(counts) == 100
    labels = lopsided().examples.labels
    for label, expected in ((0, 960 / 90), (1, 960 / 9)):
        for number in np.flatnonzero(labels == label).tolist():
            assert abs(counts[number] - expected) < 6 * expected**0.5


def test_balanced_sampling_resumes_and_changes_between_epochs(lopsided):
    whole = numbers(lopsided(), range(6))
    assert numbers(lopsided(), range(3, 6)) == whole[3:]
    assert len(set(map(tuple, whole))) == 6


def test_an_example_that_is_shown_twice_is_augmented_twice(lopsided):
    training = lopsided(augmentations=[noted])
    [first, second] = batches(training, range(2))  # an epoch
    shown = np.concatenate([first["number"], second["number"]])
    seeds = np.concatenate([first["seed"], second["seed"]])
    assert len(np.unique(shown)) < 70
    assert len(np.unique(seeds, axis=0)) == 96


def test_balanced_sampling_of_several_classes_is_refused(make_source):
    labels = np.eye(3, dtype=np.int32)[np.arange(20) % 3]
    with pytest.raises(errors.UsageError, match="needs one class for each example"):
        pipeline.Training(
            make_source(labels),
            pipeline.Recipe(prepare, sampling="balanced"),
            batch_size=4,
            seed=0,
        )


def pair(example, partner, *, seed):
    """Show both partners and every seed that was used."""
    own = {f"own {name}": value for name, value in example.items()}
    other = {f"partner {name}": value for name, value in partner.items()}
    return own | other | {"mix seed": seed}


@pytest.fixture
def mixing(make_source):
    recipe = pipeline.Recipe(prepare, [noted], mix=pair)
    examples = make_source(np.arange(32) % 3)
    return pipeline.Training(examples, recipe, batch_size=16, seed=5)


def test_partners_are_the_same_wherever_training_starts(mixing):
    whole = batches(mixing, range(6))
    assert_equal(batches(mixing, range(3, 6)), whole[3:])
    halves = [batches(mixing, range(3, 6), pipeline.Shard(n, 2)) for n in range(2)]
    joined = [
        tf.nest.map_structure(lambda *parts: np.concatenate(parts), *parts)
        for parts in zip(*halves, strict=True)
    ]
    assert_equal(joined, whole[3:])


def test_partners_change_between_epochs_and_are_anyone(mixing):
    partners = collections.defaultdict(list)
    for batch in batches(mixing, range(200)):
        for own, partner in zip(
            batch["own number"], batch["partner number"], strict=True
        ):
            partners[own].append(partner)
    counts = np.bincount(np.concatenate(list(partners.values())), minlength=32)
    np.testing.assert_array_equal(counts, 100)  # everyone once an epoch
    assert min(len(set(drawn)) for drawn in partners.values()) > 25
    assert not any(own in drawn for own, drawn in partners.items())


def test_groups_that_reach_over_a_part_are_refused(mixing):
    with pytest.raises(errors.UsageError, match="gives each replica 4 pictures"):
        mixing.batches(range(1), pipeline.Shard(0, 2, 2))


def test_nothing_random_shares_a_seed(make_source):
    """Not the augmentations of an example, nor its mixing."""

    def second(sample, *, seed):
        return sample | {"second seed": seed}

    def prepared(sample):
        seeds = {name: value for name, value in sample.items() if "seed" in name}
        return seeds | {"number": tf.cast(sample["image"][0, 0, 1], tf.int64)}

    recipe = pipeline.Recipe(prepared, [noted, second], mix=pair)
    examples = make_source([0] * 16)
    training = pipeline.Training(examples, recipe, batch_size=16, seed=5)
    [batch] = batches(training, range(1))
    seeds = [values for name, values in batch.items() if "own" in name or "mix" in name]
    seeds = [values for values in seeds if values.shape == (16, 2)]
    assert len(np.unique(np.concatenate(seeds), axis=0)) == 3 * 16


def test_partners_are_balanced_as_well(lopsided):
    shown = [b["partner label"] for b in batches(lopsided(mix=pair), range(20))]
    assert np.bincount(np.concatenate(shown)).min() > 250


def test_mixup_blends_images_and_classes_by_the_same_share(make_source):
    def prepared(sample):
        image = tf.cast(sample["image"], tf.float32)
        return {"image": image, "classes": tf.one_hot(sample["label"], 2)}

    # Class 0 is black, class 1 shows its number.
    examples = make_source([0, 1] * 12, contents=[0, 200] * 12, num_classes=2)
    recipe = pipeline.Recipe(prepared, mix=functools.partial(augment.mixup, alpha=1.0))
    training = pipeline.Training(examples, recipe, batch_size=24, seed=0)
    [batch] = batches(training, range(1))
    np.testing.assert_allclose(
        batch["image"][:, 0, 0, 1], 200 * batch["classes"][:, 1], atol=1e-4
    )
    assert 0.05 < np.mean((batch["classes"][:, 1] % 1) > 0) < 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_shows_every_example_once_in_order(make_source, kind):
    examples = KINDS[kind](make_source(np.arange(11) % 3))
    shown = list(pipeline.evaluation(examples, prepare, batch_size=4))
    assert [len(batch["number"]) for batch in shown] == [4, 4, 3]
    joined = np.concatenate([batch["number"] for batch in shown])
    np.testing.assert_array_equal(joined, range(11))
