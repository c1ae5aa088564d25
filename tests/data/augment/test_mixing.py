import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment
from tfdl.ops import boxes

SEEDS = [tf.constant([number, 7]) for number in range(16)]
SIZE = 24
MIXES = pytest.mark.parametrize("mix", [augment.mixup, augment.cutmix])


def make_example(level, objects):
    masks = np.zeros([len(objects), SIZE, SIZE], np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, objects, strict=True):
        mask[top:bottom, left:right] = 1
    example = {
        "image": np.full([SIZE, SIZE, 3], level, np.float32),
        "classes": np.eye(4, dtype=np.float32)[int(level * 2)],
        "boxes": np.float32(objects).reshape(-1, 4),
        "labels": np.arange(len(objects), dtype=np.int32),
        "masks": masks,
        "semantic": np.full([SIZE, SIZE], int(level * 2) + 1, np.uint8),
    }
    return {name: tf.constant(value) for name, value in example.items()}


@pytest.fixture
def example():
    return make_example(0.0, [(1, 1, 9, 9), (12, 3, 22, 8), (2, 15, 20, 23)])


@pytest.fixture
def partner():
    return make_example(1.0, [(4, 4, 20, 20), (0, 0, 24, 24)])


@MIXES
def test_classes_sum_to_one_and_share_as_the_pixels_do(mix, example, partner):
    for seed in SEEDS:
        mixed = mix(example, partner, seed=seed, alpha=1.0)
        np.testing.assert_allclose(tf.reduce_sum(mixed["classes"]), 1, rtol=1e-5)
        share = 1 - tf.reduce_mean(mixed["image"])  # black is the first's
        np.testing.assert_allclose(mixed["classes"][0], share, atol=1e-5)


@MIXES
def test_shapes_and_dtypes_stay_but_for_the_number_of_objects(mix, example, partner):
    mixed = mix(example, partner, seed=SEEDS[0])
    assert mixed.keys() == example.keys() | {"weights"}
    for name in ("image", "classes", "semantic"):
        assert mixed[name].shape == example[name].shape
    for name in ("boxes", "labels", "masks", "weights"):
        assert len(mixed[name]) == 3 + 2
    for name, value in example.items():
        assert mixed[name].dtype == value.dtype


@MIXES
def test_it_is_the_same_eagerly_and_in_tf_data(mix, example, partner):
    seeds = tf.data.Dataset.from_tensor_slices(tf.stack(SEEDS))
    piped = seeds.map(lambda seed: mix(example, partner, seed=seed))
    for seed, there in zip(SEEDS, piped, strict=True):
        here = mix(example, partner, seed=seed)
        for name, value in here.items():
            np.testing.assert_allclose(value, there[name], rtol=1e-6)


@MIXES
def test_other_seeds_give_other_shares(mix, example, partner):
    shares = [mix(example, partner, seed=seed)["classes"][0].numpy() for seed in SEEDS]
    assert len(set(shares)) > len(SEEDS) // 2


@MIXES
def test_an_image_alone_can_be_mixed(mix, example, partner):
    alone = {"image": example["image"]}
    mixed = mix(alone, {"image": partner["image"]}, seed=SEEDS[0])
    assert mixed.keys() == {"image"}


@MIXES
def test_pictures_without_objects(mix):
    nothing = make_example(0.0, [])
    mixed = mix(nothing, nothing, seed=SEEDS[0])
    assert mixed["boxes"].shape == (0, 4)
    assert mixed["weights"].shape == (0,)


@MIXES
def test_padding_keeps_its_weight_of_zero(mix, example, partner):
    example["weights"] = tf.constant([1.0, 0.0, 1.0])
    partner["weights"] = tf.constant([0.0, 1.0])
    for seed in SEEDS:
        weights = mix(example, partner, seed=seed)["weights"].numpy()
        assert weights[1] == weights[3] == 0


@MIXES
def test_other_keys_are_the_first_examples(mix, example, partner):
    example["name"], partner["name"] = tf.constant("first"), tf.constant("second")
    assert mix(example, partner, seed=SEEDS[0])["name"].numpy() == b"first"


def test_mixup_weighs_objects_by_the_share_of_their_picture(example, partner):
    for seed in SEEDS:
        mixed = augment.mixup(example, partner, seed=seed, alpha=1.0)
        share = mixed["classes"].numpy()[0]
        expected = [share] * 3 + [1 - share] * 2
        np.testing.assert_allclose(mixed["weights"], expected, rtol=1e-6)
        for name in ("boxes", "labels", "masks"):
            both = np.concatenate([example[name], partner[name]])
            np.testing.assert_array_equal(mixed[name], both)


def test_mixup_takes_semantic_from_the_larger_share(example, partner):
    for seed in SEEDS:
        mixed = augment.mixup(example, partner, seed=seed, alpha=1.0)
        own = mixed["classes"].numpy()[0] >= 0.5
        expected = (example if own else partner)["semantic"]
        np.testing.assert_array_equal(mixed["semantic"], expected)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
def test_shares_are_distributed_as_beta(alpha, example, partner):
    one = {"classes": example["classes"], "image": example["image"]}
    other = {"classes": partner["classes"], "image": partner["image"]}
    seeds = tf.data.Dataset.range(2000, output_type=tf.int32)
    shares = seeds.map(
        lambda number: augment.mixup(
            one, other, seed=tf.stack([number, 3]), alpha=alpha
        )["classes"][0]
    )
    shares = np.array(list(shares.as_numpy_iterator()))
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(shares.mean() - 0.5) < 4 * np.sqrt(variance / len(shares))
    np.testing.assert_allclose(shares.var(), variance, rtol=0.15)


def test_a_tiny_alpha_takes_one_example_or_the_other(example, partner):
    for seed in SEEDS:
        mixed = augment.mixup(example, partner, seed=seed, alpha=0.01)
        assert np.isfinite(mixed["image"]).all()


def test_cutmix_pastes_pixels_semantic_and_masks_in_one_rectangle(example, partner):
    for seed in SEEDS:
        mixed = augment.cutmix(example, partner, seed=seed)
        pasted = mixed["image"].numpy()[:, :, 0] == 1
        places = np.argwhere(pasted)
        if len(places):
            assert len(places) == np.prod(np.ptp(places, axis=0) + 1)
        np.testing.assert_array_equal(mixed["semantic"], np.where(pasted, 3, 1))
        own = example["masks"].numpy() * ~pasted
        others = partner["masks"].numpy() * pasted
        expected = np.concatenate([own, others])
        np.testing.assert_array_equal(mixed["masks"], expected)


def test_cutmix_boxes_are_those_of_what_is_seen(example, partner):
    num_dropped = 0
    for seed in SEEDS:
        mixed = augment.cutmix(example, partner, seed=seed)
        tight = boxes.from_masks(mixed["masks"]).numpy()
        original = np.concatenate([example["boxes"], partner["boxes"]])
        seen = mixed["masks"].numpy().sum(axis=(1, 2)) / boxes.area(original).numpy()
        kept = seen >= 0.1
        num_dropped += (~kept).sum()
        np.testing.assert_array_equal(mixed["weights"], kept)
        np.testing.assert_array_equal(mixed["boxes"], tight * kept[:, None])
        labels = np.concatenate([example["labels"], partner["labels"]])
        np.testing.assert_array_equal(mixed["labels"], np.where(kept, labels, -1))
    assert num_dropped > 5


@MIXES
@pytest.mark.parametrize("alpha", [0, -1])
def test_alpha_must_be_positive(mix, alpha, example, partner):
    with pytest.raises(errors.UsageError, match="alpha"):
        mix(example, partner, seed=SEEDS[0], alpha=alpha)


def test_a_share_outside_zero_to_one_is_refused(example, partner):
    with pytest.raises(errors.UsageError, match="min_visibility"):
        augment.cutmix(example, partner, seed=SEEDS[0], min_visibility=2)
