"""Asks an export about examples and about whole splits, as a client would."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdl import errors
from tfdl.data import questions
from tfdl.data.sources import semantic
from tfdl.tasks.segmentation import data, feeding, metrics, postprocess, results

_NUM_EXAMPLES = 4
_NUM_CALIBRATION = 50
_DOUBT = 1e-3  # share of pixels on whose class rounding may decide

Signatures = Mapping[str, Callable[..., Mapping]]
Answers = Mapping[str, tf.Tensor]


def task(
    splits: feeding.Splits | None,
    class_names: Sequence[str],
    tiling: postprocess.Tiling,
    image_size: int,
    file_format: str,
) -> dict[str, Any]:
    """Say what an export answers, and how that is proved.

    Args:
        splits: of the run's data, or None where they are not at hand.
        class_names: one for each class.
        tiling: how large pictures are answered.
        image_size: side of the squares that whole numbers take their ranges from.
        file_format: "savedmodel", or "onnx", of which pictures are seen whole, not in
            tiles.

    Returns:
        The arguments of `tfdl.export.writing.write` that know the task.

    Raises:
        UsageError: TensorFlow Lite is asked for, whose converter fails on networks for
            pictures of any size.
    """
    if file_format == "tflite":
        raise errors.UsageError(
            "--format tflite has no networks for pictures of any size",
            "write --format onnx, or a SavedModel",
        )
    shown, seen, measured = questions.noise(), [], None
    if splits:
        test, train = splits.sources["test"], splits.sources["train"]
        shown = questions.some_pictures(test, count=_NUM_EXAMPLES)
        seen = questions.some_pictures(train, count=_NUM_CALIBRATION)
        measured = functools.partial(measure, examples=test)
    build = functools.partial(
        postprocess.signatures, tiling=tiling, num_classes=len(class_names)
    )
    if file_format == "onnx":
        build = functools.partial(postprocess.untiled_signatures, tiling=tiling)
    return {
        "build": build,
        "labels": class_names,
        "align": aligned,
        "examples": examples(shown, image_size=image_size),
        "calibration": squares(seen, image_size=image_size),
        "measure": measured,
    }


def examples(
    pictures: Sequence[np.ndarray], *, image_size: int
) -> dict[str, dict[str, tf.Tensor]]:
    """Make examples for both signatures of an export.

    Args:
        pictures: uint8 (height, width, 3), of any size.
        image_size: side of the middles that "serve_tensor" is asked with.

    Returns:
        {"serving_default": {"image_bytes": string (pictures,), PNG and JPEG files},
        "serve_tensor": {"images": float32 (pictures, image_size, image_size, 3)}}.
    """
    return {
        "serving_default": {"image_bytes": questions.files(pictures)},
        "serve_tensor": {"images": squares(pictures, image_size=image_size)},
    }


def squares(pictures: Sequence[np.ndarray], *, image_size: int) -> tf.Tensor:
    """Cut the middles out of pictures, uint8 (height, width, 3), as in training.

    Returns:
        float32 (pictures, image_size, image_size, 3) in [0, 1].
    """
    if not len(pictures):
        return tf.zeros([0, image_size, image_size, 3])
    prepare = data.preparation(image_size)
    samples = (
        {"image": picture, "semantic": tf.zeros(picture.shape[:2], tf.uint8)}
        for picture in map(tf.constant, pictures)
    )
    return tf.stack([prepare(sample)["image"] for sample in samples])


def aligned(expected: Answers, found: Answers, tolerance: float) -> Answers:
    """Take label maps for equal where rounding alone may have chosen the class.

    Probabilities are compared number by number beside them.

    Args:
        expected: of `postprocess.signatures`.
        found: likewise, of the same pictures.
        tolerance: most that a probability may differ; as large a share of the pixels
            may have another class, or one in a thousand where that is more.

    Returns:
        A dict like `found`.
    """
    if "label_map_bytes" not in expected:
        return found
    share = max(_DOUBT, tolerance)
    own, others = (
        np.asarray(answers["label_map_bytes"]) for answers in (expected, found)
    )
    if len(own) != len(others):
        return found
    maps = [
        one if _are_alike(one, other, share=share) else other
        for one, other in zip(own, others, strict=True)
    ]
    return {**found, "label_map_bytes": tf.constant(maps)}


def measure(
    signatures: Signatures, examples: semantic.Source | semantic.Stream
) -> dict[str, float]:
    """Measure what an export says of a whole split.

    Args:
        signatures: name -> function of one named input. "serving_default" is asked with
            files, which are PNG and so of the same pixels; where it is missing,
            "serve_tensor" is with the pictures.
        examples: the split.

    Returns:
        As `metrics.brief`: the mean IoU that `evaluate` reports.
    """
    num_classes = len(examples.class_names)
    matrices = []
    for sample in examples.records().map(examples.load).prefetch(1):
        found = _label_map(signatures, sample["image"])
        truth = sample["semantic"].numpy()
        matrices.append(metrics.confusion_matrix(truth, found, num_classes=num_classes))
    return metrics.brief(np.stack(matrices))


def _label_map(signatures: Signatures, image: tf.Tensor) -> np.ndarray:
    """Ask for the label map of one picture, uint8 (height, width, 3)."""
    if "serving_default" in signatures:
        files = tf.io.encode_png(image)[None]
        answer = signatures["serving_default"](image_bytes=files)
        return results.unpacked(answer["label_map_bytes"][0].numpy())
    asked = data.prepare_image(image)[None]
    answer = signatures["serve_tensor"](images=asked)
    return np.argmax(answer["probabilities"][0], axis=-1).astype(np.uint8)


def _are_alike(one: bytes, other: bytes, *, share: float) -> bool:
    first, second = results.unpacked(one), results.unpacked(other)
    return first.shape == second.shape and np.mean(first != second) <= share
