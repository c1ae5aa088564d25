"""Pictures with label maps of TensorFlow Datasets, in the order of their record files.

A set says nothing of the values of its maps: their classes are those that occur.
"""

import functools
import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import (
    box_faults,
    label_classes,
    semantic,
    source,
    tabulated,
    tfds,
)

# As the sets of TensorFlow Datasets call a map, one channel of class indices.
_MAPS = ("segmentation_mask", "segmentation_label", "annotation", "mask", "label")


def read(
    name: str,
    *,
    folders: list[pathlib.Path],
    validation_fraction: float,
    test_fraction: float,
    ignore: Sequence[int],
    cache: pathlib.Path,
    train_dev_fraction: float = 0.0,
) -> dict[str, semantic.Stream]:
    """Open a prepared data set, or prepare it where there is a network.

    The splits are taken as they are: no picture is looked for in two of them. The maps
    of all are passed over once, and what they hold is remembered. A picture is not
    turned upright, as TensorFlow Datasets does not: the map is of it as it is stored.

    Args:
        name: "oxford_iiit_pet", "my_set/config" or "my_set/config:1.0.0".
        folders: where prepared data sets are looked for, in this order; downloads go
            to the last.
        validation_fraction: share of train to take where the set has no validation.
        test_fraction: the same of test.
        ignore: values that are no class, beside 255; see `label_classes.numbering`.
        cache: folder for what is remembered.
        train_dev_fraction: share of train that is not trained on; 0 is none.

    Returns:
        {"train", "validation", "test"}, and "train_dev" if a share is given.

    Raises:
        UsageError: as `tfds.read`, or a value to ignore is none of a map.
        DataError: the set has no image, no map of one channel, or no train split, a map
            has not the size of its picture, or all maps have one class.
        NetworkError: it is not prepared and there is no network.
    """
    if not name:
        raise errors.UsageError("--data tfds: names no data set", "write tfds:NAME")
    builder = tfds.prepared(name, folders) or tfds.download(name, folders)
    key = _map_key(builder.info.features, place=f"tfds:{name}")
    parts = tfds.slices(
        builder, name, validation_fraction, test_fraction, train_dev_fraction
    )
    tables = {
        split: _table(builder, part, key, cache, place=f"tfds:{name}, {part}")
        for split, part in parts.items()
    }
    pixels = np.concatenate([found["pixels"] for found in tables.values()])
    numbering = label_classes.numbering(
        np.flatnonzero(pixels.sum(axis=0)).tolist(),
        named=None,
        ignore=ignore,
        place=f"tfds:{name}",
    )
    return {
        split: _stream(builder, part, key, tables[split], numbering)
        for split, part in parts.items()
    }


def load(record: dict[str, tf.Tensor], *, key: str, table: tf.Tensor) -> source.Sample:
    """Decode a picture and its map as they are stored.

    Args:
        record: "image" and the map, both string (), encoded.
        key: of the map.
        table: uint8 (256,), the class of each value.

    Returns:
        {"image", "semantic"} as of a `semantic.Source`.
    """
    values = _values(record[key])
    return {
        "image": _image(record["image"]),
        "semantic": tf.gather(table, tf.cast(values, tf.int32)),
    }


def _map_key(features, *, place: str) -> str:
    import tensorflow_datasets as tfds_package  # takes seconds

    kinds = {"image": tfds_package.features.Image}
    tfds.check_kinds(features, kinds, place=place, purpose="semantic segmentation")
    images = {
        key: features[key]
        for key in _MAPS
        if key in features and isinstance(features[key], tfds_package.features.Image)
    }
    for key, feature in images.items():
        if feature.shape[-1] == 1 and feature.np_dtype == np.uint8:
            return key
    raise errors.DataError(
        f"{place} has {', '.join(sorted(features))} and no map of one channel, 8 bits",
        f"name a data set with one of {', '.join(_MAPS)}",
    )


def _table(builder, part: str, key: str, cache: pathlib.Path, *, place: str) -> dict:
    """Look at all maps of a part: {"size", "map_size", "pixels"}, a row for each."""
    num_bytes = builder.info.splits[part.partition("[")[0]].num_bytes
    said = f"{builder.data_path}:{num_bytes}:{part}:{key}"
    digest = hashlib.blake2b(said.encode(), digest_size=16).hexdigest()

    def rows() -> tf.data.Dataset:
        records = _reader(builder, part, key)(None)
        row = functools.partial(_row, key=key)
        return records.map(row, num_parallel_calls=tf.data.AUTOTUNE)

    memory = cache / "scans" / f"{digest}.npz"
    found = tabulated.table(rows, memory=memory, key=said)
    differs = np.flatnonzero((found["size"] != found["map_size"]).any(axis=1))
    if len(differs):
        first = differs[0]
        map_size, size = (found[name][first] for name in ("map_size", "size"))
        raise errors.DataError(
            f"{place}, picture {first + 1}: its map has {box_faults.text(map_size)}, "
            f"it has {box_faults.text(size)}",
            "prepare the data set with maps of the pictures' sizes",
        )
    return found


def _row(record: dict[str, tf.Tensor], *, key: str) -> dict[str, tf.Tensor]:
    values = _values(record[key])
    return {
        "size": tf.shape(_image(record["image"]))[:2],
        "map_size": tf.shape(values),
        "pixels": semantic.pixels_of_values(values),
    }


def _stream(builder, part, key, found, numbering) -> semantic.Stream:
    return semantic.Stream(
        class_names=numbering.class_names,
        size=builder.info.splits[part].num_examples,
        read=_reader(builder, part, key),
        load=functools.partial(load, key=key, table=tf.constant(numbering.table)),
        class_pixels=numbering.class_pixels(found["pixels"]),
        sizes=found["size"],
    )


def _reader(builder, part: str, key: str):
    """Build the function that reads records; maps stay encoded as pictures do."""
    names = ("image", key)
    return tfds.reader(builder, part, dict.fromkeys(names, True), encoded=names)


def _image(content: tf.Tensor) -> tf.Tensor:
    image = tf.io.decode_image(content, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])


def _values(content: tf.Tensor) -> tf.Tensor:
    """Decode a map, which TensorFlow Datasets writes as a PNG without palette."""
    return tf.io.decode_png(content, channels=1)[..., 0]
