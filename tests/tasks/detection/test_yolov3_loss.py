"""YOLOv3's targets and losses: a loop over objects and candidates, and the edges."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfdl.tasks.detection import yolov3_grid, yolov3_loss

GRID = yolov3_grid.grid((64, 96, 3))
NUM_CLASSES = 3
PARTS = {"box", "objectness", "classes"}


def _objects(num_objects, *, batch=2, seed=0, grid=GRID):
    rng = np.random.default_rng(seed)
    limit = np.float32(grid.size[::-1]) - 2
    low = rng.uniform(0, limit, (batch, num_objects, 2))
    high = np.minimum(low + rng.uniform(2, 50, low.shape), limit + 2)
    return {
        "boxes": np.concatenate([low, high], axis=-1).astype(np.float32),
        "labels": rng.integers(0, NUM_CLASSES, (batch, num_objects)).astype(np.int32),
        "weights": rng.choice([0.25, 1], (batch, num_objects)).astype(np.float32),
    }


def _outputs(*, batch=2, seed=1, scale=1.0, grid=GRID):
    rng = np.random.default_rng(seed)
    shapes = {"boxes": (4,), "objectness": (), "classes": (NUM_CLASSES,)}
    return {
        name: rng.normal(0, scale, (batch, grid.num_candidates, *own)).astype("float32")
        for name, own in shapes.items()
    }


def _losses(objects, outputs, grid=GRID):
    targets = yolov3_loss.targets(grid, _tensors(objects))
    found = yolov3_loss.losses(grid, targets, _tensors(outputs))
    assert set(found) == PARTS
    return {name: part.numpy() for name, part in found.items()}


def _tensors(arrays):
    return {name: tf.constant(array) for name, array in arrays.items()}


def _sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def _iou(box, other):
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    shared = np.maximum(sides, 0).prod()
    areas = (box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod()
    return shared / (areas - shared)


def _candidates():
    """List (stride, column, row, shape) of each."""
    return [
        (stride, column, row, np.array(shape))
        for level, stride in enumerate((8, 16, 32))
        for row in range(GRID.size[0] // stride)
        for column in range(GRID.size[1] // stride)
        for shape in GRID.shapes[3 * level : 3 * level + 3]
    ]


def _responsible(boxes):
    """Give each candidate the largest object that chooses it: {candidate: object}."""
    chosen = {}
    candidates = _candidates()
    for number, box in enumerate(boxes):
        size, centre = box[2:] - box[:2], (box[2:] + box[:2]) / 2
        overlaps = [
            _iou(np.r_[0, 0, size], np.r_[0, 0, shape]) for shape in GRID.shapes
        ]
        best = GRID.shapes[int(np.argmax(overlaps))]
        (place,) = (
            index
            for index, (stride, column, row, shape) in enumerate(candidates)
            if tuple(shape) == best and (centre // stride == (column, row)).all()
        )
        rival = chosen.get(place)
        if rival is None or size.prod() >= (boxes[rival][2:] - boxes[rival][:2]).prod():
            chosen[place] = number
    return chosen


def _slow_losses(objects, outputs, picture):
    """Follow the paper candidate by candidate, in one picture without padding."""
    boxes = objects["boxes"][picture].astype(np.float64)
    chosen = _responsible(boxes)
    found = dict.fromkeys(PARTS, 0.0)
    for index, (stride, column, row, shape) in enumerate(_candidates()):
        raw = outputs["boxes"][picture, index].astype(np.float64)
        probability = _sigmoid(outputs["objectness"][picture, index])
        if index in chosen:
            number = chosen[index]
            box, weight = boxes[number], objects["weights"][picture, number]
            size, centre = box[2:] - box[:2], (box[2:] + box[:2]) / 2
            share = np.clip(centre / stride - (column, row), 1e-6, 1 - 1e-6)
            predicted = _sigmoid(raw[:2])
            error = share * np.log(share / predicted)
            error += (1 - share) * np.log((1 - share) / (1 - predicted))
            error += 0.5 * (raw[2:] - np.log(size / shape)) ** 2
            found["box"] += weight * (2 - size.prod() / (64 * 96)) * error.sum()
            found["objectness"] -= weight * np.log(probability)
            classes = _sigmoid(outputs["classes"][picture, index])
            is_class = np.arange(NUM_CLASSES) == objects["labels"][picture, number]
            chance = np.where(is_class, classes, 1 - classes)
            found["classes"] -= weight * np.log(chance).sum()
            continue
        centre = (_sigmoid(raw[:2]) + (column, row)) * stride
        half = np.exp(raw[2:]) * shape / 2
        box = np.concatenate([centre - half, centre + half])
        if max(_iou(box, other) for other in boxes) <= 0.5:
            found["objectness"] -= np.log(1 - probability)
    return {name: part / len(chosen) for name, part in found.items()}


@pytest.mark.parametrize("num_objects", [1, 20])
def test_losses_are_those_of_a_loop_over_candidates(num_objects):
    """20 objects are two chunks, and some of them want the same place."""
    objects, outputs = _objects(num_objects), _outputs()
    if num_objects == 20:
        assert len(_responsible(objects["boxes"][0])) < 20
    found = _losses(objects, outputs)
    for picture in range(2):
        for name, part in _slow_losses(objects, outputs, picture).items():
            np.testing.assert_allclose(found[name][picture], part, rtol=1e-4)


def test_a_perfect_answer_costs_nothing():
    objects = _objects(3, seed=4)
    targets = yolov3_loss.targets(GRID, _tensors(objects))
    outputs = _outputs(scale=0)
    outputs["objectness"] -= 30
    for picture, place in np.ndenumerate(targets["places"].numpy()):
        number = (picture[0], place)
        offsets = targets["offsets"][picture].numpy()
        offsets[:2] = np.log(offsets[:2] / (1 - offsets[:2]))
        outputs["boxes"][number] = offsets
        outputs["objectness"][number] = 30
        outputs["classes"][number] = -30
        outputs["classes"][number][objects["labels"][picture]] = 30
    for part in _losses(objects, outputs).values():
        np.testing.assert_allclose(part, 0, atol=1e-4)


def test_a_candidate_that_overlaps_an_object_without_having_it_costs_nothing():
    """Anchor 8's cell has the object, anchor 7 stretched to the same box does not."""
    box = GRID.anchors[-1]
    objects = {
        "boxes": box[None, None],
        "labels": np.int32([[0]]),
        "weights": np.float32([[1]]),
    }
    outputs = _outputs(batch=1, scale=0)
    outputs["objectness"] -= 30
    outputs["objectness"][0, -2:] = 30
    factor = np.array(GRID.shapes[-1]) / GRID.shapes[-2]
    assert _losses(objects, outputs)["objectness"] == pytest.approx(30, rel=1e-3)
    outputs["boxes"][0, -2, 2:] = np.log(factor)
    assert _losses(objects, outputs)["objectness"] == pytest.approx(0, abs=1e-3)


def test_padding_has_no_influence():
    objects, outputs = _objects(5), _outputs()
    padded = {
        "boxes": np.pad(
            objects["boxes"], [[0, 0], [0, 30], [0, 0]], constant_values=40
        ),
        "labels": np.pad(objects["labels"], [[0, 0], [0, 30]], constant_values=-1),
        "weights": np.pad(objects["weights"], [[0, 0], [0, 30]]),
    }
    padded["boxes"][:, 5:, :2] = 8
    expected, found = _losses(objects, outputs), _losses(padded, outputs)
    for name in PARTS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


def test_a_picture_without_objects_costs_what_is_seen_in_it():
    objects = _objects(4)
    objects["weights"][:] = 0
    outputs = _outputs(batch=2, scale=0)
    found = _losses(objects, outputs)
    np.testing.assert_array_equal(found["box"] + found["classes"], 0)
    cost = GRID.num_candidates * math.log(2)
    np.testing.assert_allclose(found["objectness"], cost, rtol=1e-5)


def test_a_weight_weighs_what_an_object_costs():
    objects, outputs = _objects(1), _outputs()
    objects["weights"][:] = 1
    whole = _losses(objects, outputs)
    objects["weights"][:] = 0.5
    half = _losses(objects, outputs)
    for name in ("box", "classes"):
        np.testing.assert_allclose(half[name], whole[name] / 2, rtol=1e-6)


def test_a_small_box_counts_nearly_twice():
    """A box of 6 of 64 pixels, then one of 62: factors 1.99 and 1.06."""
    grid = yolov3_grid.grid((64, 64, 3), [(s, s) for s in (1, 2, 3, 4, 5, 6, 7, 8, 64)])
    costs = []
    for side in (8, 64):
        box = [32 - side / 2 + 2, 32 - side / 2 + 2, 32 + side / 2, 32 + side / 2]
        objects = {
            "boxes": np.float32([[box]]),
            "labels": np.int32([[0]]),
            "weights": np.float32([[1]]),
        }
        targets = yolov3_loss.targets(grid, _tensors(objects))
        outputs = _tensors(_outputs(batch=1, scale=0, grid=grid))
        share = (side - 2) ** 2 / 64**2
        costs.append(yolov3_loss._box_errors(tf.zeros((1, 1, 4)), targets["offsets"]))
        found = yolov3_loss.losses(grid, targets, outputs)["box"]
        np.testing.assert_allclose(found, (2 - share) * costs[-1][0], rtol=1e-5)


def test_start_losses_are_those_of_outputs_that_say_nothing():
    objects = _objects(6)
    targets = yolov3_loss.targets(GRID, _tensors(objects))
    outputs = _outputs(scale=0)
    outputs["objectness"] += math.log(0.01 / 0.99)
    found = yolov3_loss.losses(GRID, targets, _tensors(outputs))
    start = yolov3_loss.start_losses(GRID, targets, num_classes=NUM_CLASSES)
    assert set(start) == {"objectness", "classes"}
    for name, value in start.items():
        assert value == pytest.approx(float(tf.reduce_mean(found[name])), rel=1e-5)


def test_one_object_costs_ln_2_for_each_class_at_the_start():
    objects = _objects(1, batch=1)
    objects["weights"][:] = 1
    targets = yolov3_loss.targets(GRID, _tensors(objects))
    start = yolov3_loss.start_losses(GRID, targets, num_classes=80)
    assert start["classes"] == pytest.approx(80 * math.log(2))


def test_500_objects_have_finite_losses_and_gradients():
    grid = yolov3_grid.grid((256, 256, 3))
    outputs = _tensors(_outputs(batch=8, grid=grid))

    @tf.function
    def gradients(objects, outputs):
        targets = yolov3_loss.targets(grid, objects)
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            parts = yolov3_loss.losses(grid, targets, outputs)
            loss = tf.add_n(list(parts.values()))
        return [loss, *tape.gradient(loss, list(outputs.values()))]

    for found in gradients(_tensors(_objects(500, batch=8, grid=grid)), outputs):
        assert np.isfinite(found).all()


def test_gradients_are_those_of_small_differences():
    objects, outputs = _objects(3), _outputs()
    targets = yolov3_loss.targets(GRID, _tensors(objects))
    watched = _tensors(outputs)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        parts = yolov3_loss.losses(GRID, targets, watched)
        loss = tf.reduce_sum(tf.add_n(list(parts.values())))
    gradients = tape.gradient(loss, watched)
    place = int(targets["places"][0, 0])
    for name, index in (("boxes", (0, place, 0)), ("boxes", (0, place, 3))):
        moved = []
        for step in (-0.01, 0.01):
            raw = outputs[name].copy()
            raw[index] += step
            found = yolov3_loss.losses(GRID, targets, _tensors(outputs | {name: raw}))
            moved.append(float(tf.reduce_sum(found["box"])))
        slope = (moved[1] - moved[0]) / 0.02
        assert float(gradients[name][index]) == pytest.approx(slope, rel=0.02, abs=1e-3)


def test_targets_are_the_same_in_a_data_set():
    objects = _tensors(_objects(7))
    expected = yolov3_loss.targets(GRID, objects)
    batches = tf.data.Dataset.from_tensor_slices(objects).batch(2)
    (found,) = batches.map(lambda batch: yolov3_loss.targets(GRID, batch))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)
