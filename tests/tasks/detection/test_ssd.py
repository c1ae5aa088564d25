"""SSD: published counts and boxes, start losses, odd pictures, and overfitting."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.ops import boxes as boxes_of, nms
from tfdl.tasks.detection import ssd

SIDE, CLASSES = 128, 10


def count_trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_variables)


@pytest.fixture(scope="module")
def small():
    return ssd.ssd300((SIDE, SIDE, 3), CLASSES, width=0.125)


@pytest.mark.parametrize(
    ("num_classes", "count"), [(20, 26_285_486), (90, 35_641_826), (80, 34_305_206)]
)
def test_ssd300_has_the_published_number_of_parameters(num_classes, count):
    network = ssd.network(ssd.SSD300, (300, 300, 3), num_classes)
    assert count_trainable(network) == network.count_params() == count
    assert network.output["classes"].shape == (None, 8732, num_classes + 1)
    assert network.output["deltas"].shape == (None, 8732, 4)


def test_boxes_of_ssd300_are_those_of_the_released_model():
    """Caffe's prior boxes of conv4_3 in the first cell, and of conv11_2."""
    boxes = ssd.default_boxes(ssd.SSD300, (300, 300, 3))
    assert boxes.shape == (8732, 4)
    centre, size = boxes[:, :2] + boxes[:, 2:], boxes[:, 2:] - boxes[:, :2]
    np.testing.assert_allclose(centre[:4] / 2, np.full((4, 2), 4), rtol=1e-5)
    expected = [(30, 30), (42.43, 42.43), (42.43, 21.21), (21.21, 42.43)]
    np.testing.assert_allclose(size[:4], expected, rtol=1e-3)
    np.testing.assert_allclose(centre[-4:] / 2, np.full((4, 2), 150), rtol=1e-5)
    root = 2**0.5
    expected = [(264, 264), (288.37,) * 2, (264 * root, 264 / root)]
    np.testing.assert_allclose(size[-4:-1], expected, rtol=1e-3)
    starts = np.cumsum([0, 38 * 38 * 4, 19 * 19 * 6, 10 * 10 * 6, 5 * 5 * 6, 3 * 3 * 4])
    np.testing.assert_allclose(size[starts, 0], [30, 60, 111, 162, 213, 264], rtol=1e-5)
    np.testing.assert_allclose(
        centre[starts, 0] / 2, [4, 8, 16, 32, 50, 150], rtol=1e-5
    )


def test_ssd512_has_24564_boxes():
    boxes = ssd.default_boxes(ssd.SSD512, (512, 512, 3))
    assert boxes.shape == (24564, 4)
    np.testing.assert_allclose(boxes[0, 2] - boxes[0, 0], 35.84, rtol=1e-5)
    network = ssd.network(ssd.SSD512, (512, 512, 3), 20, width=0.125)
    assert network.output["classes"].shape == (None, 24564, 21)


@pytest.mark.parametrize("make", [ssd.ssd300, ssd.ssd512])
@pytest.mark.parametrize("backbone", [None, "mobilenet_v2"])
@pytest.mark.parametrize("image_size", [(160, 160), (100, 132), (32, 32)])
def test_other_pictures_have_as_many_maps_as_do_not_vanish(make, backbone, image_size):
    made = make((*image_size, 3), 2, backbone=backbone, width=0.125)
    outputs = made.network(np.zeros((2, *image_size, 3), np.float32))
    answers = made.decode(outputs)
    assert answers["scores"].shape[:2] == answers["boxes"].shape[:2]
    assert answers["scores"].shape[2] == 2
    assert np.isfinite(answers["boxes"]).all()


@pytest.mark.parametrize("backbone", [None, "resnet18", "mobilenet_v2"])
def test_losses_start_where_theory_says(backbone, drawings):
    made = ssd.ssd300((SIDE, SIDE, 3), CLASSES, backbone=backbone, width=0.25)
    images, objects = drawings()
    targets = made.targets(objects)
    found = made.losses(targets, made.network(images, training=True))
    start = made.start_losses(targets)
    for name, expected in start.items():
        assert np.mean(found[name]) == pytest.approx(expected, rel=0.05)
    assert start["class_loss"] == pytest.approx(4 * math.log(1 + CLASSES), rel=0.01)


def test_padding_and_empty_pictures(small, drawings):
    images, objects = drawings(2)
    objects["weights"][1], objects["labels"][1] = 0, -1
    few = {name: some[:, :4] for name, some in objects.items()}
    outputs = small.network(images)
    found = small.losses(small.targets(objects), outputs)
    expected = small.losses(small.targets(few), outputs)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
        assert np.isfinite(found[name]).all()
    assert found["box_loss"][1] == 0
    assert np.asarray(found["class_loss"])[1] == pytest.approx(
        3 * math.log(1 + CLASSES), rel=0.05
    )


def test_five_hundred_objects(small):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, SIDE, (2, 500, 2))
    objects = {
        "boxes": np.concatenate([low, low + rng.uniform(4, 60, low.shape)], -1),
        "labels": rng.integers(CLASSES, size=(2, 500)),
        "weights": np.ones((2, 500)),
    }
    objects = {name: tf.cast(some, tf.float32) for name, some in objects.items()}
    targets = small.targets(objects)
    found = small.losses(targets, small.network(np.zeros((2, SIDE, SIDE, 3), "f4")))
    assert all(np.isfinite(part).all() for part in found.values())


@pytest.mark.slow
def test_targets_of_a_pipeline_train_in_bfloat16(drawings):
    keras.config.set_dtype_policy("mixed_bfloat16")
    made = ssd.ssd300((SIDE, SIDE, 3), CLASSES, width=0.125)
    images, objects = drawings(2)
    data = tf.data.Dataset.from_tensor_slices((images, objects)).batch(2)
    data = data.map(lambda image, known: (image, made.targets(known)))
    assert {x.dtype for x in made.network.output.values()} == {"float32"}
    raw = made.network(images, training=True)["classes"]
    rounded = tf.cast(tf.cast(raw, tf.bfloat16), tf.float32)
    assert np.any(raw != rounded)  # the outputs themselves are in float32
    model = made.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    history = model.fit(data, shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_every_weight_has_a_gradient(small, drawings):
    images, objects = drawings(2)
    targets = small.targets(objects)
    with tf.GradientTape() as tape:
        parts = small.losses(targets, small.network(images, training=True))
        loss = sum(tf.reduce_mean(part) for part in parts.values())
    gradients = tape.gradient(loss, small.network.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_decoded_targets_are_found_again(small, drawings):
    """The scores of perfect logits are those of the right class, without background."""
    _, objects = drawings(2)
    targets = small.targets(objects)
    logits = 20.0 * tf.one_hot(targets["labels"] + 1, 1 + CLASSES)
    answers = small.decode({"classes": logits, "deltas": targets["deltas"]})
    for picture in range(2):
        positives = np.flatnonzero(targets["labels"][picture] >= 0)
        scores = answers["scores"].numpy()[picture, positives]
        labels = targets["labels"].numpy()[picture, positives]
        np.testing.assert_array_equal(scores.argmax(axis=1), labels)
        np.testing.assert_allclose(scores.max(axis=1), 1, rtol=1e-5)
        known = objects["boxes"][picture]
        found = answers["boxes"].numpy()[picture, positives]
        overlap = boxes_of.iou(found, known).numpy().max(axis=1)
        np.testing.assert_allclose(overlap, 1, rtol=1e-3)


def test_an_unknown_size_or_one_too_small_is_refused():
    with pytest.raises(errors.UsageError, match="height and a width"):
        ssd.ssd300((None, None, 3), 2)
    with pytest.raises(errors.UsageError, match="at least 32 pixels"):
        ssd.ssd300((16, 64, 3), 2)
    with pytest.raises(errors.UsageError, match="num_classes"):
        ssd.ssd300((64, 64, 3), 0)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [None, "resnet18"])
def test_four_pictures_are_learned_by_heart(backbone, drawings):
    keras.utils.set_random_seed(0)
    made = ssd.ssd300((SIDE, SIDE, 3), CLASSES, backbone=backbone, width=0.25)
    images, objects = drawings()
    targets = made.targets(objects)
    model = made.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    data = tf.data.Dataset.from_tensors((images, targets)).repeat(200)
    model.fit(data, shuffle=False, verbose=0)
    found = nms.suppress(
        **made.decode(made.network(images)),
        score_threshold=0.3,
        iou_threshold=0.5,
        max_detections=50,
    )
    for picture, count in enumerate((objects["weights"] > 0).sum(axis=1)):
        assert found["num_detections"][picture] == count
        overlap = boxes_of.iou(
            objects["boxes"][picture, :count], found["boxes"][picture, :count]
        )
        labels = objects["labels"][picture, :count]
        is_same = labels[:, None] == found["labels"].numpy()[picture, :count]
        is_hit = (overlap.numpy() >= 0.5) & is_same
        np.testing.assert_array_equal(is_hit.sum(axis=0), 1)
        np.testing.assert_array_equal(is_hit.sum(axis=1), 1)
