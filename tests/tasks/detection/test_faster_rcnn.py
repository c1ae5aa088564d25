"""Faster R-CNN: published counts, start losses, and four pictures by heart."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.ops import anchors, nms
from tfdl.tasks.detection import faster_rcnn

SIDE, CLASSES = 128, 10
NORMS_OF_RESNET50 = 53_120  # scales and offsets, which the published counts lack


def answers_of(made, images, objects, **options):
    inputs, targets = made.feed(tf.constant(images), tensors(objects))
    return targets, made.training_network(inputs, **options)


def tensors(objects):
    return {name: tf.constant(each) for name, each in objects.items()}


@pytest.fixture(scope="module")
def small():
    return faster_rcnn.faster_rcnn(
        (SIDE, SIDE, 3), CLASSES, backbone="resnet18", width=0.125
    )


def test_it_has_the_published_number_of_parameters_and_anchors():
    """Of 91 classes, the background among them, as torchvision counts."""
    trained, asked = faster_rcnn.networks((800, 1344, 3), 90)
    counts = {
        sum(math.prod(weight.shape) for weight in network.trainable_variables)
        for network in (trained, asked)
    }
    assert counts == {41_755_286 + NORMS_OF_RESNET50}
    assert trained.output["anchors"]["objectness"].shape == (None, 268_569)
    assert sum(map(len, anchors.proposals((800, 1344)))) == 268_569


def test_both_networks_have_the_same_weights(small):
    names = [
        [weight.path for weight in network.weights]
        for network in (small.network, small.training_network)
    ]
    assert sorted(names[0]) == sorted(names[1])
    before = {id(weight) for weight in small.network.weights}
    assert before == {id(weight) for weight in small.training_network.weights}


@pytest.mark.parametrize("image_size", [(160, 160), (64, 96), (32, 32)])
def test_answers_have_a_box_for_every_class(image_size):
    made = faster_rcnn.faster_rcnn(
        (*image_size, 3), 2, backbone="resnet18", width=0.125
    )
    images = np.random.default_rng(0).random((2, *image_size, 3), dtype="f4")
    found = made.inference_model(images)
    count = found["scores"].shape[1]
    assert found["boxes"].shape == (2, count, 2, 4)
    assert found["scores"].shape == (2, count, 2)
    assert np.isfinite(found["boxes"]).all()


def test_losses_start_where_theory_says(small, drawings):
    images, objects = drawings()
    targets, outputs = answers_of(small, images, objects, training=True)
    found = small.losses(targets, outputs)
    expected = small.start_losses(targets)
    assert expected["objectness_loss"] == pytest.approx(math.log(2), rel=1e-5)
    assert expected["class_loss"] == math.log(CLASSES + 1)
    for name, value in expected.items():
        assert np.mean(found[name]) == pytest.approx(value, rel=0.05)


def test_padding_and_empty_pictures(small, drawings):
    images, objects = drawings(2)
    objects["weights"][1], objects["labels"][1] = 0, -1
    few = {name: some[:, :4] for name, some in objects.items()}
    found = small.losses(*answers_of(small, images, objects))
    expected = small.losses(*answers_of(small, images, few))
    for name in found:
        assert np.isfinite(found[name]).all()
        if name != "class_loss":  # other places are drawn
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-4)
    assert found["box_loss"][1] == found["shift_loss"][1] == 0
    assert found["class_loss"][1] > 0


def test_five_hundred_objects(small):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, SIDE, (2, 500, 2))
    objects = {
        "boxes": np.concatenate([low, low + rng.uniform(4, 60, low.shape)], -1),
        "labels": rng.integers(CLASSES, size=(2, 500)),
        "weights": np.ones((2, 500)),
    }
    objects = {name: tf.cast(some, tf.float32) for name, some in objects.items()}
    images = np.zeros((2, SIDE, SIDE, 3), np.float32)
    found = small.losses(*answers_of(small, images, objects))
    assert all(np.isfinite(part).all() for part in found.values())


def test_every_weight_has_a_gradient(small, drawings):
    images, objects = drawings(2)
    inputs, targets = small.feed(tf.constant(images), tensors(objects))
    with tf.GradientTape() as tape:
        outputs = small.training_network(inputs, training=True)
        parts = small.losses(targets, outputs)
        loss = sum(tf.reduce_mean(part) for part in parts.values())
    variables = small.training_network.trainable_variables
    gradients = tape.gradient(loss, variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert all(np.any(gradient) for gradient in gradients)


def test_saved_it_loads_equal(small, tmp_path, drawings):
    small.network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images, _ = drawings(2)
    first, second = small.network(images), loaded(images)
    for some, others in zip(
        tf.nest.flatten(first), tf.nest.flatten(second), strict=True
    ):
        np.testing.assert_array_equal(some, others)


@pytest.mark.parametrize(
    ("image_shape", "message"),
    [
        ((100, 64, 3), "--image-size must be a multiple of 32"),
        ((None, None, 3), "height and a width"),
    ],
)
def test_arguments_out_of_range_are_refused(image_shape, message):
    with pytest.raises(errors.UsageError, match=message):
        faster_rcnn.networks(image_shape, 2)


@pytest.mark.slow
def test_a_pipeline_trains_it_in_bfloat16(drawings):
    keras.config.set_dtype_policy("mixed_bfloat16")
    made = faster_rcnn.faster_rcnn(
        (SIDE, SIDE, 3), CLASSES, backbone="resnet18", width=0.125
    )
    images, objects = drawings(2)
    data = tf.data.Dataset.from_tensor_slices((images, objects)).batch(2)
    model = made.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    history = model.fit(data.map(made.feed), shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert {x.dtype for x in made.network.output["answers"].values()} == {"float32"}


@pytest.mark.slow
def test_four_pictures_are_learned_by_heart(drawings, check_learned):
    """Every object is found, and surer than anything else is: an AP50 of 1."""
    keras.utils.set_random_seed(0)
    made = faster_rcnn.faster_rcnn(
        (SIDE, SIDE, 3), CLASSES, backbone="resnet18", width=0.25
    )
    images, objects = drawings()
    model = made.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    fed = made.feed(tf.constant(images), tensors(objects))
    data = tf.data.Dataset.from_tensors(fed).repeat(200)
    model.fit(data, shuffle=False, verbose=0)
    found = nms.suppress(
        **made.inference_model(images),
        score_threshold=0.05,
        iou_threshold=0.5,
        max_detections=50,
    )
    check_learned(found, objects)
