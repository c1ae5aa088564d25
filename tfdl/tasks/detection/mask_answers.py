"""What Mask R-CNN answers -> masks in the picture, and bytes -> that."""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from tfdl.data import images
from tfdl.ops import masks as masks_of
from tfdl.tasks.detection import data

Answers = dict[str, tf.Tensor]

PAINTED_SCORE = 0.5  # least of what is painted into a picture's map


def postprocess(
    outputs: Answers, sizes: tf.Tensor | None, *, image_size: int
) -> Answers:
    """Move what was found into the pixels of the pictures.

    Args:
        outputs: as the asked network of `mask_rcnn.networks` answers.
        sizes: int32 (batch, 2), height and width of the pictures as they were given, or
            None where the squares themselves were.
        image_size: side of the square, see `data.prepare_image`.

    Returns:
        {"boxes": float32 (batch, detections, 4), pixels of the picture, within it,
        "scores": float32 (batch, detections), not ascending, "labels": int32 (batch,
        detections), "num_detections": int32 (batch,), "masks": float32 (batch,
        detections, rows, columns) in [0, 1], each over its box}; behind the last
        detection boxes, scores and masks are 0 and labels are -1.
    """
    if sizes is None:
        return dict(outputs)
    frames = outputs["boxes"]
    boxes = data.out_of_square(frames, sizes, image_size=image_size)
    # What is cut off a box, beside the picture, is cut off its mask as well.
    windows = data.into_square(boxes, sizes, image_size=image_size)
    seen = masks_of.resample(
        outputs["masks"], frames, windows, outputs["masks"].shape[-2:]
    )
    is_real = outputs["labels"] >= 0
    return outputs | {
        "boxes": tf.where(is_real[..., None], boxes, 0.0),
        "masks": tf.where(is_real[..., None, None], seen, 0.0),
    }


def finishing(*, image_size: int) -> Callable[..., Answers]:
    """Build the function that finishes what the model says of a batch.

    Args:
        image_size: side of what the model takes.

    Returns:
        (outputs, a batch of `feeding.Splits.evaluation`) -> `postprocess`.
    """
    return lambda outputs, batch: _finished(
        outputs, batch["size"], image_size=image_size
    )


_finished = tf.function(postprocess, reduce_retracing=True, autograph=False)


def painted(answers: Answers, size: tf.Tensor) -> tf.Tensor:
    """Paint the sure detections of a picture over each other, the surest on top.

    Args:
        answers: of `postprocess`, of one picture.
        size: int32 (2,), its height and width.

    Returns:
        uint16 (height, width), k + 1 where detection k is seen, 0 where none is.
    """
    window = tf.cast(tf.concat([[0, 0], size[::-1]], axis=0), tf.float32)
    count = tf.reduce_sum(tf.cast(answers["scores"] >= PAINTED_SCORE, tf.int32))

    def paint(left: tf.Tensor, numbers: tf.Tensor):
        place = left - 1
        seen = masks_of.resample(
            answers["masks"][place],
            answers["boxes"][place],
            window,
            tf.unstack(size),
        )
        return place, tf.where(seen >= 0.5, tf.cast(left, tf.uint16), numbers)

    numbers = tf.zeros(size, tf.uint16)
    shapes = (tf.TensorShape([]), tf.TensorShape([None, None]))
    return tf.while_loop(
        lambda left, _: left > 0, paint, (count, numbers), shape_invariants=shapes
    )[1]


def signatures(
    infer: Callable[[tf.Tensor], Answers], *, image_size: int
) -> dict[str, Callable[..., Answers]]:
    """Build what the exported graph offers.

    Args:
        infer: images, float32 (batch, image_size, image_size, 3) in [0, 1] -> answers
            of the asked network of `mask_rcnn.networks`.
        image_size: side of what the model takes.

    Returns:
        {"serving_default": image_bytes, string (batch,), picture files of any size ->
        `postprocess`, and "instance_map_bytes": string (batch,), `painted` as PNG
        files of 16 bits; "serve_tensor": images, as `infer` takes them, see
        `data.prepare_image` -> `postprocess`, in pixels of these}.
    """
    files = tf.TensorSpec([None], tf.string, "image_bytes")
    squares = tf.TensorSpec([None, image_size, image_size, 3], tf.float32, "images")

    def read(image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = images.decode(image_bytes)
        asked = data.question({"image": image}, image_size=image_size)
        return asked["image"], asked["size"]

    def draw(answers: Answers) -> tf.Tensor:
        size = answers.pop("size")
        return tf.io.encode_png(painted(answers, size)[..., None])

    @tf.function(input_signature=[files], autograph=False)
    def serving_default(image_bytes: tf.Tensor) -> Answers:
        with tf.device("CPU:0"):  # strings and decoders have no other
            specs = (
                tf.TensorSpec(squares.shape[1:], tf.float32),
                tf.TensorSpec([2], tf.int32),
            )
            asked, sizes = tf.map_fn(read, image_bytes, fn_output_signature=specs)
        answers = postprocess(infer(asked), sizes, image_size=image_size)
        with tf.device("CPU:0"):
            drawn = tf.map_fn(
                draw,
                answers | {"size": sizes},
                fn_output_signature=tf.TensorSpec([], tf.string),
            )
        return answers | {"instance_map_bytes": drawn}

    @tf.function(input_signature=[squares], autograph=False)
    def serve_tensor(images: tf.Tensor) -> Answers:
        return postprocess(infer(images), None, image_size=image_size)

    return {"serving_default": serving_default, "serve_tensor": serve_tensor}


def serve(model: keras.Model) -> Callable[[tf.Tensor], Answers]:
    """Build the function behind `serving_default`.

    Args:
        model: the asked network, see `signatures`.
    """
    infer = functools.partial(model, training=False)
    return signatures(infer, image_size=model.input_shape[1])["serving_default"]
