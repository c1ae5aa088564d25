import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.tasks.segmentation import segmenter
from tfdl.training import optimizers

CLASSES = 3


def network(*, auxiliary=True):
    """Two convolutions, the first of them with a head of its own."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="c")(inputs)
    outputs = {"logits": keras.layers.Conv2D(CLASSES, 1, name="logits")(x)}
    if auxiliary:
        outputs["auxiliary"] = keras.layers.Conv2D(CLASSES, 1, name="head")(x)
    return keras.Model(inputs, outputs)


def examples(count=4):
    """Draw pictures whose class is that of their largest colour; a row is ignored."""
    images = np.random.default_rng(0).random((count, 6, 5, 3), np.float32)
    labels = images.argmax(axis=-1).astype(np.uint8)
    labels[:, 0] = 255
    return images, labels


def compiled(objective=segmenter.Objective(), **how):  # noqa: B008 (it is frozen)
    optimizer = optimizers.optimizer("adam", 0.05)
    model = objective.compile(network(**how), optimizer)
    optimizers.build(model)
    return model


def test_without_knowledge_the_loss_is_ln_of_the_classes_for_every_head():
    labels = {"labels": tf.constant(examples()[1])}
    goal = segmenter.Objective()
    alone = goal.start_loss(labels, network(auxiliary=False))
    assert alone == pytest.approx(math.log(CLASSES), rel=1e-6)
    both = goal.start_loss(labels, network())
    assert both == pytest.approx(1.4 * math.log(CLASSES), rel=1e-6)


def test_a_picture_that_is_all_ignored_costs_nothing():
    images, labels = examples(2)
    labels[1] = 255
    found = compiled(auxiliary=False).evaluate(
        images, {"labels": labels}, verbose=0, return_dict=True
    )
    one = compiled(auxiliary=False).evaluate(
        images[:1], {"labels": labels[:1]}, verbose=0, return_dict=True
    )
    assert found["loss"] == pytest.approx(one["loss"] / 2, rel=1e-5)
    assert found["pixel_accuracy"] == pytest.approx(one["pixel_accuracy"])


def test_training_finds_the_largest_colour():
    images, labels = examples()
    model = compiled()
    model.fit(images, {"labels": labels}, epochs=150, verbose=0)
    found = model.evaluate(images, {"labels": labels}, verbose=0, return_dict=True)
    assert found["pixel_accuracy"] > 0.95
    assert found["loss"] < 0.5


def test_the_accuracy_is_of_the_pixels_that_count():
    images, labels = examples()
    model = compiled()
    found = model.evaluate(images, {"labels": labels}, verbose=0, return_dict=True)
    predicted = model(images)["logits"].numpy().argmax(axis=-1)
    expected = np.mean(predicted[:, 1:] == labels[:, 1:])
    assert found["pixel_accuracy"] == pytest.approx(expected, rel=1e-6)


def test_weights_of_pixels_and_classes_change_the_loss():
    images, labels = examples()
    weights = np.zeros(labels.shape, np.float32)
    weights[:, 2] = 1.0
    model = compiled(auxiliary=False)
    outputs = model(images)
    targets = {"labels": tf.constant(labels), "weights": tf.constant(weights)}
    own = segmenter.Objective().of_pictures(targets, outputs).numpy()[0]
    logits = outputs["logits"].numpy()[0, 2].astype(np.float64)
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -np.sum(logs[np.arange(5), labels[0, 2]]) / np.sum(labels[0] != 255)
    assert own == pytest.approx(expected, rel=1e-5)


def test_what_answers_has_no_auxiliary_heads_and_the_same_layers():
    model = compiled()
    answering = model.inference_model
    assert set(answering.output) == {"logits"}
    assert answering.get_layer("c") is model.get_layer("c")
    assert "head" not in {layer.name for layer in answering.layers}


def test_an_unknown_loss_is_refused_by_name():
    for kind in (segmenter.Objective, segmenter.Goal):
        with pytest.raises(errors.UsageError, match="no loss 'hinge'"):
            kind("dice+hinge")


def test_a_goal_weighs_the_classes_of_its_data(split):
    objective = segmenter.Goal("dice", "inverse").objective(split)
    assert objective.loss == "dice"
    ground, thing = objective.class_weights
    assert thing / ground == pytest.approx((19 * 24 - 99) / 99)
    assert segmenter.Goal().objective(split).class_weights is None


def test_gaps_between_cells_are_weighed_in_the_targets_and_classes_in_the_loss(split):
    goal = segmenter.Goal(class_weights="inverse", border_weight=10.0)
    assert goal.objective(split).class_weights is not None
    labels = tf.zeros([1, 4, 4], tf.uint8)
    np.testing.assert_array_equal(goal.targets(labels)["weights"], 1)
    assert set(segmenter.Goal().targets(labels)) == {"labels"}


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_a_border_weight_that_is_none_is_refused(weight):
    with pytest.raises(errors.UsageError, match="--border-weight"):
        segmenter.Goal(border_weight=weight)
