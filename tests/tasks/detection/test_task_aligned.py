"""Task-aligned assignment: a slow oracle after the paper, keras-cv's, and edges."""

import math

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from keras_cv.src.models.object_detection.yolo_v8 import yolo_v8_label_encoder

from tfdl.tasks.detection import distances, task_aligned

STRIDES = (8, 16, 32)
NUM_CLASSES = 3
KNOWN = distances.candidates((64, 64), strides=STRIDES)
CANDIDATES = len(KNOWN)  # 84


def _objects(boxes, labels, weights=None):
    """One picture."""
    boxes = np.asarray(boxes, np.float32).reshape(1, -1, 4)
    weights = np.ones(boxes.shape[1]) if weights is None else weights
    return {
        "boxes": boxes,
        "labels": np.asarray(labels, np.int32).reshape(1, -1),
        "weights": np.asarray(weights, np.float32).reshape(1, -1),
    }


def _random_objects(rng, batch, count):
    centres, sizes = rng.uniform(8, 56, (2, batch, count, 2))
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=-1)
    return {
        "boxes": boxes.astype(np.float32),
        "labels": rng.integers(0, NUM_CLASSES, (batch, count)).astype(np.int32),
        "weights": rng.uniform(0.3, 1, (batch, count)).astype(np.float32),
    }


def _random_outputs(rng, batch):
    return {
        "boxes": rng.normal(0, 1, (batch, CANDIDATES, 64)).astype(np.float32),
        "classes": rng.normal(0, 2, (batch, CANDIDATES, 3)).astype(np.float32),
    }


def _predictions(outputs):
    boxes = ops.convert_to_numpy(distances.decode(outputs["boxes"], KNOWN))
    return 1 / (1 + np.exp(-outputs["classes"])), boxes


def _padded(objects, count):
    """Add objects of no weight, over all of the picture."""
    batch = len(objects["labels"])
    padding = {
        "boxes": np.tile(np.float32([0, 0, 64, 64]), (batch, count, 1)),
        "labels": np.full((batch, count), -1, np.int32),
        "weights": np.zeros((batch, count), np.float32),
    }
    return {
        name: np.concatenate([objects[name], padding[name]], axis=1) for name in objects
    }


def _iou(box, other):
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(end[2] - end[0]) * (end[3] - end[1]) for end in (box, other)]
    return shared / (sum(areas) - shared)


def _slow_assignment(scores, boxes, objects, picture):
    """Assign one picture after the paper -> (object or -1, score) by candidate."""
    taken = {}  # candidate -> [(overlap, object, alignment)]
    for number, box in enumerate(objects["boxes"][picture].astype(np.float64)):
        found = []
        for candidate, (x, y) in enumerate(KNOWN.centres):
            if box[0] <= x < box[2] and box[1] <= y < box[3]:
                overlap = _iou(box, boxes[picture, candidate].astype(np.float64))
                sure = scores[picture, candidate, objects["labels"][picture, number]]
                found.append((sure**0.5 * overlap**6, overlap, candidate))
        for alignment, overlap, candidate in sorted(found, reverse=True)[:10]:
            taken.setdefault(candidate, []).append((overlap, number, alignment))
    owned = {candidate: max(takers) for candidate, takers in taken.items()}
    answer = np.full(CANDIDATES, -1), np.zeros(CANDIDATES)
    for candidate, (_, number, alignment) in owned.items():
        of_object = [own for own in owned.values() if own[1] == number]
        scale = max(own[0] for own in of_object) / max(own[2] for own in of_object)
        answer[0][candidate] = number
        weight = objects["weights"][picture, number]
        answer[1][candidate] = alignment * scale * weight
    return answer


def test_assignment_is_that_of_the_paper():
    """Objects overlap, so that many candidates are taken by several."""
    rng = np.random.default_rng(0)
    objects = _random_objects(rng, 3, 8)
    sizes = objects["boxes"][..., 2:] - objects["boxes"][..., :2]
    objects["boxes"][..., 2:] += np.maximum(9 - sizes, 0)  # each holds a centre
    scores, boxes = _predictions(_random_outputs(rng, 3))
    assigned = task_aligned.assign(scores, boxes, objects, known=KNOWN)
    for picture in range(3):
        owner, score = _slow_assignment(scores, boxes, objects, picture)
        has_object = owner >= 0
        assert has_object.sum() > 20
        np.testing.assert_allclose(assigned["scores"][picture], score, rtol=1e-3)
        for name in ("boxes", "labels"):
            np.testing.assert_array_equal(
                assigned[name].numpy()[picture][has_object],
                objects[name][picture][owner[has_object]],
            )


def test_assignment_is_that_of_keras_cv_where_nothing_is_shared():
    """Theirs compares by CIoU, which is IoU for boxes of one centre and shape."""
    rng = np.random.default_rng(3)
    objects = _objects(
        [[1, 1, 29, 21], [33, 5, 63, 35], [10, 35, 30, 63]], labels=[2, 0, 1]
    )
    boxes = np.tile(np.float32([0, 0, 5, 5]), (1, CANDIDATES, 1))
    for box in objects["boxes"][0]:
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
        inside = ((box[:2] < KNOWN.centres) & (KNOWN.centres < box[2:])).all(axis=1)
        half = half * rng.uniform(0.5, 1, (inside.sum(), 1))
        boxes[0, inside] = np.concatenate([middle - half, middle + half], axis=1)
    scores = rng.uniform(0.1, 0.9, (1, CANDIDATES, 3)).astype(np.float32)
    ours = task_aligned.assign(scores, boxes, objects, known=KNOWN)
    encoder = yolo_v8_label_encoder.YOLOV8LabelEncoder(NUM_CLASSES)
    their_boxes, their_classes, _ = encoder(
        scores,
        boxes,
        KNOWN.centres,
        objects["labels"].astype(np.float32),
        objects["boxes"],
        np.ones((1, 3, 1), bool),
    )
    classes = ops.one_hot(ours["labels"], 3) * ours["scores"][..., None]
    np.testing.assert_allclose(classes, their_classes, rtol=1e-3, atol=1e-6)
    has_object = ours["scores"].numpy() > 0
    assert 20 < has_object.sum() <= 30
    np.testing.assert_array_equal(
        ours["boxes"].numpy()[has_object], their_boxes.numpy()[has_object]
    )


def test_losses_of_one_object_are_those_by_hand():
    """One object, predicted by cell 0 alone in the right place, off by half a stride.

    The box (0, 0, 16, 12) is seen from (4, 4): distances 0.5, 0.5, 1.5, 1 in strides.
    Predicted is 0, 0.5, 1.5, 1, so (4, 0, 16, 12): IoU 144 / 192.
    """
    objects = _objects([[0, 0, 16, 12]], [1])
    logits = np.full((1, CANDIDATES, 4, 16), -50, np.float32)
    logits[..., 0] = 50  # no other box has an area
    logits[0, 0, 0] = [0, -60] + [-90] * 14
    logits[0, 0, 1] = [0, 0] + [-90] * 14
    logits[0, 0, 2] = [-90, 0, 0] + [-90] * 13
    logits[0, 0, 3] = [-90, 0] + [-90] * 14
    classes = np.full((1, CANDIDATES, 3), -40, np.float32)
    classes[0, 0, 1] = 0
    outputs = {"boxes": logits.reshape(1, CANDIDATES, 64), "classes": classes}
    parts = task_aligned.losses(objects, outputs, known=KNOWN)

    overlap = 144 / 192  # also the target score: the only aligned candidate
    distance = 2**2 / (16**2 + 12**2)
    shape = 4 / math.pi**2 * (math.atan(12 / 12) - math.atan(16 / 12)) ** 2
    ciou = overlap - distance - shape**2 / (1 - overlap + shape)
    # Cross-entropy of the four sides: 30 = (0 + 60) / 2, ln 2, ln 2, 0.
    uncertain = (30 + 2 * math.log(2)) / 4
    # The sum of target scores is below 1: it does not divide.
    expected = {
        "class_loss": 0.5 * math.log(2),
        "box_loss": 7.5 * (1 - ciou) * overlap,
        "distribution_loss": 1.5 * uncertain * overlap,
    }
    assert set(parts) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(parts[name], [value], rtol=2e-3)


def test_padding_has_no_influence():
    rng = np.random.default_rng(1)
    objects, outputs = _random_objects(rng, 2, 5), _random_outputs(rng, 2)
    alone = task_aligned.losses(objects, outputs, known=KNOWN)
    padded = task_aligned.losses(_padded(objects, 400), outputs, known=KNOWN)
    for name, part in alone.items():
        np.testing.assert_array_equal(part, padded[name])


def test_pictures_do_not_influence_each_other():
    rng = np.random.default_rng(2)
    objects, outputs = _random_objects(rng, 3, 5), _random_outputs(rng, 3)
    together = task_aligned.losses(objects, outputs, known=KNOWN)
    for picture in range(3):
        one = {name: value[picture : picture + 1] for name, value in objects.items()}
        own = {name: value[picture : picture + 1] for name, value in outputs.items()}
        alone = task_aligned.losses(one, own, known=KNOWN)
        for name, part in alone.items():
            np.testing.assert_allclose(part[0], together[name][picture], rtol=1e-5)


def test_a_picture_without_objects_teaches_that_nothing_is_there():
    objects = _padded(_objects(np.zeros((0, 4)), []), 3)
    classes = tf.Variable(tf.zeros((1, CANDIDATES, 3)))
    boxes = tf.Variable(tf.random.normal((1, CANDIDATES, 64)))
    with tf.GradientTape() as tape:
        outputs = {"boxes": boxes + 0.0, "classes": classes + 0.0}
        parts = task_aligned.losses(objects, outputs, known=KNOWN)
        loss = sum(parts.values())
    np.testing.assert_allclose(
        parts["class_loss"], [0.5 * CANDIDATES * 3 * math.log(2)], rtol=1e-5
    )
    assert float(parts["box_loss"][0]) == float(parts["distribution_loss"][0]) == 0
    gradients = tape.gradient(loss, [classes, boxes])
    np.testing.assert_allclose(gradients[0], np.full((1, CANDIDATES, 3), 0.25))
    np.testing.assert_array_equal(gradients[1], np.zeros((1, CANDIDATES, 64)))


@pytest.mark.parametrize("left", [0.0, 4.5, 13.0, 15.9, 61.0])
def test_an_object_between_all_centres_is_learned(left):
    """Boxes of 3 x 3 pixels: one cell has it, also where its own box is elsewhere."""
    objects = _objects([[left, 60.5, left + 3, 63.5]], [1])
    scores = np.full((1, CANDIDATES, 3), 0.5, np.float32)
    elsewhere = np.tile(np.float32([30, 30, 31, 31]), (1, CANDIDATES, 1))
    assigned = task_aligned.assign(scores, elsewhere, objects, known=KNOWN)
    (found,) = np.flatnonzero(assigned["scores"].numpy()[0])
    assert KNOWN.strides[found] == 8
    distance = np.abs(KNOWN.centres[found] - [left + 1.5, 62]).max()
    assert distance <= 4
    assert float(assigned["scores"][0, found]) == pytest.approx(1e-3)


def test_the_weight_of_an_object_scales_its_target_scores():
    rng = np.random.default_rng(4)
    scores, boxes = _predictions(_random_outputs(rng, 1))
    known = {"known": KNOWN}
    whole = _objects([[5, 5, 50, 60]], [0])
    half = _objects([[5, 5, 50, 60]], [0], weights=[0.5])
    whole = task_aligned.assign(scores, boxes, whole, **known)["scores"]
    half = task_aligned.assign(scores, boxes, half, **known)["scores"]
    np.testing.assert_allclose(half, whole * 0.5, rtol=1e-6)


def test_of_two_equal_objects_one_learns():
    """Both take the same candidates, and none has two owners."""
    rng = np.random.default_rng(5)
    scores, boxes = _predictions(_random_outputs(rng, 1))
    one = task_aligned.assign(
        scores, boxes, _objects([[5, 5, 50, 60]], [0]), known=KNOWN
    )
    two = task_aligned.assign(
        scores, boxes, _objects([[5, 5, 50, 60]] * 2, [0, 0]), known=KNOWN
    )
    np.testing.assert_array_equal(one["scores"], two["scores"])


def test_500_objects_are_assigned():
    rng = np.random.default_rng(6)
    objects, outputs = _random_objects(rng, 2, 500), _random_outputs(rng, 2)
    parts = task_aligned.losses(objects, outputs, known=KNOWN)
    assert all(np.isfinite(part).all() for part in parts.values())


def test_the_largest_score_of_an_object_is_its_largest_overlap():
    rng = np.random.default_rng(7)
    scores, boxes = _predictions(_random_outputs(rng, 1))
    box = np.float32([3, 7, 60, 55])
    assigned = task_aligned.assign(scores, boxes, _objects(box, [2]), known=KNOWN)
    score = assigned["scores"].numpy()[0]
    overlaps = [_iou(box, boxes[0, index]) for index in np.flatnonzero(score)]
    assert len(overlaps) == 10
    assert score.max() == pytest.approx(max(overlaps), rel=1e-4)


def test_no_gradient_passes_through_the_assignment():
    boxes = tf.Variable(tf.random.uniform((1, CANDIDATES, 4)) * 64)
    scores = tf.Variable(tf.fill((1, CANDIDATES, 3), 0.5))
    objects = _objects([[5, 5, 50, 60]], [0])
    with tf.GradientTape() as tape:
        assigned = task_aligned.assign(scores + 0.0, boxes + 0.0, objects, known=KNOWN)
        total = tf.reduce_sum(assigned["scores"])
    assert tape.gradient(total, [boxes, scores]) == [None, None]


def test_it_works_in_tf_data_with_an_unknown_batch_size():
    rng = np.random.default_rng(8)
    objects, outputs = _random_objects(rng, 3, 4), _random_outputs(rng, 3)
    eager = task_aligned.losses(objects, outputs, known=KNOWN)
    data = tf.data.Dataset.from_tensor_slices((objects, outputs)).batch(3)
    data = data.map(lambda *both: task_aligned.losses(*both, known=KNOWN))
    (graph,) = data
    for name, part in eager.items():
        np.testing.assert_allclose(graph[name], part, rtol=1e-5)
