"""Data sets of TensorFlow Datasets, read in seeded order from their record files."""

import contextlib
import pathlib
import socket
import threading
from collections.abc import Sequence
from typing import Literal

import tensorflow as tf

from tfdl import errors
from tfdl.data import images, splits as splits_of_data
from tfdl.data.sources import source, tfds_objects

_HOST = ("storage.googleapis.com", 443)
_TIMEOUT_SECONDS = 3  # a load without a network would hang for over a minute
_MAX_WINDOW = 10_000  # examples that are shuffled at a time
_MAX_WINDOW_BYTES = 256 << 20
_BOX_FORMATS = (None, "REL_YXYX")  # shares of the picture; old sets do not say so


def read(
    name: str,
    *,
    folders: list[pathlib.Path],
    validation_fraction: float,
    test_fraction: float,
    train_dev_fraction: float = 0.0,
    features: Literal["label", "objects"] = "label",
) -> dict[str, source.Stream]:
    """Open a prepared data set, or prepare it where there is a network.

    The splits are taken as they are: no picture is looked for in two of them.

    Args:
        name: "mnist", "my_set/config" or "my_set/config:1.0.0".
        folders: where prepared data sets are looked for, in this order; downloads go
            to the last.
        validation_fraction: share of train to take where the set has no validation.
        test_fraction: the same of test.
        train_dev_fraction: share of train that is not trained on; 0 is none.
        features: "label" reads a class of each picture; "objects" their boxes and
            classes, for which all records are passed over once. Crowds, objects without
            area and those without a class are left out of samples.

    Returns:
        {"train", "validation", "test"}, and "train_dev" if a share is given, of Streams
        with "image" and "label", or with "image", "boxes" and "labels". A picture with
        boxes is not turned upright, as TensorFlow Datasets does not: the boxes are of
        the picture as it is stored.

    Raises:
        UsageError: there is no such set, one of several must be named, or the fractions
            leave nothing of train.
        DataError: the set has no image, no such features, or no train split.
        NetworkError: it is not prepared and there is no network.
    """
    if not name:
        raise errors.UsageError("--data tfds: names no data set", "write tfds:NAME")
    builder = prepared(name, folders) or download(name, folders)
    _check_features(builder, name, features)
    parts = slices(
        builder, name, validation_fraction, test_fraction, train_dev_fraction
    )
    if features == "label":
        return {split: _labelled(builder, part) for split, part in parts.items()}
    return {
        split: _with_objects(builder, part, place=f"tfds:{name}, {part}")
        for split, part in parts.items()
    }


def _check_features(builder, name: str, wanted: str) -> None:
    import tensorflow_datasets as tfds  # takes seconds, and only this source needs it

    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    purpose = "classification"
    if wanted == "objects":
        kinds = {"image": tfds.features.Image, "objects": tfds.features.Sequence}
        purpose = "detection"
    found = builder.info.features
    check_kinds(found, kinds, place=f"tfds:{name}", purpose=purpose)
    if wanted == "objects":
        of_objects = found["objects"].feature
        if not isinstance(of_objects, tfds.features.FeaturesDict):
            of_objects = {}
        kinds = {"bbox": tfds.features.BBoxFeature, "label": tfds.features.ClassLabel}
        place = f"objects of tfds:{name}"
        check_kinds(of_objects, kinds, place=place, purpose=purpose)
        form = of_objects["bbox"].bbox_format
        if getattr(form, "value", form) not in _BOX_FORMATS:
            raise errors.DataError(
                f"{place} have boxes of the form {form}",
                "write them as shares of the picture: BBoxFormat.REL_YXYX",
            )


def check_kinds(found, kinds, *, place: str, purpose: str) -> None:
    """Make sure that a set has the features that a task needs.

    Args:
        found: features by name.
        kinds: the kind that each of some names must have.
        place: what a message calls the set.
        purpose: the task.

    Raises:
        DataError: one is missing or of another kind.
    """
    for key, kind in kinds.items():
        if key not in found or not isinstance(found[key], kind):
            raise errors.DataError(
                f"{place} has {', '.join(sorted(found)) or 'no names'} and no `{key}` "
                f"of kind {kind.__name__}",
                f"name a data set for {purpose}",
            )


def _labelled(builder, part: str) -> source.Stream:
    return source.Stream(
        class_names=tuple(builder.info.features["label"].names),
        size=builder.info.splits[part].num_examples,
        read=reader(builder, part, {"image": True, "label": True}),
        load=_load,
    )


def _with_objects(builder, part: str, *, place: str) -> source.Stream:
    of_objects = builder.info.features["objects"].feature
    kept = {key: True for key in tfds_objects.FEATURES if key in of_objects}
    read_order = reader(builder, part, {"image": True, "objects": kept})
    return source.Stream(
        class_names=tuple(of_objects["label"].names),
        size=builder.info.splits[part].num_examples,
        read=read_order,
        load=tfds_objects.load,
        objects=tfds_objects.known(read_order(None), place=place),
    )


def reader(builder, part: str, features: dict, *, encoded: Sequence[str] = ("image",)):
    """Build the function that reads records in a seeded order.

    Args:
        builder: of the set.
        part: the slice that is read.
        features: those that a record has, as `PartialDecoding` takes them.
        encoded: those that stay as they are stored.

    Returns:
        As `read` of a `source.Stream`.
    """
    import tensorflow_datasets as tfds

    skip = dict.fromkeys(encoded, tfds.decode.SkipDecoding())

    def read_order(seed: tf.Tensor | None) -> tf.data.Dataset:
        config = tfds.ReadConfig(
            shuffle_seed=seed,
            interleave_cycle_length=1,
            try_autocache=False,  # it would keep every epoch
        )
        rows = builder.as_dataset(
            split=part,
            shuffle_files=seed is not None,
            read_config=config,
            decoders=tfds.decode.PartialDecoding(features, decoders=skip),
        )
        if seed is None:
            return rows
        # Files alone would not do: a small set is a single one.
        return rows.shuffle(window, seed=seed, reshuffle_each_iteration=False)

    window = _window(builder.info.splits[part.partition("[")[0]])
    return read_order


def _window(split) -> int:
    """Say how many encoded examples are shuffled at a time."""
    mean_bytes = max(1, split.num_bytes // max(1, split.num_examples))
    return max(1, min(_MAX_WINDOW, _MAX_WINDOW_BYTES // mean_bytes))


def _load(record: dict[str, tf.Tensor]) -> source.Sample:
    return {
        "image": images.decode(record["image"]),
        "label": tf.cast(record["label"], tf.int32),
    }


def slices(
    builder, name, validation_fraction, test_fraction, train_dev_fraction
) -> dict[str, str]:
    """Name the slice of the set that each split reads, as of `read`."""
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
    if train_dev_fraction:
        end = first + max(1, round(100 * train_dev_fraction))
        parts["train_dev"] = f"train[{first}%:{end}%]"
        first = end
    if first >= last:
        raise errors.UsageError(
            f"--validation-fraction {validation_fraction}, --test-fraction "
            f"{test_fraction} and --train-dev-fraction {train_dev_fraction} leave "
            "nothing to train on",
            "0.1 is usual for each",
        )
    parts["train"] = f"train[{first}%:{last}%]"
    for split, part in parts.items():
        if not splits[part].num_examples:
            raise errors.DataError(
                f"tfds:{name} is too small: {part} as {split} has no example",
                "choose a larger fraction",
            )
    return {split: parts[split] for split in splits_of_data.ORDER if split in parts}


def prepared(name: str, folders: list[pathlib.Path]):
    """Find a prepared set, the newest version, without asking the network."""
    import tensorflow_datasets as tfds

    place = name.replace(":", "/")
    for folder in folders:
        infos = (folder / place).glob("**/dataset_info.json")
        found = [info.parent for info in infos]
        configs = sorted({version.parent for version in found})
        if len(configs) > 1:
            choices = ", ".join(str(path.relative_to(folder)) for path in configs)
            raise errors.UsageError(
                f"tfds:{name} is prepared as {choices}", "name one of them: tfds:NAME"
            )
        if found:
            newest = max(found, key=lambda path: tfds.core.Version(path.name))
            return tfds.builder_from_directory(newest)
    return None


def download(name: str, folders: list[pathlib.Path]):
    """Prepare a set in the last of the folders, where there is a network."""
    looked = ", ".join(str(folder / name) for folder in folders)
    if not _is_online():
        raise errors.NetworkError(
            f"tfds:{name} is not prepared under {looked}, and there is no network",
            "prepare it on a machine with a network (tfds build) and copy the folder",
        )
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=folders[-1])
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise errors.UsageError(
            f"tfds:{name} is no data set of TensorFlow Datasets", "see tfds list"
        ) from error
    builder.download_and_prepare()
    return builder


def _is_online() -> bool:
    """Try to connect; beside it, as looking a name up knows no limit of time."""
    connected = threading.Event()

    def connect():
        with contextlib.suppress(OSError):
            socket.create_connection(_HOST, timeout=_TIMEOUT_SECONDS).close()
            connected.set()

    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(_TIMEOUT_SECONDS)
    return connected.is_set()
