"""Logits of a network -> the class of every pixel, and bytes -> that as a PNG."""

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from tfdl.data import images as reading
from tfdl.tasks.segmentation import data, tiles

Answers = dict[str, tf.Tensor]
Infer = Callable[[tf.Tensor], Answers]


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How large pictures are answered."""

    tile_size: int = 512
    """Most pixels to a side that the network sees at once."""
    overlap: int = 64
    """Pixels that tiles share; the network should not see farther than a quarter."""
    average_flipped: bool = False
    """Answer the picture and its mirror image, and average both."""

    def __post_init__(self):
        tiles.check(self.tile_size, self.overlap)


def probabilities(infer: Infer, images: tf.Tensor, *, average_flipped: bool):
    """Turn logits into probabilities.

    Args:
        infer: images -> {"logits": float (batch, height, width, classes)}.
        images: float32 (batch, height, width, channels) in [0, 1].
        average_flipped: see `Tiling`.

    Returns:
        float32 (batch, height, width, classes), which sum to 1.
    """

    def of(seen: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(tf.cast(infer(seen)["logits"], tf.float32))

    if not average_flipped:
        return of(images)
    mirrored = of(images[:, :, ::-1])[:, :, ::-1]
    return (of(images) + mirrored) / 2


def tiled_probabilities(
    infer: Infer, images: tf.Tensor, tiling: Tiling, *, num_classes: int
) -> tf.Tensor:
    """Answer pictures of any size, see `tiles.blended`.

    Returns:
        float32 (batch, height, width, num_classes).
    """
    how = {"num_classes": num_classes, **_laying(tiling)}
    return tiles.blended(_each(infer, tiling), images, **how)


def label_maps(
    infer: Infer, images: tf.Tensor, tiling: Tiling, *, num_classes: int
) -> tf.Tensor:
    """Find the most probable class of every pixel, see `tiles.label_maps`.

    Returns:
        uint8 (batch, height, width).
    """
    how = {"num_classes": num_classes, **_laying(tiling)}
    return tiles.label_maps(_each(infer, tiling), images, **how)


def compiled_label_maps(
    infer: Infer, tiling: Tiling, *, num_classes: int
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Compile `label_maps`, once for a network however often it is asked for."""
    how = {"tiling": tiling, "num_classes": num_classes}
    return lambda images: _label_maps(infer, tf.convert_to_tensor(images), **how)


_label_maps = tf.function(label_maps, reduce_retracing=True, autograph=False)


def signatures(
    infer: Infer, *, tiling: Tiling, num_classes: int
) -> dict[str, Callable[..., Answers]]:
    """Build what the exported graph offers.

    Args:
        infer: images, float32 (batch, height, width, 3) in [0, 1] -> {"logits"}.
        tiling: how large pictures are answered.
        num_classes: of the logits.

    Returns:
        {"serving_default": image_bytes, string (batch,), picture files of any size ->
        {"label_map_bytes": string (batch,), grey PNG files of the pictures' sizes whose
        values are classes}, "serve_tensor": images, as `infer` takes them, of any size
        -> {"probabilities": float32 (batch, height, width, num_classes)}}.
    """

    def label_map(image_bytes: tf.Tensor) -> tf.Tensor:
        image = data.prepare_image(reading.decode(image_bytes))
        found = label_maps(infer, image[None], tiling, num_classes=num_classes)
        return tf.io.encode_png(found[0, :, :, None])

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")],
        autograph=False,
    )
    def serving_default(image_bytes: tf.Tensor) -> Answers:
        spec = tf.TensorSpec([], tf.string)
        # One picture after the other, since each needs memory for itself.
        found = tf.map_fn(
            label_map, image_bytes, fn_output_signature=spec, parallel_iterations=1
        )
        return {"label_map_bytes": found}

    spec = tf.TensorSpec([None, None, None, 3], tf.float32, "images")

    @tf.function(input_signature=[spec], autograph=False)
    def serve_tensor(images: tf.Tensor) -> Answers:
        found = tiled_probabilities(infer, images, tiling, num_classes=num_classes)
        return {"probabilities": found}

    return {"serving_default": serving_default, "serve_tensor": serve_tensor}


def untiled_signatures(
    infer: Infer, *, tiling: Tiling
) -> dict[str, Callable[..., Answers]]:
    """Build what runtimes take that have no loops of growing tensors, and no files.

    Args:
        infer: as of `signatures`.
        tiling: only whether the mirror image is answered as well counts: each picture
            is seen whole.

    Returns:
        "serve_tensor" as of `signatures`.
    """
    spec = tf.TensorSpec([None, None, None, 3], tf.float32, "images")

    @tf.function(input_signature=[spec], autograph=False)
    def serve_tensor(images: tf.Tensor) -> Answers:
        average = tiling.average_flipped
        return {"probabilities": probabilities(infer, images, average_flipped=average)}

    return {"serve_tensor": serve_tensor}


def serve(
    model: keras.Model, tiling: Tiling, *, num_classes: int
) -> Callable[[tf.Tensor], Answers]:
    """Build the function behind `serving_default`.

    Args:
        model: (batch, height, width, 3) -> {"logits"}.
        tiling: how large pictures are answered.
        num_classes: of the logits.
    """

    def infer(images: tf.Tensor) -> Answers:
        return model(images, training=False)

    built = signatures(infer, tiling=tiling, num_classes=num_classes)
    return built["serving_default"]


def _each(infer: Infer, tiling: Tiling) -> Callable[[tf.Tensor], tf.Tensor]:
    """Make the function that answers one tile."""
    average = tiling.average_flipped
    return lambda seen: probabilities(infer, seen, average_flipped=average)


def _laying(tiling: Tiling) -> dict[str, int]:
    return {"tile_size": tiling.tile_size, "overlap": tiling.overlap}
