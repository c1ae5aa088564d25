"""Scenes whose annotations can be read off their pixels."""

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture
def make_scene():
    """Return a function that paints rectangles of one colour each on black."""

    def make(height=40, width=52, channels=3, objects=3, seed=0):
        rng = np.random.default_rng(seed)
        image = np.zeros([height, width, channels], np.uint8)
        semantic = np.zeros([height, width], np.uint8)
        masks = np.zeros([objects, height, width], np.uint8)
        boxes = np.zeros([objects, 4], np.float32)
        for index in range(objects):
            # Each in its own column of the picture, so that none hides another.
            left = width * index // objects + 1
            right = width * (index + 1) // objects - 1
            top = rng.integers(0, height // 2)
            bottom = rng.integers(height // 2 + 1, height)
            window = np.s_[top:bottom, left:right]
            image[window] = 50 * (index + 1) - 10 * np.arange(channels)
            semantic[window] = index + 1
            masks[index][window] = 1
            boxes[index] = left, top, right, bottom
        scene = {
            "image": image,
            "label": np.int32(7),
            "boxes": boxes,
            "labels": np.arange(objects, dtype=np.int32) + 1,
            "masks": masks,
            "semantic": semantic,
        }
        return {name: tf.constant(value) for name, value in scene.items()}

    return make


@pytest.fixture
def noise():
    """Return a function that draws a picture of smooth noise, uint8."""

    def draw(height=33, width=47, channels=3, seed=0):
        rng = np.random.default_rng(seed)
        coarse = rng.uniform(0, 255, [height // 4 + 2, width // 4 + 2, channels])
        fine = tf.image.resize(coarse, [height, width], method="bicubic")
        grain = rng.normal(0, 8, fine.shape)
        return tf.constant(np.clip(fine + grain, 0, 255).astype(np.uint8))

    return draw


@pytest.fixture
def in_pipeline():
    """Return a function that maps inside tf.data, where no sizes are known."""

    def run(function, samples, seeds):
        signature = {
            name: tf.TensorSpec([None] * value.shape.rank, value.dtype)
            for name, value in samples[0].items()
        }
        channels = samples[0]["image"].shape[-1]
        signature["image"] = tf.TensorSpec([None, None, channels], tf.uint8)
        scenes = tf.data.Dataset.from_generator(
            lambda: samples, output_signature=signature
        )
        seeds = tf.data.Dataset.from_tensor_slices(np.array(seeds, np.int32))
        both = tf.data.Dataset.zip(scenes, seeds)
        return list(both.map(lambda sample, seed: function(sample, seed=seed)))

    return run
