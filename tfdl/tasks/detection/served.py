"""Asks an export about examples and about whole splits, as a client would."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdl.data import questions
from tfdl.data.sources import source
from tfdl.tasks.detection import (
    data,
    feeding,
    metrics,
    order,
    postprocess,
    results,
)

_NUM_EXAMPLES = 8
_NUM_CALIBRATION = 100

Signatures = Mapping[str, Callable[..., Mapping]]


def task(
    splits: feeding.Splits | None,
    class_names: Sequence[str],
    *,
    image_size: int,
    thresholds: postprocess.Thresholds,
) -> dict[str, Any]:
    """Say what an export answers, and how that is proved.

    Args:
        splits: of the run's data, or None where they are not at hand.
        class_names: one for each class.
        image_size: side of what the model takes.
        thresholds: what is answered.

    Returns:
        The arguments of `tfdl.export.writing.write` that know the task.
    """
    kind = {"image_size": image_size, "thresholds": thresholds}
    return {
        "build": functools.partial(postprocess.signatures, **kind),
        "labels": class_names,
        "align": functools.partial(order.aligned, thresholds=thresholds),
        **asked(
            splits.sources if splits else {},
            class_names,
            batch_size=splits.batch_size if splits else 1,
            **kind,
        ),
    }


def asked(
    sources: Mapping[str, source.Source | source.Stream],
    class_names: Sequence[str],
    *,
    image_size: int,
    thresholds: postprocess.Thresholds,
    batch_size: int,
) -> dict[str, Any]:
    """Choose what an export is asked: from the splits, or noise where there are none.

    Args:
        sources: {"train", "test"} at least, or empty.
        class_names: one for each class.
        image_size: side of what the model takes.
        thresholds: what is answered.
        batch_size: pictures in a call that measures.

    Returns:
        "examples", see `examples`; "calibration", float32 (pictures, image_size,
        image_size, 3) in [0, 1], from which whole numbers take their ranges, none
        without data; "measure", signatures -> metrics of test, None without data.
    """
    kind = {"image_size": image_size, "thresholds": thresholds}
    if not sources:
        return {
            "examples": examples(questions.noise(), **kind),
            "calibration": tf.zeros([0, image_size, image_size, 3]),
            "measure": None,
        }
    shown = questions.some_pictures(sources["test"], count=_NUM_EXAMPLES)
    seen = questions.some_pictures(sources["train"], count=_NUM_CALIBRATION)
    return {
        "examples": examples(shown, **kind),
        "calibration": prepared(seen, image_size=image_size),
        "measure": functools.partial(
            measure,
            examples=sources["test"],
            class_names=class_names,
            image_size=image_size,
            batch_size=batch_size,
        ),
    }


def examples(
    pictures: Sequence[np.ndarray],
    *,
    image_size: int,
    thresholds: postprocess.Thresholds,
) -> dict[str, dict[str, tf.Tensor]]:
    """Make examples for every signature of an export.

    Args:
        pictures: uint8 (height, width, 3), of any size.
        image_size: side of what the model takes.
        thresholds: what "serve_tuned" is asked with.

    Returns:
        signature of `postprocess.signatures` -> input -> tensor, pictures first.
    """
    files = {"image_bytes": questions.files(pictures)}
    tuned = {
        "score_threshold": tf.fill([len(pictures)], thresholds.score_threshold),
        "iou_threshold": tf.fill([len(pictures)], thresholds.iou_threshold),
    }
    return {
        "serving_default": files,
        "serve_tuned": files | tuned,
        "serve_tensor": {"images": prepared(pictures, image_size=image_size)},
    }


def prepared(pictures: Sequence[np.ndarray], *, image_size: int) -> tf.Tensor:
    """Prepare pictures, uint8 (height, width, 3), as `serve_tensor` takes them."""
    return tf.stack(
        [
            data.prepare_image(tf.constant(picture), image_size=image_size)
            for picture in pictures
        ]
    )


def measure(
    signatures: Signatures,
    examples: source.Source | source.Stream,
    class_names: Sequence[str],
    *,
    image_size: int,
    batch_size: int,
) -> dict[str, float]:
    """Measure the average precision of what an export finds in a whole split.

    Args:
        signatures: name -> function of one named input. "serving_default" is asked with
            files, which are PNG and so of the same pixels; where it is missing,
            "serve_tensor" is with prepared pictures.
        examples: the split.
        class_names: one for each class.
        image_size: side of what the model takes.
        batch_size: pictures in a call; the last may have fewer.

    Returns:
        As `metrics.brief`: the AP that `evaluate` reports.
    """
    takes_files = "serving_default" in signatures
    answer = signatures["serving_default" if takes_files else "serve_tensor"]

    def question(record) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        image = examples.load(record)["image"]
        if takes_files:
            return {"image_bytes": tf.io.encode_png(image)}, tf.shape(image)[:2]
        square = data.prepare_image(image, image_size=image_size)
        return {"images": square}, tf.shape(image)[:2]

    asked_about = examples.records().map(
        question, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    found = []
    for inputs, sizes in asked_about.batch(batch_size).prefetch(1):
        answers = {name: np.asarray(value) for name, value in answer(**inputs).items()}
        if not takes_files:
            answers["boxes"] = data.out_of_square(
                answers["boxes"], sizes, image_size=image_size
            ).numpy()
        found += results.detections(answers)
    return metrics.brief(examples.objects, found, class_names=class_names)
