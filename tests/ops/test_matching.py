"""Matching by hand, against a greedy loop and keras-cv, with padding and crowds."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from tfdl.ops import boxes as boxes_of, matching


def import_keras_cv():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras_cv")


def random_boxes(shape, seed, size=100):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0, size, (*shape, 2))
    half = rng.uniform(size / 20, size / 4, (*shape, 2))
    return np.concatenate([centre - half, centre + half], axis=-1).astype(np.float32)


def random_iou(num_objects, num_anchors, seed=0):
    first, second = random_boxes((num_objects,), seed), random_boxes((num_anchors,), 9)
    return np.asarray(boxes_of.iou(first, second))


def greedy(iou):
    """The definition: the best pair of all leaves, until none overlaps."""
    iou, owners = iou.copy(), np.full(iou.shape[1], -1)
    while iou.max() > 0:
        number, anchor = np.unravel_index(iou.argmax(), iou.shape)
        owners[anchor] = number
        iou[number], iou[:, anchor] = 0, 0
    return owners


BY_HAND = np.float32(
    [
        [0.60, 0.55, 0.00, 0.45],
        [0.70, 0.20, 0.00, 0.10],
    ]
)


def test_by_hand():
    """The second object takes the first anchor, which the first would have liked."""
    found = matching.match(BY_HAND, np.ones(2), positive=0.5, negative=0.4)
    np.testing.assert_array_equal(found["objects"][:2], [1, 0])
    np.testing.assert_array_equal(found["is_positive"], [True, True, False, False])
    np.testing.assert_array_equal(found["is_negative"], [False, False, True, False])


def test_an_object_that_overlaps_little_has_one_anchor_all_the_same():
    iou = np.float32([[0.1, 0.2, 0.0]])
    found = matching.match(iou, np.ones(1), positive=0.5, negative=0.5)
    np.testing.assert_array_equal(found["is_positive"], [False, True, False])
    found = matching.match(
        iou, np.ones(1), positive=0.5, negative=0.5, one_for_each=False
    )
    assert not np.any(found["is_positive"])


@pytest.mark.parametrize("num_objects", [1, 5, 40, 90])
def test_one_for_each_is_the_greedy_matching(num_objects):
    iou = random_iou(num_objects, 60)
    np.testing.assert_array_equal(matching.take_one_each(iou), greedy(iou))


@pytest.mark.parametrize(("num_objects", "num_anchors"), [(9, 3), (3, 9), (1, 1)])
def test_objects_and_anchors_that_all_overlap(num_objects, num_anchors):
    iou = np.random.default_rng(0).uniform(0.1, 1, (num_objects, num_anchors))
    iou = iou.round(1).astype(np.float32)  # some are equal
    owners = np.asarray(matching.take_one_each(iou))
    np.testing.assert_array_equal(owners, greedy(iou))
    assert (owners >= 0).sum() == min(num_objects, num_anchors)


def test_equal_objects_take_different_anchors():
    iou = np.repeat(random_iou(1, 60), 6, axis=0)
    owners = np.asarray(matching.take_one_each(iou))
    np.testing.assert_array_equal(owners, greedy(iou))
    assert sorted(owners[owners >= 0]) == list(range(min(6, (iou[0] > 0).sum())))


@pytest.mark.parametrize(("positive", "negative"), [(0.5, 0.4), (0.5, 0.5), (0.7, 0.3)])
def test_thresholds_equal_keras_cv(positive, negative):
    iou = random_iou(12, 200)
    matcher = import_keras_cv().layers.BoxMatcher([negative, positive], [-1, -2, 1])
    objects, values = (np.asarray(some) for some in matcher(iou.T))
    found = matching.match(
        iou, np.ones(12), positive=positive, negative=negative, one_for_each=False
    )
    np.testing.assert_array_equal(found["is_positive"], values == 1)
    np.testing.assert_array_equal(found["is_negative"], values == -1)
    is_positive = values == 1
    np.testing.assert_array_equal(
        np.asarray(found["objects"])[is_positive], objects[is_positive]
    )


def test_one_for_each_equals_keras_cv_where_no_two_want_the_same():
    """But for the first anchor, which a column of padding takes from theirs."""
    iou = np.float32([[0.3, 0.2, 0.6, 0.1], [0.1, 0.35, 0.55, 0.45]])
    iou[1, 2] = 0.4
    matcher = import_keras_cv().layers.BoxMatcher(
        [0.4, 0.5], [-1, -2, 1], force_match_for_each_col=True
    )
    objects, values = (np.asarray(some) for some in matcher(iou.T))
    found = matching.match(iou, np.ones(2), positive=0.5, negative=0.4)
    np.testing.assert_array_equal(found["is_positive"][1:], values[1:] == 1)
    np.testing.assert_array_equal(found["objects"][1:], objects[1:])


def test_padding_is_never_matched():
    iou = random_iou(6, 60)
    weights = np.float32([1, 1, 0.3, 0, 0, 0])
    options = {"positive": 0.3, "negative": 0.2}
    found = matching.match(iou, weights, **options)
    expected = matching.match(iou[:3], weights[:3], **options)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    nobody = matching.match(iou, np.zeros(6), **options)
    assert np.all(nobody["is_negative"])
    assert not np.any(nobody["is_positive"])


def batch_of_objects(num_objects, size=100):
    weights = np.ones((3, num_objects), np.float32)
    weights[1] = 0
    return {"boxes": random_boxes((3, num_objects), 1, size), "weights": weights}


def test_a_batch_in_a_pipeline_is_every_picture_by_itself():
    anchors, objects = random_boxes((50,), 2), batch_of_objects(4)
    options = {"positive": 0.5, "negative": 0.4}
    data = tf.data.Dataset.from_tensor_slices(objects).batch(3)
    (found,) = data.map(lambda some: matching.match_boxes(some, anchors, **options))
    eagerly = matching.match_boxes(objects, anchors, **options)
    for number in range(3):
        iou = boxes_of.iou(objects["boxes"][number], anchors)
        expected = matching.match(iou, objects["weights"][number], **options)
        for name in expected:
            np.testing.assert_array_equal(found[name][number], expected[name])
            np.testing.assert_array_equal(eagerly[name][number], expected[name])


def test_in_a_graph_that_knows_neither_pictures_nor_objects():
    anchors, objects = random_boxes((50,), 2), batch_of_objects(4)
    options = {"positive": 0.5, "negative": 0.4}

    @tf.function(
        input_signature=[
            {
                "boxes": tf.TensorSpec((None, None, 4)),
                "weights": tf.TensorSpec((None, None)),
            }
        ]
    )
    def match(some):
        return matching.match_boxes(some, anchors, **options)

    found, expected = match(objects), matching.match_boxes(objects, anchors, **options)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_five_hundred_objects_have_an_anchor_each():
    anchors, objects = random_boxes((9000,), 2, 300), batch_of_objects(500, 300)
    found = matching.match_boxes(objects, anchors, positive=0.5, negative=0.5)
    for number, count in enumerate((500, 0, 500)):
        is_positive = np.asarray(found["is_positive"][number])
        owners = np.asarray(found["objects"][number])[is_positive]
        assert len(np.unique(owners)) == count
