"""YOLOv8: published counts, the first loss, gradients everywhere, and an overfit."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras_cv.src.models.object_detection.yolo_v8 import (
    yolo_v8_backbone,
    yolo_v8_detector,
)

from tfdl import errors
from tfdl.data import synthetic
from tfdl.ops import boxes as box_ops, nms
from tfdl.tasks.detection import yolov8

DFL = 16  # frozen parameters in the published counts, a constant here
COUNTS = {
    "n": 3_157_200,
    "s": 11_166_560,
    "m": 25_902_640,
    "l": 43_691_520,
    "x": 68_229_648,
}


def _num_trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def _objects(boxes, labels, weights=None):
    boxes = np.asarray(boxes, np.float32)
    weights = np.ones(len(labels)) if weights is None else weights
    return {
        "boxes": boxes[None],
        "labels": np.asarray(labels, np.int32)[None],
        "weights": np.asarray(weights, np.float32)[None],
    }


@pytest.mark.parametrize("variant", COUNTS)
def test_counts_are_the_published_ones(variant):
    network = yolov8.network((640, 640, 3), 80, variant=variant)
    assert _num_trainable(network) + DFL == COUNTS[variant]
    assert network.output["boxes"].shape == (None, 8400, 64)
    assert network.output["classes"].shape == (None, 8400, 80)


def test_the_head_of_20_classes_is_the_published_one():
    network = yolov8.network((64, 64, 3), 20)
    assert _num_trainable(network) + DFL == 3_014_748


def test_the_count_is_that_of_keras_cv_plus_the_deeper_neck():
    """Theirs has two bottlenecks, not one, on the way down, of 64 and 128 channels.

    What the second one passes on is joined, too.
    """
    backbone = yolo_v8_backbone.YOLOV8Backbone(
        stackwise_channels=[32, 64, 128, 256],
        stackwise_depth=[1, 2, 2, 1],
        include_rescaling=True,
        input_shape=(64, 64, 3),
    )
    theirs = yolo_v8_detector.YOLOV8Detector(
        num_classes=3, bounding_box_format="xyxy", backbone=backbone, fpn_depth=1
    )
    ours = yolov8.network((64, 64, 3), 3)
    deeper = sum(
        2 * (9 * half * half + 2 * half) + half * (2 * half) for half in (64, 128)
    )
    assert _num_trainable(theirs) == _num_trainable(ours) + deeper


def test_width_scales_the_channels():
    narrow = yolov8.network((64, 64, 3), 3, width=0.25)
    assert _num_trainable(narrow) < 0.1 * _num_trainable(yolov8.network((64, 64, 3), 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (100, 64, 3)}, "multiple of 32"),
        ({"image_shape": (None, 64, 3)}, "height and a width"),
        ({"variant": "tiny"}, "variant='tiny'"),
        ({"backbone": "resnet19"}, "backbone='resnet19'"),
        ({"backbone": "cifar_resnet20"}, "backbone='cifar_resnet20'"),
        ({"weights": "imagenet"}, "weights='imagenet'"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    options = {"image_shape": (64, 64, 3), **options}
    with pytest.raises(errors.UsageError, match=message):
        yolov8.detector(options.pop("image_shape"), 3, width=0.25, **options)


@pytest.mark.parametrize("num_classes", [1, 20])
def test_the_untrained_network_loses_what_it_should(num_classes):
    detector = yolov8.detector((128, 160, 3), num_classes, width=0.25)
    rng = np.random.default_rng(num_classes)
    centres = rng.uniform(20, 108, (4, 6, 2))
    half = rng.uniform(4, 40, (4, 6, 2))
    objects = {
        "boxes": np.concatenate([centres - half, centres + half], -1).astype("float32"),
        "labels": rng.integers(0, num_classes, (4, 6)).astype(np.int32),
        "weights": np.ones((4, 6), np.float32),
    }
    targets = detector.targets(objects)
    images = rng.uniform(0, 1, (4, 128, 160, 3)).astype(np.float32)
    parts = detector.losses(targets, detector.network(images, training=True))
    expected = detector.start_losses(targets)
    assert set(expected) == {"class_loss", "distribution_loss"}
    for name, value in expected.items():
        np.testing.assert_allclose(np.mean(parts[name]), value, rtol=0.05)


def test_the_first_loss_of_nothing_is_that_of_the_prior():
    """84 cells, 3 classes, -ln 0.99 each, times the gain 0.5."""
    detector = yolov8.detector((64, 64, 3), 3, width=0.25)
    objects = _objects(np.zeros((2, 4)), [-1, -1], weights=[0, 0])
    expected = detector.start_losses(objects)
    assert expected["class_loss"] == pytest.approx(0.5 * 84 * 3 * 0.01005, rel=1e-3)
    assert expected["distribution_loss"] == 0


def _gradients(detector, images, targets):
    weights = detector.network.trainable_weights
    with tf.GradientTape() as tape:
        outputs = detector.network(images, training=True)
        parts = detector.losses(targets, outputs)
        loss = tf.reduce_mean(sum(parts.values()))
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    return {
        weight.path: gradient
        for weight, gradient in zip(weights, gradients, strict=True)
    }


def test_gradients_reach_every_weight():
    """An untrained cell's box has 15 strides: each object is best seen by one map."""
    detector = yolov8.detector((512, 512, 3), 3, width=0.125)
    boxes = [[10, 10, 130, 130], [200, 10, 440, 250], [20, 20, 500, 500]]
    images = tf.random.uniform((1, 512, 512, 3))
    gradients = _gradients(detector, images, _objects(boxes, [0, 1, 2]))
    for path, gradient in gradients.items():
        assert float(tf.reduce_max(tf.abs(gradient))) > 0, path


def test_under_bfloat16_outputs_are_float32_and_gradients_finite():
    keras.config.set_dtype_policy("mixed_bfloat16")
    detector = yolov8.detector((64, 64, 3), 3, width=0.125)
    images = tf.random.uniform((2, 64, 64, 3))
    objects = _objects([[4, 4, 40, 50], [0, 0, 64, 64]], [0, 2])
    objects = {name: np.repeat(value, 2, axis=0) for name, value in objects.items()}
    outputs = detector.network(images)
    assert {output.dtype for output in outputs.values()} == {tf.float32}
    for path, gradient in _gradients(detector, images, objects).items():
        assert bool(tf.reduce_all(tf.math.is_finite(gradient))), path


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])
def test_a_backbone_of_the_zoo_serves(backbone):
    detector = yolov8.detector((64, 96, 3), 3, backbone=backbone, width=0.125)
    answers = detector.inference_model(np.zeros((2, 64, 96, 3), np.float32))
    assert answers["boxes"].shape == (2, 8 * 12 + 4 * 6 + 2 * 3, 4)
    assert answers["scores"].shape == (2, 126, 3)


def test_the_scores_of_an_untrained_network_are_the_prior():
    detector = yolov8.detector((64, 64, 3), 3, width=0.25)
    answers = detector.inference_model(tf.random.uniform((1, 64, 64, 3)))
    np.testing.assert_allclose(answers["scores"], yolov8.PRIOR, rtol=0.2)


def test_weights_saved_and_loaded_answer_alike(tmp_path):
    images = tf.random.uniform((1, 64, 64, 3))
    first, second = (yolov8.detector((64, 64, 3), 3, width=0.25) for _ in range(2))
    first.network(images, training=True)  # moves the norms' averages
    path = tmp_path / "best.weights.h5"
    first.inference_model.save_weights(path)
    second.inference_model.load_weights(path)
    expected, answers = first.inference_model(images), second.inference_model(images)
    for name, value in expected.items():
        np.testing.assert_array_equal(answers[name], value)


def _drawings(count, size):
    """Draw pictures with at most four objects, padded to four."""
    rng = np.random.default_rng(5)
    images, objects = [], {"boxes": [], "labels": [], "weights": []}
    for _ in range(count):
        drawn = synthetic.draw(rng, image_size=size, max_objects=4)
        missing = 4 - len(drawn["labels"])
        images.append(drawn["image"] / 255)
        objects["boxes"].append(np.pad(drawn["boxes"], [(0, missing), (0, 0)]))
        objects["labels"].append(
            np.pad(drawn["labels"], (0, missing), constant_values=-1)
        )
        objects["weights"].append(np.arange(4) < 4 - missing)
    objects = {name: np.stack(values) for name, values in objects.items()}
    objects["weights"] = objects["weights"].astype(np.float32)
    return np.stack(images).astype(np.float32), objects


def _is_found_exactly(found, picture, objects):
    """Test that detections and objects pair off, by class and an IoU of a half."""
    count = int(objects["weights"][picture].sum())
    boxes, labels = objects["boxes"][picture, :count], objects["labels"][picture]
    is_found = found["scores"][picture].numpy() >= 0.3
    if is_found.sum() != count:
        return False
    overlap = box_ops.iou(boxes, found["boxes"][picture][is_found]).numpy()
    alike = labels[:count, None] == found["labels"][picture].numpy()[is_found]
    matches = (overlap >= 0.5) & alike
    return (matches.sum(axis=0) == 1).all() and (matches.sum(axis=1) == 1).all()


@pytest.mark.slow
def test_four_pictures_are_learned_by_heart():
    """Of variant "s", because the classes of "n" would share 16 channels."""
    keras.utils.set_random_seed(0)
    images, objects = _drawings(4, 128)
    num_classes = len(synthetic.CLASS_NAMES)
    detector = yolov8.detector((128, 128, 3), num_classes, variant="s", width=0.25)
    optimizer = keras.optimizers.Adam(1e-2)
    model = detector.compile(optimizer)
    optimizer.build(model.trainable_variables)
    targets = detector.targets(objects)
    for step in range(200):
        if step == 140:
            optimizer.learning_rate.assign(2e-3)
        model.train_on_batch(images, targets)
    answers = detector.inference_model(images)
    found = nms.suppress(
        answers["boxes"],
        answers["scores"],
        score_threshold=0.3,
        iou_threshold=0.7,
        max_detections=50,
    )
    assert all(_is_found_exactly(found, picture, objects) for picture in range(4))
