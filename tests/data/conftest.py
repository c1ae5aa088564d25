"""Picture files of many kinds, as bytes."""

import hashlib
import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.data.sources import source


@pytest.fixture
def pixels():
    """Return a function that draws patches of random colours, uint8."""

    def draw(height=16, width=24, seed=0):
        rng = np.random.default_rng(seed)
        patches = rng.integers(0, 256, (-(-height // 8), -(-width // 8), 3), np.uint8)
        return patches.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]

    return draw


@pytest.fixture
def encode():
    """Return a function that turns pixels or a Pillow image into a picture file."""

    def save(picture, file_format="PNG", **options):
        if isinstance(picture, np.ndarray):
            picture = PIL.Image.fromarray(picture)
        content = io.BytesIO()
        picture.save(content, file_format, **options)
        return content.getvalue()

    return save


@pytest.fixture
def make_source():
    """Return a function that builds a source whose pixels tell the example's content.

    Examples of equal contents are equal pictures; by default each is its own number.
    """

    def make(labels, *, contents=None, prefix="example", num_classes=3):
        labels = np.asarray(labels, np.int32)
        contents = np.arange(len(labels)) if contents is None else np.asarray(contents)
        pictures = np.zeros([len(labels), 2, 2, 3], np.uint8)
        pictures[..., 0] = contents[:, None, None] // 256
        pictures[..., 1] = contents[:, None, None] % 256
        images, classes = tf.constant(pictures), tf.constant(labels)
        digests = [hashlib.md5(picture.tobytes()).hexdigest() for picture in pictures]
        return source.Source(
            class_names=tuple("abcdefghij"[:num_classes]),
            names=[f"{prefix}{number}" for number in range(len(labels))],
            labels=labels,
            digests=np.array(digests, "S32"),
            pixels=np.full(len(labels), pictures[0].size, np.int64),
            load=lambda index: {
                "image": tf.gather(images, index),
                "label": tf.gather(classes, index),
            },
        )

    return make
