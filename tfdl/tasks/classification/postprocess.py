"""Logits -> answers, and bytes -> answers as the exported graph does it."""

import functools
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tfdl.data import images
from tfdl.tasks.classification import data


def postprocess(logits: tf.Tensor, *, multi_label: bool) -> tf.Tensor:
    """Turn logits into probabilities.

    Args:
        logits: float32 (batch, classes).
        multi_label: whether classes exclude one another (False) or not (True).

    Returns:
        float32 (batch, classes) in [0, 1]; rows sum to 1 unless `multi_label`.
    """
    if multi_label:
        return keras.ops.sigmoid(logits)
    return keras.ops.softmax(logits, axis=-1)


def answers(
    logits: tf.Tensor, *, class_names: Sequence[str], multi_label: bool
) -> dict[str, tf.Tensor]:
    """Turn logits into what a caller of the served model gets.

    Args:
        logits: float (batch, classes).
        class_names: one for each class.
        multi_label: as in `postprocess`.

    Returns:
        {"probabilities": float32 (batch, classes), "class_id": int32 (batch,), the most
        probable class, "class_name": string (batch,)}.
    """
    # A server cannot write bfloat16.
    logits = tf.cast(logits, tf.float32)
    probabilities = postprocess(logits, multi_label=multi_label)
    class_id = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
    return {
        "probabilities": probabilities,
        "class_id": class_id,
        "class_name": tf.gather(tf.constant(class_names), class_id),
    }


def signatures(
    infer: Callable[[tf.Tensor], tf.Tensor],
    class_names: Sequence[str],
    *,
    image_shape: Sequence[int],
    multi_label: bool,
) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
    """Build what the exported graph offers.

    Args:
        infer: images, float32 (batch, size, size, channels) in [0, 1] -> logits, float
            (batch, classes).
        class_names: one for each class.
        image_shape: (size, size, channels).
        multi_label: as in `postprocess`.

    Returns:
        {"serving_default": image_bytes, string (batch,), picture files of any size,
        "serve_tensor": images, as `infer` takes them, see `data.prepare_image`}; each
        -> `answers`.
    """
    image_size, _, channels = image_shape

    def read(image_bytes: tf.Tensor) -> tf.Tensor:
        return data.prepare_image(
            images.decode(image_bytes), image_size=image_size, channels=channels
        )

    def answer(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return answers(infer(batch), class_names=class_names, multi_label=multi_label)

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")],
        autograph=False,
    )
    def serving_default(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.device("CPU:0"):  # strings and decoders have no other
            shape = tf.TensorSpec(image_shape, tf.float32)
            batch = tf.map_fn(read, image_bytes, fn_output_signature=shape)
        return answer(batch)

    prepared = tf.TensorSpec([None, *image_shape], tf.float32, "images")

    @tf.function(input_signature=[prepared], autograph=False)
    def serve_tensor(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return answer(images)

    return {"serving_default": serving_default, "serve_tensor": serve_tensor}


def serve(
    model: keras.Model, class_names: Sequence[str], *, multi_label: bool
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Build the function behind `serving_default`.

    Args:
        model: (batch, size, size, channels) -> logits.
        class_names: one for each class.
        multi_label: as in `postprocess`.

    Returns:
        image_bytes, string (batch,), picture files of any size -> `answers`.
    """
    return signatures(
        functools.partial(model, training=False),
        class_names,
        image_shape=model.input_shape[1:],
        multi_label=multi_label,
    )["serving_default"]
