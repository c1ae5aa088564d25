"""Data sets of TensorFlow Datasets, read in seeded order from their record files."""

import pathlib
import socket

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data.sources import source

_HOST = ("storage.googleapis.com", 443)
_TIMEOUT_SECONDS = 3  # a load without a network would hang for over a minute


def read(
    name: str, *, folders: list[pathlib.Path], validation_fraction: float, test_fraction
) -> dict[str, source.Stream]:
    """Open a prepared data set, or prepare it where there is a network.

    Args:
        name: "mnist", "my_set/config" or "my_set/config:1.0.0".
        folders: where prepared data sets are looked for, in this order; downloads go
            to the last.
        validation_fraction: share of train to take where the set has no validation.
        test_fraction: the same of test.

    Returns:
        {"train", "validation", "test"} of Streams with image and label.

    Raises:
        DataError: the set has no image and label, or no train split.
        NetworkError: it is not prepared and there is no network.
    """
    builder = _prepared(name, folders) or _download(name, folders)
    features = builder.info.features
    if "image" not in features or "label" not in features:
        raise errors.DataError(
            f"tfds:{name} has {', '.join(features)} and not image and label",
            "name a data set for classification",
        )
    parts = _parts(builder, name, validation_fraction, test_fraction)
    return {split: _stream(builder, part) for split, part in parts.items()}


def _stream(builder, part: str) -> source.Stream:
    import tensorflow_datasets as tfds  # takes seconds, and only this source needs it

    def read_order(seed: int | None) -> tf.data.Dataset:
        order = tfds.ReadConfig(shuffle_seed=seed, interleave_cycle_length=1)
        dataset = builder.as_dataset(
            split=part,
            shuffle_files=seed is not None,
            read_config=order,
            decoders={"image": tfds.decode.SkipDecoding()},
        )
        return dataset.map(lambda row: _decode(row, image_feature))

    image_feature = builder.info.features["image"]
    return source.Stream(
        class_names=tuple(builder.info.features["label"].names),
        size=builder.info.splits[part].num_examples,
        labels=np.zeros(0, np.int32),
        read=read_order,
    )


def _decode(row: dict[str, tf.Tensor], feature) -> source.Sample:
    image = tf.io.decode_image(
        row["image"], channels=feature.shape[-1] or 3, expand_animations=False
    )
    image.set_shape([None, None, feature.shape[-1] or 3])
    return {"image": image, "label": tf.cast(row["label"], tf.int32)}


def _parts(builder, name, validation_fraction, test_fraction) -> dict[str, str]:
    """Name the slice of the set that each split reads."""
    splits = builder.info.splits
    if "train" not in splits:
        raise errors.DataError(
            f"tfds:{name} has the splits {', '.join(splits)} and no train",
            "name a data set with a train split",
        )
    first, last = 0, 100
    parts = {}
    if "test" in splits:
        parts["test"] = "test"
    else:
        last -= max(1, round(100 * test_fraction))
        parts["test"] = f"train[{last}%:]"
    if "validation" in splits:
        parts["validation"] = "validation"
    else:
        first += max(1, round(100 * validation_fraction))
        parts["validation"] = f"train[:{first}%]"
    return {"train": f"train[{first}%:{last}%]", **parts}


def _prepared(name: str, folders: list[pathlib.Path]):
    """Find a prepared set without asking the network."""
    import tensorflow_datasets as tfds

    parts = name.replace(":", "/")
    for folder in folders:
        found = sorted((folder / parts).glob("**/dataset_info.json"))
        if found:
            return tfds.builder_from_directory(found[-1].parent)
    return None


def _download(name: str, folders: list[pathlib.Path]):
    looked = ", ".join(str(folder / name) for folder in folders)
    try:
        socket.create_connection(_HOST, timeout=_TIMEOUT_SECONDS).close()
    except OSError as error:
        raise errors.NetworkError(
            f"tfds:{name} is not prepared under {looked}, and there is no network",
            "prepare it on a machine with a network (tfds build) and copy the folder",
        ) from error
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=folders[-1])
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise errors.UsageError(
            f"tfds:{name} is no data set of TensorFlow Datasets", "see tfds list"
        ) from error
    builder.download_and_prepare()
    return builder
