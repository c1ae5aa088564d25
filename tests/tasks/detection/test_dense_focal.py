"""RetinaNet's loss against keras-cv, its closed form, and pictures without objects."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from tfdl.tasks.detection import dense_focal

BATCH, ANCHORS, CLASSES = 3, 40, 4


def import_keras_cv():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras_cv")


def random_targets():
    rng = np.random.default_rng(0)
    labels = np.full((BATCH, ANCHORS), -1, np.int32)
    labels[0, :5] = rng.integers(CLASSES, size=5)
    labels[1, :20] = rng.integers(CLASSES, size=20)
    labels[:, 30:] = -2
    weights = np.float32(labels >= 0)
    weights[0, :2] = 0.5
    deltas = (
        rng.normal(size=(BATCH, ANCHORS, 4)).astype("f4") * (labels >= 0)[..., None]
    )
    return {"labels": labels, "weights": weights, "deltas": deltas}


def random_outputs():
    rng = np.random.default_rng(1)
    return {
        "classes": rng.normal(size=(BATCH, ANCHORS, CLASSES)).astype("f4") * 3,
        "deltas": rng.normal(size=(BATCH, ANCHORS, 4)).astype("f4"),
    }


def test_losses_equal_keras_cv():
    """Theirs is not linear from 1/9 on, so the boxes are compared with NumPy."""
    targets, outputs = random_targets(), random_outputs()
    focal = import_keras_cv().losses.FocalLoss(from_logits=True, reduction="none")
    truth = np.eye(CLASSES + 2, dtype="f4")[targets["labels"]][..., :CLASSES]
    classes = np.asarray(focal(truth, outputs["classes"]))  # summed over them
    shares = np.where(targets["labels"] == -1, 1, targets["weights"])
    positives = np.array([5, 20, 1])
    found = dense_focal.losses(targets, outputs)
    expected = (classes * shares).sum(axis=1) / positives
    np.testing.assert_allclose(found["class_loss"], expected, rtol=1e-4)

    errors = np.abs(outputs["deltas"] - targets["deltas"])
    smooth = np.where(errors < 1 / 9, 4.5 * errors**2, errors - 1 / 18).sum(axis=-1)
    expected = (smooth * targets["weights"]).sum(axis=1) / positives
    np.testing.assert_allclose(found["box_loss"], expected, rtol=1e-5)


def test_start_losses_are_those_of_the_prior():
    targets = random_targets()
    outputs = {
        "classes": np.full((BATCH, ANCHORS, CLASSES), -np.log(99), np.float32),
        "deltas": np.zeros((BATCH, ANCHORS, 4), np.float32),
    }
    found = dense_focal.losses(targets, outputs)["class_loss"]
    start = dense_focal.start_losses(targets, num_classes=CLASSES)
    assert start == {"class_loss": pytest.approx(np.mean(found), rel=1e-5)}


def test_start_loss_of_one_positive_by_hand():
    """0.25 * 0.99^2 * ln 100 for it, and nearly nothing for the other class."""
    targets = {"labels": np.int32([[0]]), "weights": np.float32([[1]])}
    start = dense_focal.start_losses(targets, num_classes=2)["class_loss"]
    assert start == pytest.approx(1.12838 + 7.538e-7, rel=1e-5)


def test_the_ignored_have_no_gradient_and_the_background_no_boxes():
    targets = random_targets()
    outputs = {name: tf.constant(some) for name, some in random_outputs().items()}
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        parts = dense_focal.losses(targets, outputs)
        loss = sum(tf.reduce_sum(part) for part in parts.values())
    gradients = {
        name: np.any(some.numpy() != 0, axis=-1)
        for name, some in tape.gradient(loss, outputs).items()
    }
    np.testing.assert_array_equal(gradients["classes"], targets["labels"] != -2)
    np.testing.assert_array_equal(gradients["deltas"], targets["labels"] >= 0)


def test_bfloat16_outputs_give_float32_losses():
    outputs = {
        name: tf.cast(some, tf.bfloat16) for name, some in random_outputs().items()
    }
    found = dense_focal.losses(random_targets(), outputs)
    assert {part.dtype.name for part in found.values()} == {"float32"}
