"""YOLO's grid: its numbers per cell, what is read from them, and whether it learns."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import synthetic
from tfdl.ops import boxes, nms
from tfdl.tasks.detection import yolov1

SMALL = {"width": 0.125}
NUM_CLASSES = len(synthetic.CLASS_NAMES)


def drawn(*, image_size, num_pictures, seed, padded_to=6):
    """Draw pictures with their padded objects, as tensors."""
    images, objects = [], {"boxes": [], "labels": [], "weights": []}
    for number in range(num_pictures):
        rng = np.random.default_rng((seed, number))
        sample = synthetic.draw(rng, image_size=image_size, max_objects=4)
        missing = (0, padded_to - len(sample["labels"]))
        images.append(sample["image"] / np.float32(255))
        objects["boxes"].append(np.pad(sample["boxes"], (missing, (0, 0))))
        objects["labels"].append(np.pad(sample["labels"], missing, constant_values=-1))
        weights = np.ones(len(sample["labels"]), np.float32)
        objects["weights"].append(np.pad(weights, missing))
    objects = {name: tf.constant(np.stack(each)) for name, each in objects.items()}
    return tf.constant(np.stack(images)), objects


def check_every_object_is_found_once(outputs, objects):
    """Demand one detection of IoU >= 0.5 and its class per object, and no other."""
    found = nms.suppress(
        outputs["boxes"],
        outputs["scores"],
        score_threshold=0.3,
        iou_threshold=0.5,
        max_detections=20,
    )
    for picture, weights in enumerate(objects["weights"].numpy()):
        is_detection = found["labels"][picture].numpy() >= 0
        real = objects["boxes"][picture][weights > 0]
        overlap = boxes.iou(real, found["boxes"][picture][is_detection]).numpy()
        same_class = (
            objects["labels"][picture][weights > 0].numpy()[:, None]
            == found["labels"][picture][is_detection].numpy()[None]
        )
        matches = (overlap >= 0.5) & same_class
        np.testing.assert_array_equal(matches.sum(axis=0), 1)
        np.testing.assert_array_equal(matches.sum(axis=1), 1)


@pytest.mark.parametrize(("size", "cells"), [(224, 7), (448, 14), ((96, 160), (3, 5))])
def test_a_cell_has_5_b_plus_c_numbers(size, cells):
    """30 for the 20 classes of VOC [Redmon 2016, 2]."""
    size, cells = np.broadcast_to(size, 2), np.broadcast_to(cells, 2)
    model = yolov1.network((*size, 3), 20, **SMALL)
    assert model.get_layer("prediction").output.shape == (None, *cells, 30)
    shapes = {name: tuple(output.shape) for name, output in model.output.items()}
    num_cells = cells.prod()
    assert shapes == {
        "boxes": (None, num_cells, 2, 4),
        "confidence": (None, num_cells, 2),
        "classes": (None, num_cells, 20),
    }


def test_parameters_of_the_head_are_counted_by_hand():
    """ResNet-18 has 11,176,512 without its classifier."""
    model = yolov1.network((64, 64, 3), 20)
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    head = 2 * (9 * 512 * 512 + 2 * 512) + 512 * 30 + 30
    assert count == 11_176_512 + head


def test_numbers_of_a_cell_are_two_boxes_and_the_classes():
    model = yolov1.network((64, 96, 3), 4, **SMALL)
    probe = keras.Model(model.input, model.get_layer("prediction").output)
    image = tf.constant(np.random.default_rng(0).random((1, 64, 96, 3), np.float32))
    raw, found = probe(image).numpy()[0, 1, 2], model(image)
    np.testing.assert_allclose(found["boxes"][0, 5], [raw[:4], raw[5:9]], rtol=1e-5)
    np.testing.assert_allclose(found["confidence"][0, 5], raw[[4, 9]], atol=1e-7)
    np.testing.assert_allclose(found["classes"][0, 5], raw[10:], atol=1e-7)


def test_a_score_is_the_product_of_confidence_and_class():
    detector = yolov1.detector((64, 64, 3), 2, **SMALL)
    outputs = {
        "boxes": tf.fill((1, 4, 2, 4), 0.5),
        "confidence": tf.tile([[[0.5, 1.5]]], (1, 4, 1)),
        "classes": tf.tile([[[-0.25, 0.75]]], (1, 4, 1)),
    }
    found = detector.decode(outputs)
    np.testing.assert_allclose(found["scores"][0, :2], [[0, 0.375], [0, 0.75]])
    # Two boxes of 16 pixels in the middle of each cell, row by row.
    centres = boxes.to_cxcywh(found["boxes"])[0].numpy()
    expected = [[x, y, 16, 16] for y in (16, 48) for x in (16, 16, 48, 48)]
    np.testing.assert_allclose(centres, expected)


@pytest.mark.parametrize("backbone", [None, "darknet53", "vgg11_bn"])
def test_an_untrained_network_costs_what_it_should(backbone):
    detector = yolov1.detector((96, 96, 3), NUM_CLASSES, backbone=backbone, width=0.25)
    images, objects = drawn(image_size=96, num_pictures=2, seed=1)
    targets = detector.targets(objects)
    found = detector.losses(targets, detector.network(images, training=True))
    for name, expected in detector.start_losses(targets).items():
        assert float(tf.reduce_mean(found[name])) == pytest.approx(expected, rel=0.05)


def test_the_gradient_reaches_every_weight_also_in_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    detector = yolov1.detector((64, 64, 3), NUM_CLASSES, **SMALL)
    images, objects = drawn(image_size=64, num_pictures=2, seed=2)
    targets = detector.targets(objects)
    with tf.GradientTape() as tape:
        outputs = detector.network(images, training=True)
        parts = detector.losses(targets, outputs)
        loss = tf.add_n(list(parts.values()))
    tensors = [*outputs.values(), *parts.values(), *detector.decode(outputs).values()]
    assert {tensor.dtype for tensor in tensors} == {tf.float32}
    weights = detector.network.trainable_weights
    for weight, gradient in zip(
        weights, tape.gradient(loss, [weight.value for weight in weights]), strict=True
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.any(gradient), weight.path


def test_the_inference_model_answers_any_number_of_pictures():
    model = yolov1.detector((64, 96, 3), 4, **SMALL).inference_model
    for batch in (1, 3):
        found = model(tf.zeros((batch, 64, 96, 3)))
        assert found["boxes"].shape == (batch, 12, 4)
        assert found["scores"].shape == (batch, 12, 4)


def test_a_picture_of_unknown_size_is_refused():
    with pytest.raises(errors.UsageError, match="--image-size"):
        yolov1.detector((None, None, 3), 2, **SMALL)


@pytest.mark.slow
def test_four_pictures_are_learnt_by_heart():
    keras.utils.set_random_seed(1)
    detector = yolov1.detector((160, 160, 3), NUM_CLASSES, width=0.25)
    images, objects = drawn(image_size=160, num_pictures=4, seed=3)
    targets = detector.targets(objects)
    assert tf.reduce_sum(targets["weights"]) == tf.reduce_sum(objects["weights"])
    model = detector.compile(keras.optimizers.Adam(2e-3))
    model.optimizer.build(model.trainable_variables)
    for _ in range(100):
        model.train_on_batch(images, targets)
    outputs = detector.decode(detector.network(images, training=False))
    check_every_object_is_found_once(outputs, objects)
