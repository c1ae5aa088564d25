import keras
import numpy as np
import pytest

from tfdl.tasks.classification import classifier
from tfdl.training import optimizers


def compiled(multi_label, **options):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, inputs)  # its input are its logits
    optimizer = optimizers.optimizer("sgd", 0.1)
    return classifier.compile_model(model, optimizer, multi_label, **options)


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
