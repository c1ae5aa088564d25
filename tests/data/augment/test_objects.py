import numpy as np
import tensorflow as tf

from tfdl.data.augment import objects
from tfdl.ops import boxes

EXAMPLE = {
    "image": tf.zeros([8, 8, 3]),
    "boxes": tf.constant([[0.0, 0.0, 4.0, 2.0], [6.0, 0.0, 8.0, 8.0]]),
    "labels": tf.constant([3, 5]),
}
RECTANGLE = tf.constant([2.0, 0.0, 6.0, 8.0])


def test_weights_are_one_times_the_share_unless_there_are_some():
    taken = objects.weighted(EXAMPLE, 0.25)
    assert taken.keys() == {"boxes", "labels", "weights"}
    np.testing.assert_array_equal(taken["weights"], [0.25, 0.25])
    padded = EXAMPLE | {"weights": tf.constant([1.0, 0.0])}
    np.testing.assert_array_equal(objects.weighted(padded, 0.5)["weights"], [0.5, 0])


def test_boxes_are_cut_and_those_outside_become_padding():
    cut = objects.inside(objects.weighted(EXAMPLE, 1.0), RECTANGLE, 0.1)
    np.testing.assert_array_equal(cut["boxes"], [[2, 0, 4, 2], [0, 0, 0, 0]])
    np.testing.assert_array_equal(cut["labels"], [3, -1])
    np.testing.assert_array_equal(cut["weights"], [1, 0])


def test_a_box_of_which_less_is_seen_than_asked_becomes_padding():
    cut = objects.inside(objects.weighted(EXAMPLE, 1.0), RECTANGLE, 0.51)
    assert not cut["boxes"].numpy().any()


def test_cut_boxes_are_the_intersection_of_the_oracle():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 8, [50, 2, 2]).astype("float32")
    whole = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    cut = objects.inside(objects.weighted({"boxes": whole}, 1.0), RECTANGLE, 0.0)
    expected = boxes.intersection(whole, RECTANGLE[None])[:, 0]
    np.testing.assert_allclose(boxes.area(cut["boxes"]), expected, rtol=1e-5)


def test_objects_are_joined_in_order():
    parts = [objects.weighted(EXAMPLE, share) for share in (1.0, 0.5, 0.0)]
    joined = objects.joined(*parts)
    np.testing.assert_array_equal(joined["labels"], [3, 5] * 3)
    np.testing.assert_array_equal(joined["weights"], [1, 1, 0.5, 0.5, 0, 0])


def test_no_objects():
    none = {"boxes": tf.zeros([0, 4])}
    cut = objects.inside(objects.weighted(none, 1.0), RECTANGLE, 0.1)
    assert cut["boxes"].shape == (0, 4)
