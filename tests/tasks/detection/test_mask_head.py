"""The masks of boxes: their loss against a loop, and the choice of the class's own."""

import keras
import numpy as np
import pytest

from tfdl.tasks.detection import mask_head

CLASSES = 3


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


@pytest.fixture
def known():
    """Two pictures with two objects each, whose masks are a half and a corner."""
    outlines = np.zeros((2, 2, 28, 28), np.float32)
    outlines[:, 0, :, :14] = 1
    outlines[:, 1, 14:, 14:] = 1
    boxes = np.array([[[0, 0, 28, 28], [20, 10, 48, 66]]] * 2, np.float32)
    return {"boxes": boxes, "outlines": outlines}


@pytest.fixture
def drawn(known):
    """Each object's own box, and one of the background."""
    background = np.zeros((2, 1, 4), np.float32)
    return {
        "boxes": np.concatenate([known["boxes"], background], 1),
        "owners": np.array([[0, 1, 0], [0, 1, 0]], np.int32),
        "labels": np.array([[2, 0, CLASSES], [1, 1, CLASSES]], np.int32),
        "weights": np.array([[1, 1, 1], [1, 0, 1]], np.float32),
    }


def test_the_loss_is_the_mean_over_the_masks_of_objects(known, drawn):
    logits = np.random.default_rng(0).normal(size=(2, 3, 28, 28, CLASSES + 1))
    found = mask_head.losses(drawn, logits.astype(np.float32), known)["mask_loss"]
    for picture in range(2):
        parts = []
        for box in range(2):
            if drawn["weights"][picture, box]:
                own = logits[picture, box, ..., drawn["labels"][picture, box]]
                right = np.where(known["outlines"][picture, box] > 0, 1, -1)
                parts.append(-np.log(sigmoid(own * right)).mean())
        np.testing.assert_allclose(found[picture], np.mean(parts), rtol=1e-5)


def test_a_picture_without_objects_costs_nothing(known, drawn):
    logits = np.ones((2, 3, 28, 28, CLASSES + 1), np.float32)
    drawn["weights"][0, :2] = 0
    found = mask_head.losses(drawn, logits, known)["mask_loss"]
    assert found[0] == 0
    assert found[1] > 0


def test_a_box_that_is_cut_is_compared_with_its_part_of_the_object(known, drawn):
    drawn["boxes"][0, 0] = (0, 0, 14, 28)  # all of it is within the object
    logits = np.full((2, 3, 28, 28, CLASSES + 1), 20, np.float32)
    drawn["weights"][0, 1] = 0
    assert mask_head.losses(drawn, logits, known)["mask_loss"][0] < 1e-4


def test_even_masks_cost_what_the_start_tells(known, drawn):
    logits = np.zeros((2, 3, 28, 28, CLASSES + 1), np.float32)
    known["boxes"][1] = 0
    drawn["weights"][1] = 0
    found = mask_head.losses(drawn, logits, known)["mask_loss"]
    assert np.mean(found) == pytest.approx(mask_head.start_loss(known))


def test_every_box_has_the_mask_of_its_class():
    logits = np.random.default_rng(0).normal(size=(1, 3, 4, 4, CLASSES + 1))
    labels = np.array([[1, 0, -1]], np.int32)
    found = mask_head.OwnMasks()(logits.astype(np.float32), labels)
    np.testing.assert_allclose(found[0, 0], sigmoid(logits[0, 0, ..., 1]), rtol=1e-5)
    np.testing.assert_allclose(found[0, 1], sigmoid(logits[0, 1, ..., 0]), rtol=1e-5)
    assert not np.any(found[0, 2])


def test_the_head_answers_each_box_alike():
    inputs = keras.Input((2, 14, 14, 8))
    model = keras.Model(inputs, mask_head.layers(CLASSES, width=0.125)(inputs))
    one = np.random.default_rng(0).random((1, 1, 14, 14, 8), np.float32)
    found = np.array(model(np.repeat(one, 2, axis=1)))
    assert found.shape == (1, 2, 28, 28, CLASSES + 1)
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=1e-6)
