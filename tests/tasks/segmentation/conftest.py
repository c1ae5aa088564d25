"""A split of drawn pictures with label maps, and a network that is nearly right."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.sources import semantic

NAMES = ("ground", "thing")


def pictures(count, *, height=20, width=24, seed=0):
    """Draw a bright square on dark ground -> images, label maps; a row is ignored."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (count, height, width, 3)).astype(np.uint8)
    maps = np.zeros((count, height, width), np.uint8)
    for image, label_map in zip(images, maps, strict=True):
        top, left = random.integers(1, 8, 2)
        image[top : top + 9, left : left + 11] = random.integers(200, 256, (9, 11, 3))
        label_map[top : top + 9, left : left + 11] = 1
    maps[:, -1] = 255
    return images, maps


def split_of(images, maps):
    """Make a source of pictures in memory."""
    counts = np.stack([[np.sum(one == label) for label in (0, 1)] for one in maps])
    return semantic.Source(
        class_names=NAMES,
        names=[f"picture {number}" for number in range(len(images))],
        labels=semantic.labels(counts),
        digests=np.arange(len(images)),
        pixels=np.full(len(images), images[0].size),
        load=lambda index: {
            "image": tf.gather(tf.constant(images), index),
            "semantic": tf.gather(tf.constant(maps), index),
        },
        class_pixels=counts,
        sizes=np.full((len(images), 2), images[0].shape[:2], np.int32),
    )


@pytest.fixture(scope="session")
def split():
    """Seven pictures; the last map is ignored everywhere."""
    images, maps = pictures(7)
    maps[-1] = 255
    return split_of(images, maps)


@pytest.fixture(scope="session")
def infer():
    """Tell bright pixels from dark ones, as a network does: images -> logits."""

    def answer(images):
        brightness = tf.reduce_mean(images, axis=-1, keepdims=True)
        return {"logits": tf.concat([0.5 - brightness, brightness - 0.5], -1) * 8}

    return answer
