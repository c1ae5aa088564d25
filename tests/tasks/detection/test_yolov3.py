"""YOLOv3: published counts, what is read from its outputs, and whether it learns."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import synthetic
from tfdl.ops import boxes, nms
from tfdl.tasks.detection import yolov3

SMALL = {"width": 0.125, "backbone": "resnet18"}
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


@pytest.mark.parametrize(("num_classes", "count"), [(80, 61949149), (20, 61626049)])
def test_parameters_are_as_published(num_classes, count):
    model = yolov3.network((416, 416, 3), num_classes)
    weights = model.trainable_weights
    assert sum(int(np.prod(weight.shape)) for weight in weights) == count
    shapes = {name: tuple(output.shape) for name, output in model.output.items()}
    assert shapes == {
        "boxes": (None, 10647, 4),
        "objectness": (None, 10647),
        "classes": (None, 10647, num_classes),
    }


def test_candidates_of_the_outputs_are_those_of_the_grid():
    """Candidate 1 of cell (5, 2) at stride 16 has its channels 7 to 13."""
    model = yolov3.network((64, 96, 3), 2, **SMALL)
    flat = {
        level: model.get_layer(f"head_{level}_flat") for level in ("c3", "c4", "c5")
    }
    grids = {level: layer.input.shape[1:3] for level, layer in flat.items()}
    assert grids == {"c3": (8, 12), "c4": (4, 6), "c5": (2, 3)}
    probe = keras.Model(model.input, [flat[level].input for level in grids])
    image = tf.constant(np.random.default_rng(0).random((1, 64, 96, 3), np.float32))
    raw, outputs = probe(image), model(image)
    per_cell = raw[1].numpy().reshape(4, 6, 3, 7)
    number = 3 * 8 * 12 + 3 * (2 * 6 + 5) + 1
    own = per_cell[2, 5, 1]
    np.testing.assert_allclose(outputs["boxes"][0, number], own[:4], rtol=1e-5)
    np.testing.assert_allclose(outputs["objectness"][0, number], own[4], rtol=1e-5)
    np.testing.assert_allclose(outputs["classes"][0, number], own[5:], rtol=1e-5)


def test_a_score_is_the_product_of_two_probabilities():
    detector = yolov3.detector((32, 32, 3), 2, **SMALL)
    num_candidates = 3 * (16 + 4 + 1)
    outputs = {
        "boxes": tf.zeros((1, num_candidates, 4)),
        "objectness": tf.fill((1, num_candidates), tf.math.log(3.0)),
        "classes": tf.tile([[[0.0, tf.math.log(1 / 4)]]], (1, num_candidates, 1)),
    }
    scores = detector.decode(outputs)["scores"]
    np.testing.assert_allclose(scores[0, 0], [0.75 * 0.5, 0.75 * 0.2], rtol=1e-5)


def test_given_anchors_are_what_boxes_are_read_by():
    anchors = [(side, 2 * side) for side in range(1, 10)]
    detector = yolov3.detector((32, 32, 3), 2, anchors=anchors, **SMALL)
    outputs = {
        name: tf.zeros((1, *output.shape[1:]))
        for name, output in detector.network.output.items()
    }
    first = detector.decode(outputs)["boxes"][0, 0]
    np.testing.assert_allclose(first, [3.5, 3, 4.5, 5])


@pytest.mark.parametrize("backbone", [None, "mobilenet_v2"])
def test_an_untrained_network_costs_what_it_should(backbone):
    options = {"width": 0.25, "backbone": backbone}
    detector = yolov3.detector((96, 96, 3), NUM_CLASSES, **options)
    images, objects = drawn(image_size=96, num_pictures=2, seed=1)
    targets = detector.targets(objects)
    found = detector.losses(targets, detector.network(images, training=True))
    for name, expected in detector.start_losses(targets).items():
        assert float(tf.reduce_mean(found[name])) == pytest.approx(expected, rel=0.05)


def test_the_gradient_reaches_every_weight_also_in_bfloat16():
    keras.config.set_dtype_policy("mixed_bfloat16")
    detector = yolov3.detector((64, 64, 3), NUM_CLASSES, **SMALL)
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
    model = yolov3.detector((64, 96, 3), 4, **SMALL).inference_model
    for batch in (1, 3):
        found = model(tf.zeros((batch, 64, 96, 3)))
        assert found["boxes"].shape == (batch, 378, 4)
        assert found["scores"].shape == (batch, 378, 4)


def test_a_side_that_is_no_multiple_of_32_is_refused():
    with pytest.raises(errors.UsageError, match="--image-size"):
        yolov3.detector((100, 64, 3), 2, **SMALL)


def test_a_backbone_without_the_three_maps_is_refused():
    with pytest.raises(errors.UsageError, match="backbone"):
        yolov3.detector((64, 64, 3), 2, backbone="cifar_resnet20")


@pytest.mark.slow
def test_four_pictures_are_learnt_by_heart():
    keras.utils.set_random_seed(1)
    detector = yolov3.detector((128, 128, 3), NUM_CLASSES, width=0.25)
    images, objects = drawn(image_size=128, num_pictures=4, seed=3)
    targets = detector.targets(objects)
    assert tf.reduce_sum(targets["weights"]) == tf.reduce_sum(objects["weights"])
    model = detector.compile(keras.optimizers.Adam(2e-3))
    model.optimizer.build(model.trainable_variables)
    for _ in range(80):
        model.train_on_batch(images, targets)
    outputs = detector.decode(detector.network(images, training=False))
    check_every_object_is_found_once(outputs, objects)
