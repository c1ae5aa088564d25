"""Asks an export about examples and about whole splits, as a client would."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdl.data.sources import source
from tfdl.tasks.classification import data, feeding, metrics, postprocess

_DRAWN_SHAPES = ((37, 61), (64, 64), (50, 90), (1, 1))  # in pixels
_DRAWING_SEED = 3
_JPEG_EVERY = 2  # of the examples
_NUM_EXAMPLES = 8
_NUM_CALIBRATION = 200

Signatures = Mapping[str, Callable[..., Mapping]]


@dataclasses.dataclass(frozen=True)
class Questions:
    """What an export is asked before it is published.

    Attributes:
        examples: signature -> input -> tensor, see `examples`.
        calibration: float32 (pictures, size, size, channels) in [0, 1], for whole
            numbers to take their ranges from; none without data.
        measure: signatures -> metrics of the test split; None without data.
    """

    examples: Mapping[str, Mapping[str, tf.Tensor]]
    calibration: tf.Tensor
    measure: Callable[[Signatures], dict[str, float]] | None


def task(
    splits: feeding.Splits | None,
    class_names: Sequence[str],
    *,
    image_shape: Sequence[int],
    multi_label: bool,
) -> dict[str, Any]:
    """Say what an export answers, and how that is proved.

    Args:
        splits: of the run's data, or None where they are not at hand.
        class_names: one for each class.
        image_shape: (size, size, channels) of what the model takes.
        multi_label: as in `postprocess.postprocess`.

    Returns:
        The arguments of `tfdl.export.writing.write` that know the task.
    """
    kind = {"image_shape": image_shape, "multi_label": multi_label}
    signatures = postprocess.signatures
    return {
        "build": functools.partial(signatures, class_names=class_names, **kind),
        "questions": questions(
            splits.sources if splits else {},
            batch_size=splits.batch_size if splits else 1,
            **kind,
        ),
        "labels": class_names,
    }


def questions(
    sources: Mapping[str, source.Source | source.Stream],
    *,
    image_shape: Sequence[int],
    batch_size: int,
    multi_label: bool,
) -> Questions:
    """Choose examples from the splits, or drawings where there are none.

    Args:
        sources: {"train", "test"} at least, or empty.
        image_shape: (size, size, channels) of what the model takes.
        batch_size: pictures in a call that measures.
        multi_label: as in `postprocess.postprocess`.
    """
    if not sources:
        nothing = tf.zeros([0, *image_shape])
        return Questions(
            examples(drawings(), image_shape=image_shape), nothing, measure=None
        )
    shown = some_pictures(sources["test"], count=_NUM_EXAMPLES)
    seen = some_pictures(sources["train"], count=_NUM_CALIBRATION)
    return Questions(
        examples=examples(shown, image_shape=image_shape),
        calibration=prepared(seen, image_shape=image_shape),
        measure=functools.partial(
            measure,
            examples=sources["test"],
            image_shape=image_shape,
            batch_size=batch_size,
            multi_label=multi_label,
        ),
    )


def some_pictures(
    examples: source.Source | source.Stream, *, count: int
) -> list[np.ndarray]:
    """Load pictures from the whole of a split, each uint8 (height, width, channels)."""
    step = max(1, len(examples) // count)
    samples = _records(examples).shard(step, 0).take(count).map(examples.load)
    return [sample["image"].numpy() for sample in samples]


def drawings() -> list[np.ndarray]:
    """Draw noise of several sizes, for an export far from its data.

    Returns:
        Pictures, each uint8 (height, width, 3).
    """
    random = np.random.default_rng(_DRAWING_SEED)
    return [random.integers(0, 256, (*shape, 3), np.uint8) for shape in _DRAWN_SHAPES]


def examples(
    pictures: Sequence[np.ndarray], *, image_shape: Sequence[int]
) -> dict[str, dict[str, tf.Tensor]]:
    """Make examples for both signatures of an export.

    Args:
        pictures: uint8 (height, width, channels), of any size.
        image_shape: (size, size, channels) of what the model takes.

    Returns:
        {"serving_default": {"image_bytes": string (pictures,), PNG and JPEG files},
        "serve_tensor": {"images": float32 (pictures, size, size, channels)}}.
    """
    files = [
        tf.io.encode_jpeg(picture) if index % _JPEG_EVERY else tf.io.encode_png(picture)
        for index, picture in enumerate(pictures)
    ]
    return {
        "serving_default": {"image_bytes": tf.stack(files)},
        "serve_tensor": {"images": prepared(pictures, image_shape=image_shape)},
    }


def prepared(
    pictures: Sequence[np.ndarray], *, image_shape: Sequence[int]
) -> tf.Tensor:
    """Prepare pictures as `serve_tensor` takes them.

    Args:
        pictures: uint8 (height, width, channels), of any size.
        image_shape: (size, size, channels) of what the model takes.

    Returns:
        float32 (pictures, size, size, channels) in [0, 1].
    """
    return tf.stack([_prepared(tf.constant(each), image_shape) for each in pictures])


def measure(
    signatures: Signatures,
    examples: source.Source | source.Stream,
    *,
    image_shape: Sequence[int],
    batch_size: int,
    multi_label: bool,
) -> dict[str, float]:
    """Measure loss and accuracy of what an export answers about a whole split.

    Args:
        signatures: name -> function of one named input. "serving_default" is asked with
            files, which are PNG and so of the same pixels; where it is missing,
            "serve_tensor" is with prepared pictures.
        examples: the split.
        image_shape: (size, size, channels) of what the model takes.
        batch_size: pictures in a call; the last may have fewer.
        multi_label: as in `postprocess.postprocess`.

    Returns:
        {"loss", "accuracy"} as `metrics.brief`: the accuracy that `evaluate` reports.
    """
    takes_files = "serving_default" in signatures
    answer = signatures["serving_default" if takes_files else "serve_tensor"]

    def question(record) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        sample = examples.load(record)
        if takes_files:
            return {"image_bytes": tf.io.encode_png(sample["image"])}, sample["label"]
        return {"images": _prepared(sample["image"], image_shape)}, sample["label"]

    questions = _records(examples).map(
        question, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    probabilities, targets = [], []
    for inputs, labels in questions.batch(batch_size).prefetch(1):
        probabilities.append(np.asarray(answer(**inputs)["probabilities"]))
        targets.append(labels.numpy())
    return metrics.brief(
        np.concatenate(probabilities), np.concatenate(targets), multi_label=multi_label
    )


def _records(examples: source.Source | source.Stream) -> tf.data.Dataset:
    if isinstance(examples, source.Stream):
        return examples.read(None)
    return tf.data.Dataset.range(len(examples))


def _prepared(image: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
    image_size, _, channels = image_shape
    return data.prepare_image(image, image_size=image_size, channels=channels)
