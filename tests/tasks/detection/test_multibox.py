"""SSD's loss against NumPy and PyTorch, its negatives, and pictures without objects."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfdl.tasks.detection import multibox

BATCH, ANCHORS, CLASSES = 3, 40, 4


def random_targets():
    rng = np.random.default_rng(0)
    labels = np.full((BATCH, ANCHORS), -1, np.int32)
    labels[0, :5] = rng.integers(CLASSES, size=5)
    labels[1, :20] = rng.integers(CLASSES, size=20)  # 20 negatives are not enough
    weights = np.float32(labels >= 0)
    weights[0, :2] = 0.5
    deltas = (
        rng.normal(size=(BATCH, ANCHORS, 4)).astype("f4") * (labels >= 0)[..., None]
    )
    return {"labels": labels, "weights": weights, "deltas": deltas}


def random_outputs():
    rng = np.random.default_rng(1)
    return {
        "classes": rng.normal(size=(BATCH, ANCHORS, 1 + CLASSES)).astype("f4") * 3,
        "deltas": rng.normal(size=(BATCH, ANCHORS, 4)).astype("f4"),
    }


def slow_losses(targets, outputs):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    parts = {"class_loss": [], "box_loss": []}
    for picture in range(BATCH):
        labels, weights = targets["labels"][picture], targets["weights"][picture]
        entropy = functional.cross_entropy(
            torch.tensor(outputs["classes"][picture]),
            torch.tensor(labels + 1, dtype=torch.int64),
            reduction="none",
        ).numpy()
        positives = max(1, (labels >= 0).sum())
        hardest = np.sort(entropy[labels < 0])[::-1][: 3 * positives]
        parts["class_loss"].append(
            ((entropy * weights).sum() + hardest.sum()) / positives
        )
        box = functional.smooth_l1_loss(
            torch.tensor(outputs["deltas"][picture]),
            torch.tensor(targets["deltas"][picture]),
            reduction="none",
        ).numpy()
        parts["box_loss"].append((box.sum(axis=-1) * weights).sum() / positives)
    return parts


def test_losses_equal_pytorch():
    targets, outputs = random_targets(), random_outputs()
    found, expected = multibox.losses(targets, outputs), slow_losses(targets, outputs)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)


def test_equal_probabilities_by_hand():
    """5 positives, two of them halves, and 15 negatives; 20 and 20; 3 without any."""
    outputs = {
        "classes": np.zeros((BATCH, ANCHORS, 1 + CLASSES), np.float32),
        "deltas": np.zeros((BATCH, ANCHORS, 4), np.float32),
    }
    targets = random_targets()
    expected = np.array([(4 + 15) / 5, (20 + 20) / 20, 3.0]) * math.log(5)
    found = multibox.losses(targets, outputs)["class_loss"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    start = multibox.start_losses(targets, num_classes=CLASSES)
    assert start == {"class_loss": pytest.approx(expected.mean())}


def test_only_positives_and_the_hardest_negatives_have_a_gradient():
    targets = random_targets()
    outputs = {name: tf.constant(some) for name, some in random_outputs().items()}
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        parts = multibox.losses(targets, outputs)
        loss = sum(tf.reduce_sum(part) for part in parts.values())
    gradients = tape.gradient(loss, outputs)
    is_touched = np.any(gradients["classes"].numpy() != 0, axis=-1)
    np.testing.assert_array_equal(is_touched.sum(axis=1), [5 + 15, 20 + 20, 3])
    np.testing.assert_array_equal(
        np.any(gradients["deltas"].numpy() != 0, axis=-1), targets["labels"] >= 0
    )


def test_bfloat16_outputs_give_float32_losses():
    outputs = {
        name: tf.cast(some, tf.bfloat16) for name, some in random_outputs().items()
    }
    found = multibox.losses(random_targets(), outputs)
    assert {part.dtype.name for part in found.values()} == {"float32"}
