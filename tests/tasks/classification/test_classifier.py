import keras
import numpy as np
import pytest

from tfdl.tasks.classification import classifier
from tfdl.training import optimizers


def compiled(multi_label, **options):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, inputs)  # its input are its logits
    optimizer = optimizers.optimizer("sgd", 0.1)
    return classifier.Objective(multi_label, **options).compile(model, optimizer)


LOGITS = np.float32([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
ONE_HOT = np.float32([[1, 0, 0], [0, 0, 1]])


def loss_and_accuracy(model, targets):
    return model.evaluate(LOGITS, targets, verbose=0)


def test_the_loss_of_classes_is_the_hand_computed_cross_entropy():
    loss, accuracy = loss_and_accuracy(compiled(False), ONE_HOT)
    first = np.log(np.exp(2) + 1 + np.exp(-1)) - 2
    assert loss == pytest.approx((first + np.log(3)) / 2, rel=1e-5)
    assert accuracy == 0.5


def test_smoothed_targets_cost_a_sure_answer():
    plain, _ = loss_and_accuracy(compiled(False), ONE_HOT)
    smooth, _ = loss_and_accuracy(compiled(False, label_smoothing=0.3), ONE_HOT)
    # 0.1 of the target goes to each class: the first row's mean logit is 1/3, not 2.
    assert smooth - plain == pytest.approx(0.3 * (2 - 1 / 3) / 2, rel=1e-4)


def test_the_loss_of_labels_is_the_mean_binary_cross_entropy():
    targets = np.float32([[1, 1, 0], [0, 0, 0]])
    loss, accuracy = loss_and_accuracy(compiled(True), targets)
    signs = np.where(targets, 1, -1)
    assert loss == pytest.approx(np.log1p(np.exp(-signs * LOGITS)).mean(), rel=1e-5)
    assert accuracy == pytest.approx(5 / 6)  # a logit of 0 is no label


def test_mixed_targets_are_distributions():
    mixed = np.float32([[0.7, 0.3, 0.0], [0.0, 0.5, 0.5]])
    loss, _ = loss_and_accuracy(compiled(False), mixed)
    log_probabilities = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    assert loss == pytest.approx(-(mixed * log_probabilities).sum() / 2, rel=1e-5)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_losses_in_theory_are_keras_own(multi_label, label_smoothing):
    """At equal logits, and at the logits of the smoothed targets."""
    targets = np.asarray([[1, 0, 0, 0], [0.25, 0.75, 0, 0]], "float32")
    if multi_label:
        targets = np.asarray([[1, 0, 1, 0], [0, 0, 0, 1]], "float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Identity()])
    objective = classifier.Objective(multi_label, label_smoothing)
    objective.compile(model, keras.optimizers.SGD())
    start = model.evaluate(np.zeros((2, 4)), targets, verbose=0)[0]
    np.testing.assert_allclose(start, objective.start_loss(4), rtol=1e-6)

    floor = 0.5 if multi_label else 0.25
    smoothed = targets * (1 - label_smoothing) + floor * label_smoothing
    smoothed = np.clip(smoothed.astype("float64"), 1e-9, 1 - 1e-9)
    odds = smoothed / (1 - smoothed) if multi_label else smoothed
    least = model.evaluate(np.log(odds), targets, verbose=0)[0]
    expected = objective.least_loss((None, targets))
    np.testing.assert_allclose(least, expected, atol=1e-5)
