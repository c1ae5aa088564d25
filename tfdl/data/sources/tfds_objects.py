"""Boxes and classes of TensorFlow Datasets' records, in pixels."""

import tensorflow as tf

from tfdl.data.sources import source

FEATURES = ("bbox", "label", "is_crowd", "is_difficult", "area")
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = (16, 8)  # where width and height are: first byte and number of bytes


def load(record: dict) -> source.Sample:
    """Decode a picture as it is stored, and measure its objects.

    It is not turned upright: TensorFlow Datasets does not, and boxes are shares of the
    picture that it shows.

    Args:
        record: "image", string (), and "objects", of which "bbox" is float32 (objects,
            4), (y_min, x_min, y_max, x_max) in [0, 1], "label" (objects,), and perhaps
            "is_crowd", "is_difficult" and "area", (objects,).

    Returns:
        {"image", "boxes", "labels"} as of a `source.Source`; crowds and objects without
        area or class are left out.
    """
    image = tf.io.decode_image(record["image"], channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    found = _in_pixels(record["objects"], tf.shape(image)[:2])
    is_single = ~found["is_crowd"]
    return {
        "image": image,
        "boxes": found["boxes"][is_single],
        "labels": found["labels"][is_single],
    }


def known(records: tf.data.Dataset, *, place: str) -> list[source.Objects]:
    """Pass over records, and of each picture read no more than its size.

    Args:
        records: as `load` takes them.
        place: what a message calls the data set.

    Returns:
        The objects of each picture, with crowds, else as `load` gives them.
    """
    measured = records.map(_known, num_parallel_calls=tf.data.AUTOTUNE)
    return [
        _objects(values, place=f"{place}, picture {number}")
        for number, values in enumerate(measured.as_numpy_iterator(), start=1)
    ]


def _known(record: dict) -> dict[str, tf.Tensor]:
    """Find the objects of a picture, of which no more is read than its size."""
    size = _stored_size(record["image"])
    return _in_pixels(record["objects"], size) | {"size": size}


def _in_pixels(objects: dict[str, tf.Tensor], size: tf.Tensor) -> dict[str, tf.Tensor]:
    """Measure objects in pixels, and drop those that cannot be trained on."""
    height, width = tf.unstack(tf.cast(size, tf.float32))
    y_min, x_min, y_max, x_max = tf.unstack(objects["bbox"], axis=-1)
    sides = (x_min * width, y_min * height, x_max * width, y_max * height)
    x_min, y_min, x_max, y_max = sides
    labels = tf.cast(objects["label"], tf.int32)
    never = tf.zeros_like(labels, tf.bool)
    found = {
        "boxes": tf.stack(sides, axis=-1),
        "labels": labels,
        "areas": tf.cast(
            objects.get("area", (x_max - x_min) * (y_max - y_min)), tf.float32
        ),
        "is_crowd": tf.cast(objects.get("is_crowd", never), tf.bool),
        "is_difficult": tf.cast(objects.get("is_difficult", never), tf.bool),
    }
    is_sound = (x_min < x_max) & (y_min < y_max) & (labels >= 0)
    return {name: values[is_sound] for name, values in found.items()}


def _stored_size(image_bytes: tf.Tensor) -> tf.Tensor:
    """Read height and width of a picture -> int32 (2,); a PNG or JPEG by its header."""

    def decoded():
        image = tf.io.decode_image(image_bytes, expand_animations=False)
        return tf.shape(image)[:2]

    def in_jpeg():
        return tf.io.extract_jpeg_shape(image_bytes)[:2]

    def in_png():
        header = tf.strings.substr(image_bytes, *_PNG_SIZE)
        return tf.io.decode_raw(header, tf.int32, little_endian=False)[::-1]

    is_png = tf.strings.substr(image_bytes, 0, len(_PNG)) == _PNG
    is_jpeg = tf.io.is_jpeg(image_bytes)
    size = tf.case([(is_jpeg, in_jpeg), (is_png, in_png)], decoded)
    return tf.ensure_shape(size, [2])


def _objects(values: dict, *, place: str) -> source.Objects:
    height, width = values["size"].tolist()
    numbers = range(1, len(values["labels"]) + 1)
    places = [f"{place}, object {number}" for number in numbers]
    return source.Objects(**values | {"size": (height, width), "places": places})
