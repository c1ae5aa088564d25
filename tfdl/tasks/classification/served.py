"""Asks an export about examples and about whole splits, as a client would."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdl.data import questions
from tfdl.data.sources import source
from tfdl.tasks.classification import data, feeding, metrics, postprocess

_NUM_EXAMPLES = 8
_NUM_CALIBRATION = 200

Signatures = Mapping[str, Callable[..., Mapping]]


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
        "labels": class_names,
        **asked(
            splits.sources if splits else {},
            batch_size=splits.batch_size if splits else 1,
            **kind,
        ),
    }


def asked(
    sources: Mapping[str, source.Source | source.Stream],
    *,
    image_shape: Sequence[int],
    batch_size: int,
    multi_label: bool,
) -> dict[str, Any]:
    """Choose what an export is asked: from the splits, or noise where there are none.

    Args:
        sources: {"train", "test"} at least, or empty.
        image_shape: (size, size, channels) of what the model takes.
        batch_size: pictures in a call that measures.
        multi_label: as in `postprocess.postprocess`.

    Returns:
        "examples", see `examples`; "calibration", float32 (pictures, size, size,
        channels) in [0, 1], from which whole numbers take their ranges, none without
        data; "measure", signatures -> metrics of the test split, None without data.
    """
    if not sources:
        return {
            "examples": examples(questions.noise(), image_shape=image_shape),
            "calibration": tf.zeros([0, *image_shape]),
            "measure": None,
        }
    shown = questions.some_pictures(sources["test"], count=_NUM_EXAMPLES)
    seen = questions.some_pictures(sources["train"], count=_NUM_CALIBRATION)
    return {
        "examples": examples(shown, image_shape=image_shape),
        "calibration": prepared(seen, image_shape=image_shape),
        "measure": functools.partial(
            measure,
            examples=sources["test"],
            image_shape=image_shape,
            batch_size=batch_size,
            multi_label=multi_label,
        ),
    }


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
    return {
        "serving_default": {"image_bytes": questions.files(pictures)},
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

    asked_about = examples.records().map(
        question, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    probabilities, targets = [], []
    for inputs, labels in asked_about.batch(batch_size).prefetch(1):
        probabilities.append(np.asarray(answer(**inputs)["probabilities"]))
        targets.append(labels.numpy())
    return metrics.brief(
        np.concatenate(probabilities), np.concatenate(targets), multi_label=multi_label
    )


def _prepared(image: tf.Tensor, image_shape: Sequence[int]) -> tf.Tensor:
    image_size, _, channels = image_shape
    return data.prepare_image(image, image_size=image_size, channels=channels)
