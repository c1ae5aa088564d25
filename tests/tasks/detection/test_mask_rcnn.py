"""Mask R-CNN: published counts, start losses, and four pictures by heart."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.ops import masks as masks_of
from tfdl.tasks.detection import mask_rcnn, postprocess

SIDE, CLASSES = 128, 10
NORMS_OF_RESNET50 = 53_120  # scales and offsets, which the published counts lack
THRESHOLDS = postprocess.Thresholds(score_threshold=0.05, iou_threshold=0.5)


@pytest.fixture(scope="module")
def small():
    return mask_rcnn.mask_rcnn(
        (SIDE, SIDE, 3),
        CLASSES,
        thresholds=THRESHOLDS,
        backbone="resnet18",
        width=0.125,
    )


def fed(made, images, objects):
    return made.feed(
        tf.constant(images), {name: tf.constant(each) for name, each in objects.items()}
    )


def shown(mask, frame):
    """Lay a mask into its picture."""
    picture = np.array([0, 0, SIDE, SIDE], np.float32)
    return np.array(masks_of.resample(mask, frame, picture, (SIDE, SIDE))) >= 0.5


@pytest.mark.parametrize(("num_classes", "count"), [(90, 44_401_393), (1, 43_922_395)])
def test_it_has_the_published_number_of_parameters(num_classes, count):
    """Of 91 classes and of 2, the background among them, as torchvision counts."""
    for network in mask_rcnn.networks(
        (128, 128, 3), num_classes, thresholds=THRESHOLDS
    ):
        found = sum(math.prod(weight.shape) for weight in network.trainable_variables)
        assert found == count + NORMS_OF_RESNET50


def test_both_networks_have_the_same_weights(small):
    before = {id(weight) for weight in small.network.weights}
    assert before == {id(weight) for weight in small.training_network.weights}


def test_answers_have_a_mask_for_every_box(small):
    images = np.random.default_rng(0).random((2, SIDE, SIDE, 3), dtype="f4")
    found = small.inference_model(images)
    assert found["boxes"].shape == (2, 100, 4)
    assert found["masks"].shape == (2, 100, 28, 28)
    is_real = np.array(found["labels"]) >= 0
    assert not np.array(found["masks"])[~is_real].any()
    assert 0 <= np.min(found["boxes"]) <= np.max(found["boxes"]) <= SIDE


def test_losses_start_where_theory_says(small, outlined_drawings):
    inputs, targets = fed(small, *outlined_drawings())
    found = small.losses(targets, small.training_network(inputs, training=True))
    expected = small.start_losses(targets)
    assert expected["mask_loss"] == pytest.approx(math.log(2))
    for name, value in expected.items():
        assert np.mean(found[name]) == pytest.approx(value, rel=0.05)


def test_padding_and_empty_pictures(small, outlined_drawings):
    images, objects = outlined_drawings(2)
    objects["weights"][1], objects["labels"][1], objects["boxes"][1] = 0, -1, 0
    inputs, targets = fed(small, images, objects)
    found = small.losses(targets, small.training_network(inputs))
    assert all(np.isfinite(part).all() for part in found.values())
    assert found["mask_loss"][1] == found["box_loss"][1] == 0
    assert found["mask_loss"][0] > 0


def test_every_weight_has_a_gradient(small, outlined_drawings):
    inputs, targets = fed(small, *outlined_drawings(2))
    with tf.GradientTape() as tape:
        outputs = small.training_network(inputs, training=True)
        parts = small.losses(targets, outputs)
        loss = sum(tf.reduce_mean(part) for part in parts.values())
    gradients = tape.gradient(loss, small.training_network.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert all(np.any(gradient) for gradient in gradients)


def test_saved_it_loads_equal(small, tmp_path):
    small.network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).random((1, SIDE, SIDE, 3), dtype="f4")
    first, second = small.network(images), loaded(images)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


@pytest.mark.slow
def test_four_pictures_are_learned_by_heart(outlined_drawings, check_learned):
    """Every object is found as in Faster R-CNN, with a mask of an IoU above 0.9."""
    made = mask_rcnn.mask_rcnn(
        (SIDE, SIDE, 3),
        CLASSES,
        thresholds=THRESHOLDS,
        backbone="resnet18",
        width=0.25,
    )
    images, objects = outlined_drawings()
    model = made.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    data = tf.data.Dataset.from_tensors(fed(made, images, objects)).repeat(200)
    model.fit(data, shuffle=False, verbose=0)
    found = made.inference_model(images)
    check_learned(found, objects)
    for picture, real in enumerate(objects["weights"] > 0):
        own = {name: np.array(found[name][picture]) for name in ("boxes", "masks")}
        for index in np.flatnonzero(real):
            box = objects["boxes"][picture, index]
            nearest = np.abs(own["boxes"] - box).sum(axis=-1).argmin()
            seen = shown(own["masks"][nearest], own["boxes"][nearest])
            truth = shown(objects["outlines"][picture, index], box)
            assert np.sum(seen & truth) / np.sum(seen | truth) > 0.9
