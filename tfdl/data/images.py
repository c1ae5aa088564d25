"""Picture bytes -> pixels, the same in training, evaluation and the exported graph."""

import tensorflow as tf

from tfdl.data import exif

# A header that claims more is refused before anything is decoded: 50 Mpx are
# 150 MB of pixels, and a picture of some kilobytes can claim them.
MAX_PIXELS = 50_000_000
EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")


def decode(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decode one picture, turned upright by its EXIF orientation.

    Grey becomes RGB, transparency is dropped, 16 bits become 8, and of an animation
    the first frame counts.

    Args:
        image_bytes: string (), a JPEG, PNG, GIF, BMP or WebP file.

    Returns:
        uint8 (height, width, 3).

    Raises:
        tf.errors.InvalidArgumentError: the bytes are no such picture, when run.
    """
    image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    return exif.oriented(image, exif.orientation(image_bytes))
