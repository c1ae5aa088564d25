"""Auxiliary classifiers add to the loss, are trained, and are not in what answers."""

import keras
import numpy as np
import pytest

from tfdl.backbones import BACKBONES, WITH_AUXILIARY
from tfdl.tasks.classification import auxiliary, classifier

CLASSES = 4


@pytest.fixture
def batch():
    random = np.random.default_rng(0)
    images = random.random((8, 80, 80, 3), np.float32)
    return images, np.eye(CLASSES, dtype=np.float32)[np.arange(8) % CLASSES]


def network():
    keras.utils.set_random_seed(0)
    # Dropout would make two calls differ.
    options = {"width": 0.125, "dropout_rate": 0.0}
    return WITH_AUXILIARY["googlenet"]((80, 80, 3), CLASSES, **options)


def test_the_loss_is_the_weighted_sum(batch):
    images, targets = batch
    model = auxiliary.DeeplySupervised(network())
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    logits = model(images)
    each = {name: _cross_entropy(np.array(logits[name]), targets) for name in logits}
    expected = each["logits"] + 0.3 * (each["auxiliary1"] + each["auxiliary2"])
    assert float(model.compute_loss(images, targets, logits)) == pytest.approx(
        expected, rel=1e-5
    )


def _cross_entropy(logits, targets):
    logits = logits - logits.max(axis=-1, keepdims=True)
    log_sums = np.log(np.exp(logits).sum(axis=-1))
    return float(np.mean(log_sums - (logits * targets).sum(axis=-1)))


@pytest.mark.slow
def test_training_moves_every_classifier_and_measures_the_logits(batch):
    model = network()
    model = classifier.Objective().compile(model, keras.optimizers.Adam(2e-3))
    model.optimizer.build(model.trainable_variables)
    before = [np.array(weights) for weights in model.trainable_variables]
    loss_before, accuracy = model.evaluate(*batch, verbose=0)
    assert accuracy in np.arange(9) / 8
    model.fit(*batch, epochs=20, verbose=0)  # heads drop out: compare without
    assert model.evaluate(*batch, verbose=0)[0] < 0.7 * loss_before
    for weights, old in zip(model.trainable_variables, before, strict=True):
        assert np.abs(np.array(weights) - old).max() > 0, weights.path


def test_what_answers_has_the_layers_of_the_plain_classifier(batch):
    model = auxiliary.DeeplySupervised(network())
    answers = model.inference_model
    plain = BACKBONES["googlenet"]((80, 80, 3), CLASSES, width=0.125)
    assert [each.name for each in answers.layers if each.weights] == [
        each.name for each in plain.layers if each.weights
    ]
    np.testing.assert_array_equal(answers(batch[0]), model(batch[0])["logits"])
