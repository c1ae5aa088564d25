"""Boxes and scores of all candidates -> what was found, and bytes -> that."""

import dataclasses
import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from tfdl import errors
from tfdl.data import images
from tfdl.ops import boxes, nms
from tfdl.tasks.detection import data

Answers = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Which candidates are answered."""

    score_threshold: float = 0.01
    """Answers are surer than this; average precision counts unlikely ones as well."""
    iou_threshold: float = 0.6
    """A box that overlaps more with a surer one of its class is left out."""
    max_detections: int = 100
    """Most answers in a picture."""

    def __post_init__(self):
        for name in ("score_threshold", "iou_threshold"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise errors.UsageError(
                    f"--{name.replace('_', '-')} must be in [0, 1]. Received {value}",
                    "0.5 is in the middle",
                )
        if self.max_detections < 1:
            raise errors.UsageError(
                f"--max-detections must be at least 1. Received {self.max_detections}",
                "100 is usual",
            )


def postprocess(
    outputs: Answers,
    sizes: tf.Tensor | None,
    thresholds: Thresholds,
    *,
    image_size: int,
    score_threshold: tf.Tensor | None = None,
    iou_threshold: tf.Tensor | None = None,
) -> Answers:
    """Keep the surest candidates of every object, in pixels of the pictures.

    Args:
        outputs: {"boxes": float32 (batch, candidates, 4) or (batch, candidates,
            classes, 4), pixels of the square, "scores": float32 (batch, candidates,
            classes) in [0, 1]}.
        sizes: int32 (batch, 2), height and width of the pictures as they were given, or
            None where the squares themselves were.
        thresholds: what is answered.
        image_size: side of the square, see `data.prepare_image`.
        score_threshold: float32 (batch,), instead of that of `thresholds`.
        iou_threshold: likewise.

    Returns:
        {"boxes": float32 (batch, max_detections, 4), pixels of the picture, within it,
        "scores": float32 (batch, max_detections), not ascending, "labels": int32
        (batch, max_detections), "num_detections": int32 (batch,)}; behind the last
        detection boxes and scores are 0 and labels are -1.
    """
    found = nms.suppress(
        tf.cast(outputs["boxes"], tf.float32),
        tf.cast(outputs["scores"], tf.float32),
        score_threshold=_own_or(score_threshold, thresholds.score_threshold),
        iou_threshold=_own_or(iou_threshold, thresholds.iou_threshold),
        max_detections=thresholds.max_detections,
    )
    if sizes is None:
        inside = boxes.clip(found["boxes"], height=image_size, width=image_size)
    else:
        inside = data.out_of_square(found["boxes"], sizes, image_size=image_size)
    is_real = (found["labels"] >= 0)[..., None]
    return found | {"boxes": tf.where(is_real, inside, 0.0)}


def finishing(thresholds: Thresholds, *, image_size: int) -> Callable[..., Answers]:
    """Build the function that finishes what the model says of a batch.

    Args:
        thresholds: what is answered.
        image_size: side of what the model takes.

    Returns:
        (outputs, a batch of `feeding.Splits.evaluation`) -> `postprocess`.
    """

    def finish(outputs: Answers, batch: dict[str, tf.Tensor]) -> Answers:
        return _finished(outputs, batch["size"], thresholds, image_size=image_size)

    return finish


_finished = tf.function(postprocess, reduce_retracing=True, autograph=False)


def signatures(
    infer: Callable[[tf.Tensor], Answers],
    *,
    image_size: int,
    thresholds: Thresholds,
) -> dict[str, Callable[..., Answers]]:
    """Build what the exported graph offers.

    Args:
        infer: images, float32 (batch, image_size, image_size, 3) in [0, 1] ->
            {"boxes", "scores"} of all candidates.
        image_size: side of what the model takes.
        thresholds: baked into all but "serve_tuned".

    Returns:
        {"serving_default": image_bytes, string (batch,), picture files of any size,
        "serve_tuned": these, score_threshold and iou_threshold, float32 (batch,),
        "serve_tensor": images, as `infer` takes them, see `data.prepare_image`; boxes
        are in pixels of these}; each -> `postprocess`.
    """
    answer = functools.partial(
        postprocess, thresholds=thresholds, image_size=image_size
    )

    def read(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = images.decode(image_bytes)
        asked = data.question({"image": image}, image_size=image_size)
        return asked["image"], asked["size"]

    def read_all(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.device("CPU:0"):  # strings and decoders have no other
            spec = (
                tf.TensorSpec([image_size, image_size, 3], tf.float32),
                tf.TensorSpec([2], tf.int32),
            )
            return tf.map_fn(read, image_bytes, fn_output_signature=spec)

    files = tf.TensorSpec([None], tf.string, "image_bytes")
    numbers = [
        tf.TensorSpec([None], tf.float32, f"{name}_threshold")
        for name in ("score", "iou")
    ]

    @tf.function(input_signature=[files], autograph=False)
    def serving_default(image_bytes: tf.Tensor) -> Answers:
        squares, sizes = read_all(image_bytes)
        return answer(infer(squares), sizes)

    @tf.function(input_signature=[files, *numbers], autograph=False)
    def serve_tuned(image_bytes, score_threshold, iou_threshold) -> Answers:
        squares, sizes = read_all(image_bytes)
        return answer(
            infer(squares),
            sizes,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
        )

    prepared = [None, image_size, image_size, 3]

    @tf.function(
        input_signature=[tf.TensorSpec(prepared, tf.float32, "images")], autograph=False
    )
    def serve_tensor(images: tf.Tensor) -> Answers:
        return answer(infer(images), None)

    return {
        "serving_default": serving_default,
        "serve_tuned": serve_tuned,
        "serve_tensor": serve_tensor,
    }


def serve(model: keras.Model, thresholds: Thresholds) -> Callable[[tf.Tensor], Answers]:
    """Build the function behind `serving_default`.

    Args:
        model: (batch, size, size, 3) -> {"boxes", "scores"}.
        thresholds: what is answered.

    Returns:
        image_bytes, string (batch,), picture files of any size -> `postprocess`.
    """
    return signatures(
        functools.partial(model, training=False),
        image_size=model.input_shape[1],
        thresholds=thresholds,
    )["serving_default"]


def _own_or(own: tf.Tensor | None, baked: float) -> tf.Tensor | float:
    return baked if own is None else own
