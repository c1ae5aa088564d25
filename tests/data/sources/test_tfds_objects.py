import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.data.sources import tfds_objects

BOXES = [[0.5, 0.25, 1, 0.5], [0, 0, 1, 1], [0.25, 0.5, 0.25, 1], [0, 0, 0.5, 0.5]]
OBJECTS = {
    "bbox": np.array(BOXES, np.float32),  # y_min, x_min, y_max, x_max
    "label": np.array([2, 1, 0, -1]),
    "is_crowd": np.array([False, True, False, False]),
    "is_difficult": np.array([True, False, False, False]),
    "area": np.array([3, 70, 1, 1]),
}


@pytest.fixture
def record(encode, pixels):
    """Return a function that makes a record of a picture of 8 x 16 pixels."""

    def make(file_format="PNG", keys=tuple(OBJECTS), **options):
        objects = {key: tf.constant(OBJECTS[key]) for key in keys}
        image = encode(pixels(8, 16), file_format, **options)
        return {"image": tf.constant(image), "objects": objects}

    return make


def data_set(record):
    return tf.data.Dataset.from_tensors(record)


def test_boxes_are_pixels_of_the_picture(record, pixels):
    """Crowds, boxes without area and objects without class are left out."""
    for sample in (
        tfds_objects.load(record()),
        *data_set(record()).map(tfds_objects.load),
    ):
        np.testing.assert_array_equal(sample["image"], pixels(8, 16))
        np.testing.assert_array_equal(sample["boxes"], [[4, 4, 8, 8]])
        assert sample["labels"].numpy().tolist() == [2]
        assert sample["labels"].dtype == tf.int32


def test_what_is_known_has_crowds_as_well(record):
    [found] = tfds_objects.known(data_set(record()), place="tfds:set")
    assert found.size == (8, 16)
    np.testing.assert_array_equal(found.boxes, [[4, 4, 8, 8], [0, 0, 16, 8]])
    assert found.labels.tolist() == [2, 1]
    assert found.areas.tolist() == [3, 70]
    assert found.is_crowd.tolist() == [False, True]
    assert found.is_difficult.tolist() == [True, False]
    assert found.places[1] == "tfds:set, picture 1, object 2"


def test_what_a_set_does_not_say_is_taken_from_its_boxes(record):
    plain = record(keys=("bbox", "label"))
    [found] = tfds_objects.known(data_set(plain), place="")
    assert found.areas.tolist() == [16, 128]
    assert not found.is_crowd.any()
    assert not found.is_difficult.any()
    assert len(tfds_objects.load(plain)["boxes"]) == 2


def test_a_picture_without_objects_has_none(record):
    empty = record()
    empty["objects"] = {key: values[:0] for key, values in empty["objects"].items()}
    [found] = tfds_objects.known(data_set(empty), place="")
    assert found.boxes.shape == (0, 4)
    assert tfds_objects.load(empty)["boxes"].shape == (0, 4)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "GIF", "BMP"])
def test_sizes_are_those_of_the_pixels(record, file_format):
    [found] = tfds_objects.known(data_set(record(file_format)), place="")
    assert found.size == (8, 16)


def test_a_turned_photograph_stays_as_its_boxes_are(record):
    tags = PIL.Image.Exif()
    tags[0x0112] = 6
    turned = record("JPEG", exif=tags)
    [found] = tfds_objects.known(data_set(turned), place="")
    assert found.size == (8, 16)
    assert tfds_objects.load(turned)["image"].shape == (8, 16, 3)


def test_only_headers_are_read_where_they_tell_the_size(record):
    """Cut off behind the header, a picture can no longer be decoded."""
    for file_format in ("PNG", "JPEG"):
        cut = record(file_format)
        whole = cut["image"].numpy()
        end = 40 if file_format == "PNG" else whole.index(b"\xff\xda") + 20
        cut["image"] = tf.constant(whole[:end])
        [found] = tfds_objects.known(data_set(cut), place="")
        assert found.size == (8, 16)
        with pytest.raises(tf.errors.InvalidArgumentError):
            tfds_objects.load(cut)
