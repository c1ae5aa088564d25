import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import instances, source
from tfdl.tasks.detection import mask_answers, mask_served, postprocess

SIZE, NAMES = 32, ("dark", "bright")
THRESHOLDS = postprocess.Thresholds(max_detections=2)


def infer(images):
    """Find what is bright on grey, as one box with a full mask."""
    is_bright = tf.reduce_mean(images, axis=-1) > 0.9
    ends = []
    for axis in (1, 2):
        occupied = tf.reduce_any(is_bright, axis=axis)
        places = tf.range(SIZE)
        ends.append(tf.reduce_min(tf.where(occupied, places, SIZE), axis=-1))
        ends.append(tf.reduce_max(tf.where(occupied, places + 1, 0), axis=-1))
    box = tf.cast(tf.stack([ends[0], ends[2], ends[1], ends[3]], axis=-1), tf.float32)
    batch = tf.shape(images)[0]
    return {
        "boxes": tf.stack([box, tf.zeros_like(box)], axis=1),
        "scores": tf.tile([[0.9, 0.0]], [batch, 1]),
        "labels": tf.tile([[1, -1]], [batch, 1]),
        "num_detections": tf.ones([batch], tf.int32),
        "masks": tf.tile(
            tf.constant([1.0, 0.0])[None, :, None, None], [batch, 1, 28, 28]
        ),
    }


@pytest.fixture
def examples():
    """Draw a bright square on each of five grey pictures."""
    images = np.full((5, SIZE, SIZE, 3), 128, np.uint8)
    masks = np.zeros((5, 1, SIZE, SIZE), bool)
    objects = []
    for number in range(5):
        window = (slice(3 + number, 20 + number), slice(4, 25))
        images[number][window], masks[number, 0][window] = 255, True
        objects.append(
            source.Objects(
                size=(SIZE, SIZE),
                boxes=np.array([[4, 3 + number, 25, 20 + number]], np.float32),
                labels=np.array([1], np.int32),
                areas=np.array([357.0], np.float32),
                is_crowd=np.zeros(1, bool),
                is_difficult=np.zeros(1, bool),
                places=[""],
            )
        )
    return instances.Source(
        class_names=NAMES,
        names=list("abcde"),
        labels=np.ones((5, 2), np.int32),
        digests=np.arange(5),
        pixels=np.full(5, 3 * SIZE * SIZE),
        load=lambda index: {"image": tf.gather(tf.constant(images), index)},
        objects=objects,
        masks_of=lambda number: masks[number],
    )


def test_an_export_is_measured_as_the_model_is(examples):
    built = mask_answers.signatures(infer, image_size=SIZE)
    found = mask_served.measure(built, examples, most=2)
    assert found == {"AP": pytest.approx(1), "AP50": pytest.approx(1)}


def test_what_an_export_is_asked_without_data():
    task = mask_served.task(
        None, NAMES, image_size=SIZE, thresholds=THRESHOLDS, file_format="savedmodel"
    )
    assert task["measure"] is None
    built = task["build"](infer)
    for name, inputs in task["examples"].items():
        assert len(built[name](**inputs)["boxes"]) >= 2


@pytest.mark.parametrize("file_format", ["tflite", "onnx"])
def test_other_formats_are_refused(file_format):
    with pytest.raises(errors.UsageError, match=f"--format {file_format}"):
        mask_served.task(
            None, NAMES, image_size=SIZE, thresholds=THRESHOLDS, file_format=file_format
        )


def answers(order=(0, 1), moved=0):
    numbers = np.zeros((20, 20, 1), np.uint16)
    numbers[: 10 + moved] = 1
    masks = np.stack([np.full((4, 4), 0.2), np.full((4, 4), 0.7)])
    boxes = np.array([[0, 0, 9, 9], [5, 5, 12, 12]])
    return {
        "boxes": boxes[list(order)][None].astype(np.float32),
        "scores": np.array([[0.5, 0.5]], np.float32),
        "labels": np.array([[0, 1]])[:, list(order)],
        "num_detections": np.array([2]),
        "masks": masks[list(order)][None].astype(np.float32),
        "instance_map_bytes": np.array([tf.io.encode_png(numbers).numpy()]),
    }


def test_equals_may_change_places_with_their_masks():
    expected, found = answers(), answers((1, 0))
    arranged = mask_served.aligned(expected, found, 1e-5, thresholds=THRESHOLDS)
    for name in ("boxes", "labels", "masks"):
        np.testing.assert_array_equal(arranged[name], expected[name])


def test_maps_that_differ_stay_different():
    expected, found = answers(), answers(moved=5)
    arranged = mask_served.aligned(expected, found, 1e-5, thresholds=THRESHOLDS)
    assert arranged["instance_map_bytes"][0].numpy() == found["instance_map_bytes"][0]
    other = answers()
    other["masks"] = other["masks"] + 0.1
    arranged = mask_served.aligned(expected, other, 1e-5, thresholds=THRESHOLDS)
    np.testing.assert_array_equal(arranged["masks"], other["masks"])
