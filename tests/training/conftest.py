"""A small convolutional classifier and its data, for looking into its training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.training import optimizers, trial


class Bars:
    """Pictures of a bar, lying or standing; the label says which."""

    def __init__(self, batch_size=32, *, seed=0, epoch_steps=40):
        self.batch_size, self.epoch_steps, self.seed = batch_size, epoch_steps, seed

    def batches(self, steps):
        random = np.random.default_rng(self.seed)
        size = self.batch_size * self.epoch_steps
        labels = random.integers(0, 2, size)
        images = random.normal(0, 0.3, (size, 12, 12, 1))
        for image, label, row in zip(
            images, labels, random.integers(1, 11, size), strict=True
        ):
            (image if label else image.swapaxes(0, 1))[row] += 2.0
        data = (images.astype("float32"), np.eye(2, dtype="float32")[labels])
        batches = tf.data.Dataset.from_tensor_slices(data).repeat()
        batches = batches.batch(self.batch_size, drop_remainder=True)
        return batches.skip(steps.start).take(len(steps))


@pytest.fixture
def bars():
    return Bars


def small_model(rate=0.01):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(8, 3, activation="relu", name="first")(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="second")(x)
    x = keras.layers.Flatten()(x)
    start = keras.initializers.RandomNormal(stddev=0.01)
    outputs = keras.layers.Dense(2, kernel_initializer=start, name="head")(x)
    model = keras.Model(inputs, outputs)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.optimizer("momentum", rate), loss)
    return model


@pytest.fixture
def made_trial():
    """Return a function: model, feed -> Trial."""

    def make(model, feed):
        optimizers.build(model)
        return trial.Trial(model, next(iter(feed.batches(range(1)))), seed=0)

    return make


@pytest.fixture
def model():
    return small_model()
