import numpy as np
import tensorflow as tf

from tfdl.tasks.segmentation import targets, weight_maps


def test_plain_targets_are_the_labels():
    labels = tf.constant(np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
    assert targets.plain(labels) == {"labels": labels}


def test_a_gap_between_two_cells_counts_most_also_in_tf_data():
    """One pixel wide it is 1 from either: 1 + 10 exp(-(1 + 1)^2 / 50)."""
    labels = np.ones((3, 9, 9), np.uint8)
    labels[:, :, 4], labels[:, 0] = 0, 255
    weigh = targets.with_borders(10.0)
    dataset = tf.data.Dataset.from_tensors(labels).map(weigh)
    (found,) = dataset.as_numpy_iterator()
    assert dataset.element_spec["weights"].shape == (3, 9, 9)
    np.testing.assert_array_equal(found["labels"], labels)
    np.testing.assert_allclose(found["weights"][:, 5, 4], 1 + 10 * np.exp(-4 / 50))
    np.testing.assert_array_equal(found["weights"][:, 5, 0], 1)
    np.testing.assert_array_equal(found["weights"][:, 0], 0)


def test_each_map_is_weighed_by_itself():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, (2, 12, 12)).astype(np.uint8)
    ones = np.ones(2, np.float32)
    found = targets.with_borders(10.0)(tf.constant(labels))["weights"]
    for own, label_map in zip(found, labels, strict=True):
        np.testing.assert_array_equal(
            own, weight_maps.unet(tf.constant(label_map), class_weights=ones)
        )
