"""Data sets of TensorFlow Datasets, read in seeded order from their record files."""

import contextlib
import pathlib
import socket
import threading

import tensorflow as tf

from tfdl import errors
from tfdl.data import images, splits as splits_of_data
from tfdl.data.sources import source

_HOST = ("storage.googleapis.com", 443)
_TIMEOUT_SECONDS = 3  # a load without a network would hang for over a minute
_MAX_WINDOW = 10_000  # examples that are shuffled at a time
_MAX_WINDOW_BYTES = 256 << 20


def read(
    name: str,
    *,
    folders: list[pathlib.Path],
    validation_fraction: float,
    test_fraction: float,
    train_dev_fraction: float = 0.0,
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

    Returns:
        {"train", "validation", "test"}, and "train_dev" if a share is given, of Streams
        with image and label.

    Raises:
        UsageError: there is no such set, one of several must be named, or the fractions
            leave nothing of train.
        DataError: the set has no image and label, or no train split.
        NetworkError: it is not prepared and there is no network.
    """
    if not name:
        raise errors.UsageError("--data tfds: names no data set", "write tfds:NAME")
    builder = _prepared(name, folders) or _download(name, folders)
    _check_features(builder, name)
    parts = _parts(
        builder, name, validation_fraction, test_fraction, train_dev_fraction
    )
    return {split: _stream(builder, part) for split, part in parts.items()}


def _check_features(builder, name: str) -> None:
    import tensorflow_datasets as tfds  # takes seconds, and only this source needs it

    features = builder.info.features
    wanted = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    for key, kind in wanted.items():
        if key not in features or not isinstance(features[key], kind):
            raise errors.DataError(
                f"tfds:{name} has {', '.join(sorted(features))} and no `{key}` of kind "
                f"{kind.__name__}",
                "name a data set for classification",
            )


def _stream(builder, part: str) -> source.Stream:
    import tensorflow_datasets as tfds

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
            decoders={"image": tfds.decode.SkipDecoding()},
        )
        records = rows.map(lambda row: {key: row[key] for key in ("image", "label")})
        if seed is None:
            return records
        # Files alone would not do: a small set is a single one.
        return records.shuffle(window, seed=seed, reshuffle_each_iteration=False)

    window = _window(builder.info.splits[part.partition("[")[0]])
    return source.Stream(
        class_names=tuple(builder.info.features["label"].names),
        size=builder.info.splits[part].num_examples,
        read=read_order,
        load=_load,
    )


def _window(split) -> int:
    """Say how many encoded examples are shuffled at a time."""
    mean_bytes = max(1, split.num_bytes // max(1, split.num_examples))
    return max(1, min(_MAX_WINDOW, _MAX_WINDOW_BYTES // mean_bytes))


def _load(record: dict[str, tf.Tensor]) -> source.Sample:
    return {
        "image": images.decode(record["image"]),
        "label": tf.cast(record["label"], tf.int32),
    }


def _parts(
    builder, name, validation_fraction, test_fraction, train_dev_fraction
) -> dict[str, str]:
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


def _prepared(name: str, folders: list[pathlib.Path]):
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


def _download(name: str, folders: list[pathlib.Path]):
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
