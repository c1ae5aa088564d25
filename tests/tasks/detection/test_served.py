import functools

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.sources import source
from tfdl.tasks.detection import data, feeding, metrics, postprocess, results, served

SIZE = 32
NAMES = ("dark", "bright")
THRESHOLDS = postprocess.Thresholds(max_detections=5)


def infer(images):
    """Find what is bright on grey, as one box around it, and less surely a dark one."""
    is_bright = tf.reduce_mean(images, axis=-1) > 0.9
    rows, columns = (tf.reduce_any(is_bright, axis=axis) for axis in (2, 1))
    ends = [_ends(columns), _ends(rows)]
    box = tf.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], axis=-1)
    boxes = tf.stack([box, box * 0.5], axis=1)
    scores = tf.tile([[[0.0, 0.9], [0.4, 0.1]]], [tf.shape(images)[0], 1, 1])
    return {"boxes": boxes, "scores": scores}


def _ends(occupied):
    places = tf.range(SIZE)
    first = tf.reduce_min(tf.where(occupied, places, SIZE), axis=-1)
    last = tf.reduce_max(tf.where(occupied, places + 1, 0), axis=-1)
    return tf.cast(first, tf.float32), tf.cast(last, tf.float32)


def split(count=11):
    """Draw a bright square on each grey picture."""
    random = np.random.default_rng(0)
    images = np.full((count, 48, 64, 3), 128, np.uint8)
    boxes = []
    for image in images:
        left, top = random.integers(2, 20, 2)
        image[top : top + 20, left : left + 24] = 255
        boxes.append([left, top, left + 24, top + 20])
    never = np.zeros(1, bool)
    return source.Source(
        class_names=NAMES,
        names=[str(number) for number in range(count)],
        labels=np.ones((count, 2), np.int32),
        digests=np.arange(count),
        pixels=np.full(count, images[0].size),
        load=lambda index: {"image": tf.gather(tf.constant(images), index)},
        objects=[
            source.Objects(
                size=(48, 64),
                boxes=np.array([box], np.float32),
                labels=np.array([1], np.int32),
                areas=np.array([480.0], np.float32),
                is_crowd=never,
                is_difficult=never,
                places=["here"],
            )
            for box in boxes
        ],
    )


@pytest.fixture
def signatures():
    return postprocess.signatures(infer, image_size=SIZE, thresholds=THRESHOLDS)


def test_files_and_tensors_have_the_precision_of_an_evaluation(signatures):
    examples = split()
    splits = feeding.Splits(
        {"train": examples, "test": examples},
        recipe=None,
        batch_size=4,
        seed=0,
        image_size=SIZE,
        cache_bytes=0,
        mixed_steps=0,
    )
    finish = postprocess.finishing(THRESHOLDS, image_size=SIZE)
    found = []
    for batch in splits.evaluation("test"):
        answers = finish(infer(batch["image"]), batch)
        found += results.detections({n: v.numpy() for n, v in answers.items()})
    expected = metrics.brief(examples.objects, found, class_names=NAMES)
    assert expected["AP50"] > 0.9
    tensor = {"serve_tensor": signatures["serve_tensor"]}
    for asked in (signatures, tensor):
        measured = served.measure(asked, examples, NAMES, image_size=SIZE, batch_size=3)
        assert measured["AP"] == pytest.approx(expected["AP"], abs=1e-6)


def test_every_signature_is_asked_about_the_same_pictures(signatures):
    task = served.task(None, NAMES, image_size=SIZE, thresholds=THRESHOLDS)
    assert task["measure"] is None
    assert task["labels"] == NAMES
    assert set(task["examples"]) == set(signatures)
    for name, function in task["build"](infer).items():
        answers = function(**task["examples"][name])
        assert len(answers["scores"]) == 4
        aligned = task["align"](answers, answers, 1e-5)
        np.testing.assert_array_equal(aligned["boxes"], answers["boxes"])


def test_with_data_examples_are_of_test_and_ranges_of_train():
    asked = served.asked(
        {"train": split(9), "test": split()},
        NAMES,
        image_size=SIZE,
        thresholds=THRESHOLDS,
        batch_size=4,
    )
    assert asked["calibration"].shape == (9, SIZE, SIZE, 3)
    assert len(asked["examples"]["serving_default"]["image_bytes"]) == 8
    assert isinstance(asked["measure"], functools.partial)


def test_pictures_are_prepared_as_in_evaluation():
    pictures = [np.full((5, 9, 3), 7, np.uint8), np.full((40, 3, 3), 9, np.uint8)]
    prepared = served.prepared(pictures, image_size=SIZE)
    for square, picture in zip(prepared, pictures, strict=True):
        wanted = data.prepare_image(tf.constant(picture), image_size=SIZE)
        np.testing.assert_array_equal(square, wanted)
