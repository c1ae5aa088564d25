"""YOLO's targets and losses: equation 3 in nested loops, and the edges."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.ops import boxes as boxes_of
from tfdl.tasks.detection import yolov1_loss

GRID = yolov1_loss.Grid((3, 4), (96, 160))
NUM_CLASSES = 3
PARTS = {"box", "object", "no_object", "classes"}


def _objects(num_objects, *, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    limit = np.float32(GRID.size[::-1]) - 2
    low = rng.uniform(0, limit, (batch, num_objects, 2))
    high = np.minimum(low + rng.uniform(2, 90, low.shape), limit + 2)
    return {
        "boxes": np.concatenate([low, high], axis=-1).astype(np.float32),
        "labels": rng.integers(0, NUM_CLASSES, (batch, num_objects)).astype(np.int32),
        "weights": rng.choice([0.25, 1], (batch, num_objects)).astype(np.float32),
    }


def _outputs(*, batch=2, seed=1):
    rng = np.random.default_rng(seed)
    shapes = {"boxes": (2, 4), "confidence": (2,), "classes": (NUM_CLASSES,)}
    return {
        name: rng.uniform(0, 1, (batch, GRID.num_cells, *own)).astype(np.float32)
        for name, own in shapes.items()
    }


def _tensors(arrays):
    return {name: tf.constant(array) for name, array in arrays.items()}


def _losses(objects, outputs):
    targets = yolov1_loss.targets(GRID, _tensors(objects))
    found = yolov1_loss.losses(GRID, targets, _tensors(outputs))
    assert set(found) == PARTS
    return {name: part.numpy() for name, part in found.items()}


def _iou(box, other):
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    shared = np.maximum(sides, 0).prod()
    areas = (box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod()
    return shared / (areas - shared)


def _read(raw, row, column):
    """Read a box of a cell of 32 rows and 40 columns of pixels."""
    centre = np.array([(column + raw[0]) * 40, (row + raw[1]) * 32])
    half = np.array([raw[2] ** 2 * 160, raw[3] ** 2 * 96]) / 2
    return np.concatenate([centre - half, centre + half])


def _slow_losses(objects, outputs, picture):
    """Follow equation 3 in one picture without padding."""
    raw = {name: values[picture].astype(np.float64) for name, values in outputs.items()}
    owners = {}
    for number, box in enumerate(objects["boxes"][picture].astype(np.float64)):
        x, y = (box[:2] + box[2:]) / 2
        cell = (int(y // 32), int(x // 40))
        area = (box[2:] - box[:2]).prod()
        if cell not in owners or area >= owners[cell][0]:
            owners[cell] = (area, number, box)
    found = dict.fromkeys(PARTS, 0.0)
    for index in range(12):
        row, column = divmod(index, 4)
        responsible = None
        if (row, column) in owners:
            _, number, box = owners[row, column]
            weight = objects["weights"][picture, number]
            read = [_read(raw["boxes"][index, k], row, column) for k in range(2)]
            overlaps = [_iou(some, box) for some in read]
            responsible = int(np.argmax(overlaps))
            x, y = (box[:2] + box[2:]) / 2
            width, height = box[2:] - box[:2]
            x_hat, y_hat, *roots = raw["boxes"][index, responsible]
            error = (x / 40 - column - x_hat) ** 2 + (y / 32 - row - y_hat) ** 2
            error += ((width / 160) ** 0.5 - roots[0]) ** 2
            error += ((height / 96) ** 0.5 - roots[1]) ** 2
            found["box"] += 5 * weight * error
            confidence = raw["confidence"][index, responsible]
            found["object"] += weight * (overlaps[responsible] - confidence) ** 2
            is_class = np.arange(NUM_CLASSES) == objects["labels"][picture, number]
            found["classes"] += weight * ((is_class - raw["classes"][index]) ** 2).sum()
        for k in range(2):
            if k != responsible:
                found["no_object"] += 0.5 * raw["confidence"][index, k] ** 2
    return {name: part / len(owners) for name, part in found.items()}


@pytest.mark.parametrize("num_objects", [1, 9])
def test_losses_are_those_of_a_loop_over_cells(num_objects):
    """Of nine objects some want the same cell."""
    objects, outputs = _objects(num_objects), _outputs()
    found = _losses(objects, outputs)
    for picture in range(2):
        for name, part in _slow_losses(objects, outputs, picture).items():
            np.testing.assert_allclose(found[name][picture], part, rtol=1e-4)


def test_a_box_is_read_as_by_hand():
    raw = np.zeros((1, 12, 2, 4), np.float32)
    raw[0, 6, 1] = [0.25, 0.75, 0.5, -0.5]
    found = GRID.boxes(tf.constant(raw))[0, 6, 1]
    # Row 1 and column 2 of cells of 40 x 32 pixels; a quarter of each side.
    np.testing.assert_allclose(found, [90 - 20, 56 - 12, 90 + 20, 56 + 12])


def test_offsets_are_read_back_as_the_boxes():
    boxes = tf.constant(_objects(30)["boxes"])
    places, offsets = GRID.placed(boxes)
    assert (offsets.numpy() >= 0).all()
    assert (offsets.numpy() <= 1).all()
    everywhere = tf.tile(offsets[:, :, None, None], (1, 1, 12, 1, 1))
    for number in range(30):
        found = GRID.boxes(everywhere[:, number])[:, :, 0]
        for picture in range(2):
            np.testing.assert_allclose(
                found[picture, places[picture, number]],
                boxes[picture, number],
                atol=1e-3,
            )


def test_centres_on_the_border_belong_to_the_last_cell():
    boxes = tf.constant([[[150, 90, 170, 102], [-9, -9, 1, 1]]], tf.float32)
    np.testing.assert_array_equal(GRID.placed(boxes)[0], [[11, 0]])


def test_padding_has_no_influence():
    objects, outputs = _objects(4), _outputs()
    padded = {
        "boxes": np.pad(
            objects["boxes"], [[0, 0], [0, 20], [0, 0]], constant_values=90
        ),
        "labels": np.pad(objects["labels"], [[0, 0], [0, 20]], constant_values=-1),
        "weights": np.pad(objects["weights"], [[0, 0], [0, 20]]),
    }
    padded["boxes"][:, 4:, :2] = 5
    expected, found = _losses(objects, outputs), _losses(padded, outputs)
    for name in PARTS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)


def test_a_picture_without_objects_costs_its_confidences():
    objects, outputs = _objects(4), _outputs()
    objects["weights"][:] = 0
    found = _losses(objects, outputs)
    for name in ("box", "object", "classes"):
        np.testing.assert_array_equal(found[name], 0)
    expected = 0.5 * (outputs["confidence"] ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(found["no_object"], expected, rtol=1e-5)


def test_start_losses_are_those_of_outputs_that_say_nothing():
    objects = _objects(5)
    targets = yolov1_loss.targets(GRID, _tensors(objects))
    outputs = {name: 0 * raw for name, raw in _outputs().items()}
    outputs["boxes"] += 0.5
    found = yolov1_loss.losses(GRID, targets, _tensors(outputs))
    start = yolov1_loss.start_losses(GRID, targets)
    assert set(start) == {"box", "object", "classes"}
    for name, value in start.items():
        assert value == pytest.approx(float(tf.reduce_mean(found[name])), rel=1e-5)


def test_500_objects_and_sides_of_zero_have_finite_gradients():
    outputs = {name: 0 * raw for name, raw in _outputs(batch=8).items()}
    outputs = _tensors(outputs)

    @tf.function
    def gradients(objects, outputs):
        targets = yolov1_loss.targets(GRID, objects)
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            parts = yolov1_loss.losses(GRID, targets, outputs)
            loss = tf.add_n(list(parts.values()))
        return [loss, *tape.gradient(loss, list(outputs.values()))]

    for found in gradients(_tensors(_objects(500, batch=8)), outputs):
        assert np.isfinite(found).all()


def test_the_confidence_learns_the_overlap_which_does_not_learn_from_it():
    objects, outputs = _objects(1, batch=1), _tensors(_outputs(batch=1))
    objects["weights"][:] = 1
    targets = yolov1_loss.targets(GRID, _tensors(objects))
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = yolov1_loss.losses(GRID, targets, outputs)["object"]
    gradients = tape.gradient(
        loss, outputs, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    assert not np.any(gradients["boxes"])
    place = int(targets["places"][0, 0])
    read = GRID.boxes(outputs["boxes"])[0, place]
    overlap = boxes_of.iou(read, targets["boxes"][0]).numpy()[:, 0]
    best = int(overlap.argmax())
    expected = np.zeros((12, 2))
    wrong = outputs["confidence"][0, place, best] - overlap[best]
    expected[place, best] = 2 * wrong
    np.testing.assert_allclose(gradients["confidence"][0], expected, rtol=1e-5)


def test_targets_are_the_same_in_a_data_set():
    objects = _tensors(_objects(7))
    expected = yolov1_loss.targets(GRID, objects)
    batches = tf.data.Dataset.from_tensor_slices(objects).batch(2)
    (found,) = batches.map(lambda batch: yolov1_loss.targets(GRID, batch))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6)
