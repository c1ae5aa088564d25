import numpy as np
import pytest
import tensorflow as tf

from tfdl.ops import block_suppression

BLOCK = block_suppression.BLOCK


def kept(boxes, labels=None, is_sure=None, *, threshold=0.5, max_kept=1000):
    """Ask about the boxes of one picture."""
    count = len(boxes)
    labels = np.zeros(count, np.int32) if labels is None else labels
    is_sure = np.ones(count, bool) if is_sure is None else is_sure
    return block_suppression.kept(
        tf.constant([boxes], tf.float32),
        tf.constant([labels]),
        tf.constant([is_sure]),
        iou_threshold=tf.constant([[threshold]]),
        max_kept=max_kept,
    ).numpy()[0]


def row_of_squares(count, *, apart):
    """Lay squares of 10 pixels in a row, each so far from the one before."""
    left = apart * np.arange(count, dtype=np.float32)
    return np.stack([left, 0 * left, left + 10, 0 * left + 10], axis=1)


def slow_kept(boxes, labels, is_sure, threshold):
    chosen = []
    for index, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        overlaps = []
        for other in chosen:
            if labels[other] == label:
                low = np.maximum(box[:2], boxes[other][:2])
                high = np.minimum(box[2:], boxes[other][2:])
                shared = np.prod(np.maximum(high - low, 0))
                areas = [np.prod(b[2:] - b[:2]) for b in (box, boxes[other])]
                overlaps.append(shared / (sum(areas) - shared))
        if is_sure[index] and all(overlap <= threshold for overlap in overlaps):
            chosen.append(index)
    return np.isin(np.arange(len(boxes)), chosen)


@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_in_a_chain_of_neighbours_every_second_one_is_kept(count):
    """Each shares 8 of 12 with the next and 6 of 14 with the one after it."""
    expected = np.arange(count) % 2 == 0
    boxes = row_of_squares(count, apart=2)
    np.testing.assert_array_equal(kept(boxes, threshold=0.5), expected)


def test_it_equals_a_slow_loop_over_crowded_boxes_of_two_labels():
    rng = np.random.default_rng(0)
    count = 3 * BLOCK + 20
    low = rng.uniform(0, 40, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 30, (count, 2))], axis=1)
    labels = rng.integers(0, 2, count).astype(np.int32)
    is_sure = np.arange(count) < count - 30
    expected = slow_kept(boxes, labels, is_sure, 0.45)
    assert 20 < expected.sum() < count / 2
    found = kept(boxes, labels, is_sure, threshold=0.45)
    np.testing.assert_array_equal(found, expected)


def test_the_first_that_are_wanted_are_right_and_later_blocks_are_left_out():
    boxes = row_of_squares(3 * BLOCK, apart=20)
    found = kept(boxes, max_kept=5)
    assert found[:BLOCK].all()
    assert not found[BLOCK:].any()


def test_nothing_sure_keeps_nothing():
    boxes = row_of_squares(5, apart=20)
    assert not kept(boxes, is_sure=np.zeros(5, bool)).any()


def test_a_picture_that_is_done_waits_for_another():
    """The first has nothing sure in its second block, the second picture has."""
    boxes = row_of_squares(2 * BLOCK, apart=20)
    is_sure = np.stack([np.arange(2 * BLOCK) < 3, np.ones(2 * BLOCK, bool)])
    found = block_suppression.kept(
        tf.constant([boxes, boxes]),
        tf.zeros([2, 2 * BLOCK], tf.int32),
        tf.constant(is_sure),
        iou_threshold=tf.constant([[0.5]]),
        max_kept=1000,
    )
    np.testing.assert_array_equal(found, is_sure)
