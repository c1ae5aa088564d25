"""The second stage by hand, and boxes read from the level of their size."""

import keras
import numpy as np
import pytest

from tfdl.ops import box_coding, rois
from tfdl.tasks.detection import box_head

CLASSES = 3


def outputs(logits, deltas=None):
    logits = np.float32(logits)[None]
    if deltas is None:
        deltas = np.zeros((*logits.shape, 4))
    return {"classes": logits, "deltas": np.float32(deltas)}


def targets(labels, weights, deltas=None):
    if deltas is None:
        deltas = np.zeros((len(labels), 4))
    return {
        "labels": np.int32([labels]),
        "weights": np.float32([weights]),
        "deltas": np.float32(deltas)[None],
    }


def test_losses_by_hand():
    """One object of weight 2, one background, one that only fills up."""
    logits = np.zeros((3, CLASSES + 1))
    logits[0, 1] = np.log(5)  # 5 / 8
    deltas = np.zeros((1, 3, CLASSES + 1, 4))
    deltas[0, 0, 1] = [1, 0, 0, 0]  # of the object's class
    deltas[0, 0, 2] = 7  # of another
    deltas[0, 1, 3] = 7  # of the background
    found = box_head.losses(
        targets([1, CLASSES, 0], [2, 1, 0]), outputs(logits, deltas)
    )
    classes = (-2 * np.log(5 / 8) + np.log(4)) / 2
    assert float(found["class_loss"][0]) == pytest.approx(classes, rel=1e-5)
    assert float(found["box_loss"][0]) == pytest.approx(2 * (1 - 1 / 18) / 2, rel=1e-5)


def test_nothing_drawn_loses_nothing():
    found = box_head.losses(targets([0, 0], [0, 0]), outputs(np.ones((2, CLASSES + 1))))
    assert found["class_loss"][0] == found["box_loss"][0] == 0


def test_every_class_moves_the_proposal_in_its_own_way():
    box = np.float32([[10, 20, 30, 60]])
    moved = np.float32([[12, 20, 30, 50], [0, 0, 40, 80], [10, 20, 30, 60]])
    deltas = np.zeros((1, 1, CLASSES + 1, 4))
    deltas[0, 0, :CLASSES] = box_coding.encode(moved, np.repeat(box, 3, axis=0))
    proposals = {"boxes": box[None], "weights": np.ones((1, 1), np.float32)}
    found = box_head.decode(proposals, outputs([[0, np.log(2), 0, 0]], deltas))
    np.testing.assert_allclose(found["boxes"][0, 0], moved, atol=1e-4)
    np.testing.assert_allclose(found["scores"][0, 0], [0.2, 0.4, 0.2], rtol=1e-5)


def test_what_is_no_proposal_is_nothing():
    proposals = {"boxes": np.zeros((1, 2, 4)), "weights": np.float32([[1, 0]])}
    found = box_head.decode(proposals, outputs(np.ones((2, CLASSES + 1))))
    assert found["scores"][0, 0].numpy().min() > 0
    np.testing.assert_array_equal(found["scores"][0, 1], 0)


def test_each_number_of_boxes_is_answered_by_the_same_weights():
    answer = box_head.layers(CLASSES, width=0.125)
    few, many = (keras.Input((count, 2, 2, 6)) for count in (3, 8))
    one, other = (keras.Model(x, answer(x)) for x in (few, many))
    features = np.random.default_rng(0).normal(size=(1, 8, 2, 2, 6)).astype("f4")
    first, second = one(features[:, :3]), other(features)
    np.testing.assert_allclose(first["deltas"], second["deltas"][:, :3], atol=1e-6)
    np.testing.assert_allclose(first["classes"], second["classes"][:, :3], atol=1e-6)
    assert one.count_params() == other.count_params()


def test_small_boxes_are_read_from_fine_maps():
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(1, 64 // s, 64 // s, 2)).astype("f4") for s in (4, 8)]
    boxes = np.float32([[[0, 0, 60, 60], [0, 0, 500, 500]]])
    found = box_head.AlignedRois([4, 8], size=3)(maps, boxes)
    for number, level in enumerate([0, 1]):
        expected = rois.align(
            maps, boxes, np.full((1, 2), level), strides=[4, 8], size=3
        )
        np.testing.assert_array_equal(found[:, number], expected[:, number])
