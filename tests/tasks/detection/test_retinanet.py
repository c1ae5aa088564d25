"""RetinaNet: published counts, shared subnets, start losses, and overfitting."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.ops import boxes as boxes_of, nms
from tfdl.tasks.detection import dense_focal, retinanet

SIDE, CLASSES = 128, 10
NORMS_OF_RESNET50 = 53_120  # scales and offsets, which the published counts lack


def count_trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_variables)


@pytest.fixture(scope="module")
def small():
    return retinanet.retinanet(
        (SIDE, SIDE, 3), CLASSES, backbone="mobilenet_v2", width=0.125
    )


@pytest.mark.parametrize(
    ("num_classes", "coarser_from", "count"),
    [(91, "p5", 34_014_999), (80, "c5", 37_915_572), (91, "c5", 38_143_767)],
)
def test_it_has_the_published_number_of_parameters(num_classes, coarser_from, count):
    network = retinanet.network((640, 640, 3), num_classes, coarser_from=coarser_from)
    assert count_trainable(network) - NORMS_OF_RESNET50 == count
    assert network.output["classes"].shape == (None, 76725, num_classes)
    assert network.output["deltas"].shape == (None, 76725, 4)


@pytest.mark.parametrize("image_size", [(160, 160), (64, 96), (32, 32)])
@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])
def test_outputs_belong_to_the_anchors(image_size, backbone):
    made = retinanet.retinanet((*image_size, 3), 2, backbone=backbone, width=0.125)
    answers = made.decode(made.network(np.zeros((2, *image_size, 3), np.float32)))
    assert answers["scores"].shape == (*answers["boxes"].shape[:2], 2)
    assert np.isfinite(answers["boxes"]).all()


def test_all_levels_share_the_subnets(small):
    convolutions = [
        layer.name
        for layer in small.network.layers
        if layer.name.startswith(("classes_", "deltas_"))
    ]
    assert len(convolutions) == 2 * (4 + 1)


def test_untrained_answers_are_the_prior(small, drawings):
    images, _ = drawings(2)
    answers = small.decode(small.network(images, training=True))
    np.testing.assert_allclose(answers["scores"], dense_focal.PRIOR, rtol=0.2)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])
def test_losses_start_where_theory_says(backbone, drawings):
    made = retinanet.retinanet((SIDE, SIDE, 3), CLASSES, backbone=backbone, width=0.25)
    images, objects = drawings()
    targets = made.targets(objects)
    found = made.losses(targets, made.network(images, training=True))
    for name, expected in made.start_losses(targets).items():
        assert np.mean(found[name]) == pytest.approx(expected, rel=0.05)


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
    targets = small.targets(objects)
    found = small.losses(targets, small.network(np.zeros((2, SIDE, SIDE, 3), "f4")))
    assert all(np.isfinite(part).all() for part in found.values())


@pytest.mark.slow
def test_targets_of_a_pipeline_train_in_bfloat16(drawings):
    keras.config.set_dtype_policy("mixed_bfloat16")
    made = retinanet.retinanet(
        (SIDE, SIDE, 3), CLASSES, backbone="mobilenet_v2", width=0.125
    )
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
    assert all(np.any(gradient) for gradient in gradients)


def test_decoded_targets_are_found_again(small, drawings):
    _, objects = drawings(2)
    targets = small.targets(objects)
    logits = 20.0 * tf.one_hot(targets["labels"], CLASSES) - 10.0
    answers = small.decode({"classes": logits, "deltas": targets["deltas"]})
    for picture in range(2):
        positives = np.flatnonzero(targets["labels"][picture] >= 0)
        scores = answers["scores"].numpy()[picture, positives]
        labels = targets["labels"].numpy()[picture, positives]
        np.testing.assert_array_equal(scores.argmax(axis=1), labels)
        found = answers["boxes"].numpy()[picture, positives]
        overlap = boxes_of.iou(found, objects["boxes"][picture]).numpy().max(axis=1)
        np.testing.assert_allclose(overlap, 1, rtol=1e-3)


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((100, 64, 3), {}, "--image-size must be a multiple of 32"),
        ((None, None, 3), {}, "height and a width"),
        ((64, 64, 3), {"coarser_from": "c4"}, "coarser_from='c4'"),
    ],
)
def test_arguments_out_of_range_are_refused(image_shape, options, message):
    with pytest.raises(errors.UsageError, match=message):
        retinanet.network(image_shape, 2, **options)


@pytest.mark.slow
def test_four_pictures_are_learned_by_heart(drawings, check_learned):
    """Every object is found, and surer than anything else is: an AP50 of 1.

    Anchors with an IoU of 0.4 to 0.5 learn nothing, so that some answer as well.
    """
    keras.utils.set_random_seed(0)
    made = retinanet.retinanet(
        (SIDE, SIDE, 3), CLASSES, backbone="resnet18", width=0.25
    )
    images, objects = drawings()
    model = made.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    data = tf.data.Dataset.from_tensors((images, made.targets(objects))).repeat(200)
    model.fit(data, shuffle=False, verbose=0)
    found = nms.suppress(
        **made.decode(made.network(images)),
        score_threshold=0.3,
        iou_threshold=0.5,
        max_detections=50,
    )
    check_learned(found, objects)
