import dataclasses
import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import source
from tfdl.tasks.detection import metrics, results

NAMES = ("ant", "bee", "cat")
SIZES = np.random.default_rng(0).integers(40, 90, (20, 2))


def known(number):
    """One to three objects, of which the first is found well."""
    rng = np.random.default_rng(number)
    corners = rng.uniform(0, 15, (1 + number % 3, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 20, corners.shape)], 1)
    return source.Objects(
        size=tuple(SIZES[number].tolist()),
        boxes=boxes.astype(np.float32),
        labels=rng.integers(0, 2, len(boxes)).astype(np.int32),
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1).astype(np.float32),
        is_crowd=np.zeros(len(boxes), bool),
        is_difficult=np.zeros(len(boxes), bool),
        places=(),
    )


def load(number):
    """Make a picture of the grey of its number."""
    size = tf.gather(tf.constant(SIZES, tf.int32), number)
    shape = tf.concat([size, [3]], axis=0)
    return {"image": tf.fill(shape, tf.cast(number * 10, tf.uint8))}


OBJECTS = [known(number) for number in range(20)]
SOURCE = source.Source(
    class_names=NAMES,
    names=[str(number) for number in range(20)],
    labels=np.zeros(20, np.int32),
    digests=np.zeros(20, "S1"),
    pixels=np.ones(20, np.int64),
    load=load,
    objects=OBJECTS,
)
STREAM = source.Stream(
    class_names=NAMES,
    size=20,
    read=lambda seed: tf.data.Dataset.range(20),
    load=load,
    objects=OBJECTS,
)


def answers(numbers):
    """Find all but the last object of each picture, padded to five detections."""
    padded = {
        "boxes": np.zeros((len(numbers), 5, 4), np.float32),
        "scores": np.zeros((len(numbers), 5), np.float32),
        "labels": np.full((len(numbers), 5), -1, np.int32),
        "num_detections": np.zeros(len(numbers), np.int32),
    }
    for row, number in enumerate(numbers):
        count = max(1, len(OBJECTS[number]) - 1)
        padded["boxes"][row, :count] = OBJECTS[number].boxes[:count]
        padded["labels"][row, :count] = OBJECTS[number].labels[:count]
        padded["scores"][row, :count] = np.linspace(0.9, 0.5, count)
        padded["num_detections"][row] = count
    return padded


def outputs():
    """Yield pairs as inference does, here not in order and unevenly."""
    for numbers in ([3, 4, 5, 6, 7, 8, 9], [0, 1, 2], range(10, 20)):
        yield answers(numbers), {"number": np.array(numbers)}


@pytest.fixture(scope="module")
def collected():
    return results.collect(outputs(), SOURCE)


def test_pictures_are_in_the_order_of_the_split(collected):
    assert len(collected.detections) == 20
    for found, own in zip(collected.detections, OBJECTS, strict=True):
        count = max(1, len(own) - 1)
        np.testing.assert_array_equal(found.boxes, own.boxes[:count])
        np.testing.assert_array_equal(found.labels, own.labels[:count])
        assert len(found.scores) == count


def test_the_end_of_an_epoch(collected):
    expected = metrics.brief(OBJECTS, collected.detections, class_names=NAMES)
    assert results.brief(collected) == expected
    assert 0 < expected["AP"] < 1
    assert results.error(collected) == (1 - expected["AP50"], 20)


def test_a_report_holds_all_that_is_written(collected):
    report = results.report(collected, NAMES)
    assert set(report) == {
        *("metrics", "per_class", "samples", "plots", "confusions", "embedding")
    }
    assert report["metrics"]["num_examples"] == 20
    assert report["metrics"]["missed_errors"] == sum(len(own) > 1 for own in OBJECTS)
    assert report["metrics"]["missed_AP50_gain"] > 0
    assert [row["class"] for row in report["per_class"]] == list(NAMES)
    assert set(report["samples"]) == {"predictions", "best", "worst"}
    assert set(report["confusions"]) == {"ant", "bee"}
    assert report["embedding"]["features"].size == 0
    drawn = [*report["samples"].values(), *report["plots"].values()]
    assert all(picture.dtype == np.uint8 for picture in drawn)


def test_a_glance_shows_the_same_from_a_stream(collected):
    first = results.glance(collected, NAMES)
    second = results.glance(dataclasses.replace(collected, examples=STREAM), NAMES)
    assert set(first["plots"]) == {"confusion_matrix", "confusion_matrix_normalized"}
    for kind, drawn in first.items():
        for name, picture in drawn.items():
            np.testing.assert_array_equal(picture, second[kind][name])


def test_originals_are_those_asked_for():
    for examples in (SOURCE, STREAM):
        originals = results._originals(examples, np.array([7, 2, 7]))
        assert set(originals) == {2, 7}
        for number, image in originals.items():
            assert image.shape == (*SIZES[number], 3)
            assert (image == number * 10).all()


def answer(image_bytes):
    """Find a box whose score is the brightness of the picture's first pixel."""
    image = tf.io.decode_image(image_bytes[0])
    score = tf.cast(image[0, 0, 0], tf.float32) / 255
    return {
        "boxes": tf.constant([[[1.0, 2.0, 11.0, 22.0], [0.0, 0.0, 0.0, 0.0]]]),
        "scores": tf.stack([score, 0.0])[None],
        "labels": tf.constant([[1, -1]]),
        "num_detections": tf.constant([1]),
    }


def file(folder, name, grey):
    content = io.BytesIO()
    PIL.Image.new("RGB", (40, 30), (grey,) * 3).save(content, "png")
    (folder / name).write_bytes(content.getvalue())


def test_files_are_answered_as_coco_has_it(tmp_path):
    for index in range(40):
        file(tmp_path, f"picture_{index:02d}.png", 51 if index else 255)
    found = results.predictions(
        [tmp_path], answer, NAMES, on_bad_data="error", score_threshold=0.5
    )
    assert len(found["rows"]) == 40
    assert found["rows"][0] == {
        "image_id": 1,
        "file_name": str(tmp_path / "picture_00.png"),
        "category_id": NAMES.index("bee") + 1,
        "category": "bee",
        "bbox": [1, 2, 10, 20],
        "score": 1,
    }
    assert found["rows"][-1]["image_id"] == 40
    assert found["rows"][1]["score"] == pytest.approx(0.2)
    assert len(found["samples"]) == 32
    sure, unsure = list(found["samples"].values())[:2]
    assert (sure != 255).any()  # a frame on white
    assert (unsure == 51).all()


def test_files_of_one_name_are_all_drawn(tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        file(folder, "same.png", 100)
    found = results.predictions(
        [tmp_path], answer, NAMES, on_bad_data="error", score_threshold=0.5
    )
    assert len(found["samples"]) == 2


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(errors.DataError, match="nowhere"):
        results.predictions(
            [tmp_path / "nowhere.png"],
            answer,
            NAMES,
            on_bad_data="error",
            score_threshold=0.5,
        )
