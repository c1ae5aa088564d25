import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import synthetic
from tfdl.tasks.detection import localizer

SIZE = (64, 96)  # height and width: nothing may take one for the other
CLASSES = 3


@pytest.fixture(scope="module")
def small():
    return localizer.detector((*SIZE, 3), CLASSES, width=0.125)


def objects(**changed):
    """Return the objects of three pictures: two, one and none."""
    boxes = np.zeros((3, 2, 4), np.float32)
    boxes[0] = [[0, 0, 10, 10], [20, 30, 60, 50]]
    boxes[1, 0] = [8, 8, 88, 56]
    return {
        "boxes": boxes,
        "labels": np.array([[0, 2], [1, -1], [-1, -1]], np.int32),
        "weights": np.array([[1, 1], [0.5, 0], [0, 0]], np.float32),
    } | changed


def logits_of(boxes):
    """Return the outputs that stand for boxes, by hand."""
    low, high = boxes[..., :2], boxes[..., 2:]
    shares = np.concatenate([(low + high) / 2, high - low], -1)
    shares = shares / np.array([SIZE[1], SIZE[0]] * 2)
    return np.log(shares / (1 - shares)).astype(np.float32)


def test_the_main_object_is_the_largest_that_is_none_of_padding(small):
    far_away = objects()
    far_away["boxes"][1, 1] = [0, 0, 96, 64]  # larger, but of weight 0
    targets = small.targets(far_away)
    np.testing.assert_allclose(targets["object"], [1, 1, 0])
    np.testing.assert_allclose(targets["classes"], [[0, 0, 1], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_allclose(
        targets["boxes"], [[20, 30, 60, 50], [8, 8, 88, 56], [0, 0, 0, 0]]
    )
    np.testing.assert_allclose(targets["weights"], [1, 0.5, 0])


def test_of_objects_alike_the_first_is_the_main_one(small):
    given = objects()
    given["boxes"][0] = [[0, 0, 10, 10], [20, 20, 30, 30]]
    np.testing.assert_allclose(small.targets(given)["boxes"][0], [0, 0, 10, 10])


def test_targets_are_made_in_tf_data_of_any_batch_size_and_of_no_objects(small):
    dataset = tf.data.Dataset.from_tensor_slices(objects()).batch(2).map(small.targets)
    eager = small.targets(objects())
    for name in eager:
        found = np.concatenate([batch[name] for batch in dataset])
        np.testing.assert_allclose(found, eager[name])
    empty = {
        "boxes": np.zeros((2, 0, 4), np.float32),
        "labels": np.zeros((2, 0), np.int32),
        "weights": np.zeros((2, 0), np.float32),
    }
    assert not np.any(small.targets(empty)["object"])


def test_answers_have_the_shapes_of_a_detector(small):
    answers = small.inference_model(np.zeros((2, *SIZE, 3), np.float32))
    assert answers["boxes"].shape == (2, 1, 4)
    assert answers["scores"].shape == (2, 1, CLASSES)
    assert {value.dtype for value in small.network.output.values()} == {"float32"}


def test_decoding_by_hand(small):
    box = np.array([[20, 30, 60, 50]], np.float32)
    answers = small.decode(
        {
            "object": np.array([math.log(3)], np.float32),  # p_c is 3/4
            "classes": np.log(np.array([[1, 2, 1]], np.float32)),
            "boxes": logits_of(box),
        }
    )
    np.testing.assert_allclose(answers["boxes"], [box], rtol=1e-5)
    np.testing.assert_allclose(answers["scores"], [[[3 / 16, 3 / 8, 3 / 16]]], 1e-6)


def test_the_losses_by_hand(small):
    targets = small.targets(objects())
    predicted = np.array([[20, 30, 60, 50], [8, 8, 48, 56], [1, 1, 9, 9]], np.float32)
    found = small.losses(
        targets,
        {
            "object": np.array([0, math.log(3), math.log(3)], np.float32),
            "classes": np.zeros((3, CLASSES), np.float32),
            "boxes": logits_of(predicted),
        },
    )
    np.testing.assert_allclose(
        found["object"], np.log([2, 4 / 3, 4]).astype(np.float32), rtol=1e-5
    )
    np.testing.assert_allclose(
        found["classes"], np.log(3) * np.array([1, 0.5, 0]), 1e-5
    )
    # The second box is the left half of its target: IoU and generalised IoU are 1/2,
    # the centre is 20 and the width 40 of 96 pixels off; its object weighs a half.
    distance = (20 / 96 - 0.05) + (40 / 96 - 0.05)
    wanted = [0, 0.5 * (5 * distance + 2 * 0.5), 0]
    np.testing.assert_allclose(found["boxes"], wanted, rtol=1e-4, atol=1e-4)


def test_without_objects_only_their_absence_is_learnt(small):
    targets = small.targets(objects(weights=np.zeros((3, 2), np.float32)))
    images = tf.random.stateless_uniform([3, *SIZE, 3], seed=[1, 2])
    outputs = small.network(images)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(outputs)
        loss = sum(sum(small.losses(targets, outputs).values()))
    assert np.isfinite(loss)
    assert np.all(tape.gradient(loss, outputs["object"]) != 0)
    assert not np.any(tape.gradient(loss, outputs["classes"]))
    assert not np.any(tape.gradient(loss, outputs["boxes"]))


def test_the_first_losses_are_those_of_theory(small):
    targets = small.targets(objects())
    images = np.random.default_rng(1).random((3, *SIZE, 3), np.float32)
    network = keras.models.clone_model(small.network)
    found = small.losses(targets, network(images, training=True))
    expected = small.start_losses(targets)
    assert expected == pytest.approx(
        {"object": math.log(2), "classes": math.log(3) / 2}
    )
    for name, theory in expected.items():
        assert np.mean(found[name]) == pytest.approx(theory, rel=0.05)


def test_the_box_knows_where_things_are_the_class_does_not(small):
    """Swap two positions of the last map: only what is averaged stays."""
    features, outputs = small.network.get_layer("pool").input, small.network.output
    head = keras.Model(features, outputs)
    given = np.random.default_rng(1).random((1, *features.shape[1:]), np.float32)
    before, after = head(given), head(given[:, ::-1])
    np.testing.assert_allclose(before["classes"], after["classes"], atol=1e-6)
    assert np.abs(before["boxes"] - after["boxes"]).max() > 1e-5


def test_under_bfloat16_outputs_and_losses_are_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    made = localizer.detector((*SIZE, 3), CLASSES, width=0.125)
    outputs = made.network(np.zeros((3, *SIZE, 3), np.float32))
    parts = made.losses(made.targets(objects()), outputs)
    answers = made.decode(outputs)
    tensors = [*outputs.values(), *parts.values(), *answers.values()]
    assert {keras.backend.standardize_dtype(each.dtype) for each in tensors} == {
        "float32"
    }


def test_any_backbone_will_do():
    made = localizer.detector((32, 32, 3), 2, backbone="cifar_resnet20", width=0.25)
    assert made.network.output["boxes"].shape == (None, 4)


@pytest.mark.parametrize(
    ("shape", "classes", "named"),
    [((None, 64, 3), 2, "`image_shape`"), ((64, 64, 3), 0, "`num_classes`")],
)
def test_impossible_arguments_are_refused(shape, classes, named):
    with pytest.raises(errors.UsageError, match=named):
        localizer.detector(shape, classes, width=0.125)


@pytest.mark.slow
def test_eight_pictures_are_overfitted():
    rng, size, steps = np.random.default_rng(3), 96, 150
    drawn = [synthetic.draw(rng, image_size=size, max_objects=1) for _ in range(8)]
    images, boxes, labels = (
        np.stack([each[name] for each in drawn])
        for name in ("image", "boxes", "labels")
    )
    images = images.astype(np.float32) / 255
    images[0] = 0.5  # an empty picture
    weights = np.ones((8, 1), np.float32)
    weights[0] = 0
    keras.utils.set_random_seed(1)
    made = localizer.detector((size, size, 3), 10, width=0.125)
    targets = made.targets({"boxes": boxes, "labels": labels, "weights": weights})
    rate = keras.optimizers.schedules.CosineDecay(0.003, steps)
    model = made.compile(keras.optimizers.Adam(rate))
    model.optimizer.build(model.trainable_variables)
    for _ in range(steps):
        model.train_on_batch(images, targets)
    answers = {
        name: np.array(each) for name, each in made.inference_model(images).items()
    }
    assert answers["scores"][0].sum() < 0.1
    scores = answers["scores"][1:, 0]
    np.testing.assert_array_equal(scores.argmax(-1), labels[1:, 0])
    assert scores.max(-1).min() > 0.9
    low = np.maximum(answers["boxes"][1:, 0, :2], boxes[1:, 0, :2])
    high = np.minimum(answers["boxes"][1:, 0, 2:], boxes[1:, 0, 2:])
    shared = np.prod(high - low, axis=-1)
    areas = sum(
        np.prod(each[:, 0, 2:] - each[:, 0, :2], axis=-1)
        for each in (answers["boxes"][1:], boxes[1:])
    )
    assert (shared / (areas - shared)).min() > 0.9
