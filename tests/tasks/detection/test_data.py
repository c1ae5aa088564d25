import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import pipeline
from tfdl.data.sources import source
from tfdl.tasks.detection import data

SIZES = [(30, 40), (8, 16), (50, 20)]


def make_objects(size, boxes, labels, is_crowd=None):
    return source.Objects(
        size=size,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int32),
        areas=np.ones(len(labels), np.float32),
        is_crowd=np.zeros(len(labels), bool) if is_crowd is None else is_crowd,
        is_difficult=np.zeros(len(labels), bool),
        places=["here"] * len(labels),
    )


@pytest.fixture
def examples():
    """Return pictures in whose objects every pixel is 200, and 50 outside."""
    boxes = [[4, 6, 20, 18], [2, 2, 14, 6], [4, 10, 12, 30]]
    images = []
    for (height, width), (left, top, right, bottom) in zip(SIZES, boxes, strict=True):
        image = np.full((height, width, 3), 50, np.uint8)
        image[top:bottom, left:right] = 200
        images.append(image)
    flat = tf.ragged.stack([tf.constant(image.ravel()) for image in images])
    sizes, kept = tf.constant(SIZES), tf.constant(boxes, tf.float32)

    def load(index):
        height, width = tf.unstack(tf.gather(sizes, index))
        image = tf.reshape(tf.gather(flat, index), [height, width, 3])
        return {
            "image": image,
            "boxes": tf.gather(kept, index)[None],
            "labels": tf.constant([1]),
        }

    return source.Source(
        class_names=("cat", "dog"),
        names=["first", "second", "third"],
        labels=np.array([[0, 1]] * 3, np.int32),
        digests=np.array(["1", "2", "3"], "S"),
        pixels=np.array([height * width * 3 for height, width in SIZES]),
        load=load,
        objects=[
            make_objects(size, [box], [1])
            for size, box in zip(SIZES, boxes, strict=True)
        ],
    )


def test_a_wide_picture_lies_in_the_middle_of_its_square():
    size, corner = data.placement(tf.constant([480, 640]), 320)
    assert size.numpy().tolist() == [240, 320]
    assert corner.numpy().tolist() == [40, 0]
    sizes = tf.constant([[480, 640], [10, 8000], [1, 1]])
    size, corner = data.placement(sizes, 320)
    assert size.numpy().tolist() == [[240, 320], [1, 320], [320, 320]]
    assert corner.numpy().tolist() == [[40, 0], [159, 0], [0, 0]]


@pytest.mark.parametrize("size", [(1, 1), (8000, 20), (3, 500), (64, 64), (65, 64)])
def test_pictures_of_any_size_are_laid_into_the_square(size):
    image = tf.fill([*size, 3], tf.constant(255, tf.uint8))
    square = data.prepare_image(image, image_size=64)
    assert square.shape == (64, 64, 3)
    assert square.dtype == tf.float32
    resized, _ = data.placement(tf.constant(size), 64)
    bright = tf.reduce_sum(tf.cast(square[..., 0] > 0.99, tf.int32))
    assert bright == tf.reduce_prod(resized)
    rest = tf.boolean_mask(square, square < 0.99)
    np.testing.assert_array_equal(rest, data.GREY)


def test_a_picture_of_the_square_s_size_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    square = data.prepare_image(tf.constant(image), image_size=16)
    np.testing.assert_allclose(square, image / 255, atol=1e-6)


def test_boxes_follow_into_the_square_and_back():
    size = tf.constant([480, 640])
    box = tf.constant([[64.0, 48.0, 320.0, 480.0]])
    inside = data.into_square(box, size, image_size=320)
    np.testing.assert_allclose(inside, [[32, 64, 160, 280]])
    back = data.out_of_square(inside, size, image_size=320)
    np.testing.assert_allclose(back, box)


def test_boxes_of_many_pictures_go_back_and_are_cut_to_them():
    sizes = tf.constant([[480, 640], [20, 8000]])
    inside = tf.constant([[[0.0, 0.0, 320.0, 320.0]], [[0.0, 0.0, 160.0, 320.0]]])
    back = data.out_of_square(inside, sizes, image_size=320)
    np.testing.assert_allclose(back, [[[0, 0, 640, 480]], [[0, 0, 4000, 20]]])


def test_examples_are_padded_to_a_fixed_number_of_objects(examples):
    prepare = data.preparation(32, max_objects=3)
    example = prepare(examples.load(tf.constant(0, tf.int64)))
    assert example["labels"].numpy().tolist() == [1, -1, -1]
    assert example["weights"].numpy().tolist() == [1, 0, 0]
    np.testing.assert_allclose(example["boxes"][0], [3.2, 8.8, 16, 18.4])
    np.testing.assert_array_equal(example["boxes"][1:], 0)


def test_more_objects_than_there_is_room_for_are_dropped():
    sample = {
        "image": tf.zeros([8, 8, 3], tf.uint8),
        "boxes": tf.ones([500, 4]),
        "labels": tf.range(500),
    }
    example = data.preparation(8, max_objects=4)(sample)
    assert example["labels"].numpy().tolist() == [0, 1, 2, 3]


def test_a_picture_without_objects_is_all_padding():
    sample = {
        "image": tf.zeros([8, 8, 3], tf.uint8),
        "boxes": tf.zeros([0, 4]),
        "labels": tf.zeros([0], tf.int32),
    }
    example = data.preparation(8, max_objects=2)(sample)
    assert example["weights"].numpy().tolist() == [0, 0]
    assert example["labels"].numpy().tolist() == [-1, -1]


@pytest.mark.parametrize("limit", [0, 4000, 1 << 20])
def test_shrunk_pictures_and_their_boxes_fit_each_other(examples, limit):
    small = data.shrunk(examples, image_size=20, limit_bytes=limit)
    loaded = list(tf.data.Dataset.range(3).map(small.load).as_numpy_iterator())
    shapes = [sample["image"].shape for sample in loaded]
    assert shapes == [(15, 20, 3), (8, 16, 3), (20, 8, 3)]
    assert [int(np.prod(shape)) for shape in shapes] == small.pixels.tolist()
    for sample in loaded:
        [[left, top, right, bottom]] = sample["boxes"]
        rows, columns = np.nonzero(sample["image"][..., 0] > 125)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(found, [left, top, right, bottom], atol=0.5)
        assert sample["labels"].tolist() == [1]


def test_real_objects_are_moved_together_and_cut_to_the_room():
    weights = tf.constant([[0.0, 1.0, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0]])
    labels = tf.constant([[-1, 3, -1, 4], [-1, -1, -1, -1]])
    boxes = np.arange(32, dtype=np.float32).reshape(2, 4, 4)
    objects = {"boxes": tf.constant(boxes), "labels": labels, "weights": weights}
    found = data.together(objects, max_objects=3)
    assert found["labels"].numpy().tolist() == [[3, 4, -1], [-1, -1, -1]]
    assert found["weights"].numpy().tolist() == [[1, 0.5, 0], [0, 0, 0]]
    np.testing.assert_array_equal(found["boxes"][0, :2], boxes[0, [1, 3]])
    assert data.together(objects, max_objects=2)["labels"].shape == (2, 2)
    wider = data.together(objects, max_objects=6)
    assert wider["labels"].numpy().tolist()[0] == [3, 4, -1, -1, -1, -1]
    assert wider["boxes"].shape == (2, 6, 4)


def test_crowds_do_not_count_for_the_room_that_is_needed():
    crowd = np.array([False, True, False])
    many = make_objects((8, 8), np.zeros((3, 4)), [0, 0, 0], crowd)
    assert data.most_objects([many, make_objects((8, 8), [], [])]) == 2
    assert data.most_objects([make_objects((8, 8), [], [])]) == 1


def test_what_is_served_is_what_is_evaluated(examples):
    def ask(sample):
        return data.question(sample, image_size=32)

    [batch] = pipeline.evaluation(examples, ask, batch_size=3)
    assert batch["size"].numpy().tolist() == [list(size) for size in SIZES]
    for index, image in enumerate(batch["image"]):
        picture = examples.load(tf.constant(index, tf.int64))["image"]
        wanted = data.prepare_image(picture, image_size=32)
        np.testing.assert_array_equal(image, wanted)


def test_drawings_are_split_and_know_their_objects(tmp_path):
    found = data.read(
        "synthetic",
        cache_dir=tmp_path,
        image_size=48,
        num_examples=40,
        validation_fraction=0.2,
        test_fraction=0.2,
        on_bad_data="error",
    )
    assert {split: len(part) for split, part in found.items()} == {
        "train": 26,
        "validation": 6,
        "test": 8,
    }
    for part in found.values():
        sample = part.load(tf.constant(3, tf.int64))
        np.testing.assert_array_equal(sample["boxes"], part.objects[3].boxes)
        np.testing.assert_array_equal(sample["labels"], part.objects[3].labels)


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(errors.UsageError, match="Did you mean coco"):
        data.read(
            "cocoa:x",
            cache_dir=tmp_path,
            image_size=48,
            num_examples=4,
            validation_fraction=0.2,
            test_fraction=0.2,
            on_bad_data="error",
        )
