"""Pictures of classes -> what a classifier eats."""

import functools
import pathlib
import warnings
from collections.abc import Callable

import tensorflow as tf

from tfdl import errors
from tfdl.data import cache, location, splits
from tfdl.data.sources import folder, mnist, source, synthetic, tfds

FORMATS = ("synthetic", "mnist", "folder", "tfds")

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601; sums to 1, unlike tf.image's
_DRAWING_SEED = 20


def read(
    spec: str,
    *,
    cache_dir: pathlib.Path,
    cache_bytes: int,
    image_size: int,
    num_examples: int,
    validation_fraction: float,
    test_fraction: float,
    multi_label: bool,
    on_bad_data: str,
    train_dev_fraction: float = 0.0,
    warn: Callable[[str], None] = warnings.warn,
) -> dict[str, source.Source | source.Stream]:
    """Open train, validation and test of a data set, with no picture in two of them.

    Only the splits of a tfds: set are taken as they are.

    Args:
        spec: "synthetic", "mnist:PATH", "folder:PATH" or "tfds:NAME".
        cache_dir: where drawings, archives and scans are kept.
        cache_bytes: most memory for decoded pictures.
        image_size: of the drawings of the synthetic source, in pixels.
        num_examples: of the synthetic source.
        validation_fraction: share of train to hold out where there is no validation.
        test_fraction: the same of test.
        multi_label: whether an example has several classes; synthetic only.
        on_bad_data: "error" or "skip", for broken pictures and for leaks.
        train_dev_fraction: share of train that is neither trained on nor chosen by.
        warn: takes one line about each thing that was left out.

    Returns:
        {"train", "validation", "test"}, and "train_dev" if a share is given.

    Raises:
        UsageError: the format is unknown, or brings one class for each picture.
        DataError: the data are missing, broken or leak.
        NetworkError: they would have to be fetched, and there is no network.
    """
    name, place = location.parse(spec, formats=FORMATS)
    fractions = {
        "validation_fraction": validation_fraction,
        "test_fraction": test_fraction,
        "train_dev_fraction": train_dev_fraction,
    }
    if multi_label and name != "synthetic":
        raise errors.UsageError(
            f"--data {spec} has one class for each picture", "drop --multi-label"
        )
    if name == "tfds":
        prepared = [location.root() / "tensorflow_datasets", location.root()]
        return tfds.read(
            place,
            folders=[*prepared, pathlib.Path("~/tensorflow_datasets").expanduser()],
            **fractions,
        )
    if name == "mnist":
        found = mnist.read(location.find(place))
    elif name == "folder":
        found = folder.read(
            location.find(place), cache=cache_dir, on_bad_data=on_bad_data, warn=warn
        )
    else:
        found = synthetic.read(
            cache=cache_dir,
            num_examples=num_examples,
            image_size=image_size,
            max_objects=4 if multi_label else 1,
            multi_label=multi_label,
            seed=_DRAWING_SEED,
        )
    found = splits.complete(found, **fractions)
    found = splits.apart(found, on_bad_data=on_bad_data, warn=warn)
    if name == "mnist":
        return found  # the idx files are in memory already
    return cached(found, limit_bytes=cache_bytes)


def cached(
    sources: dict[str, source.Source], *, limit_bytes: int
) -> dict[str, source.Source]:
    """Keep decoded pictures of one split after the other, up to a limit."""
    kept = {}
    for split, examples in sources.items():
        kept[split] = cache.keep_pictures(
            examples, limit_bytes=limit_bytes, annotations=_labels(examples)
        )
        limit_bytes = max(0, limit_bytes - int(examples.pixels.sum()))
    return kept


def preparation(
    image_size: int, channels: int, *, num_classes: int
) -> Callable[[source.Sample], dict[str, tf.Tensor]]:
    """Build the function that makes an example of a sample.

    Returns:
        sample with "image", uint8 (height, width, channels), and "label", int32 () or
        (classes,) multi-hot -> {"image": float32 (image_size, image_size, channels) in
        [0, 1], "classes": float32 (classes,), the target distribution or multi-hot}.
    """
    return functools.partial(
        _prepare, image_size=image_size, channels=channels, num_classes=num_classes
    )


def prepare_image(image: tf.Tensor, *, image_size: int, channels: int) -> tf.Tensor:
    """Cut out the central square, resize it and scale it to [0, 1].

    Training, evaluation, prediction and the exported graph all come through here.

    Args:
        image: uint8 (height, width, 1 or 3), of any size.
        image_size: height and width of the result in pixels.
        channels: 1 for grey, 3 for RGB.

    Returns:
        float32 (image_size, image_size, channels) in [0, 1].
    """
    # A graph would turn a division into a product, and join it with that of the luma:
    # as it stands, graph and eager agree to the last bit.
    image = _with_channels(tf.cast(image, tf.float32), channels) * (1 / 255)
    height, width = tf.unstack(tf.shape(image)[:2])
    side = tf.minimum(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    resized = tf.cond(
        side == image_size,
        lambda: square,
        lambda: tf.image.resize(square, [image_size, image_size], antialias=True),
    )
    return tf.ensure_shape(resized, [image_size, image_size, channels])


def inputs_and_targets(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Turn a batch of examples into what Keras's `train_step` takes."""
    return batch["image"], batch["classes"]


def _labels(examples: source.Source) -> Callable[[tf.Tensor], source.Sample]:
    labels = tf.constant(examples.labels)
    return lambda index: {"label": tf.gather(labels, index)}


def _prepare(sample, *, image_size, channels, num_classes) -> dict[str, tf.Tensor]:
    classes = sample["label"]
    if classes.shape.rank == 0:
        classes = tf.one_hot(classes, num_classes)
    return {
        "image": prepare_image(
            sample["image"], image_size=image_size, channels=channels
        ),
        "classes": tf.cast(classes, tf.float32),
    }


def _with_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """Turn RGB into grey or grey into RGB."""
    if image.shape[-1] == channels:
        return image
    if channels == 1:
        return tf.reduce_sum(image * tf.constant(_LUMA), axis=-1, keepdims=True)
    return tf.repeat(image, channels, axis=-1)
