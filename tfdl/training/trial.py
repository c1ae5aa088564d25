"""Trains a model for some steps to see what happens, and puts it back."""

from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdl.training import steps


class Trial:
    """A compiled model whose trials all start from the same weights.

    Args:
        model: built, and compiled with an optimizer of `tfdl.training.optimizers` whose
            learning rate is a number, its variables built.
        batch: what `model.train_step` takes, for building the metrics.
        seed: of every layer that draws.
    """

    def __init__(self, model: keras.Model, batch, *, seed: int):
        self.model = model
        where = tf.distribute.get_strategy()
        steps.build_metrics(model, repeated(batch), where)
        self._variables = [
            *model.variables,
            *model.metrics_variables,
            *model.optimizer.variables,
        ]
        self._start = [variable.numpy() for variable in self._variables]
        self._run_steps = steps.compile_steps(model, where, seed)
        self._loss = tf.function(
            self._batch_loss, reduce_retracing=True, autograph=False
        )
        self._gradients = tf.function(self._batch_gradients, autograph=False)

    def reset(self) -> None:
        """Put every variable back to its first value."""
        for variable, value in zip(self._variables, self._start, strict=True):
            variable.assign(value)

    def train(self, batches: tf.data.Dataset, rate: float, count: int) -> np.ndarray:
        """Train on at a constant rate.

        Args:
            batches: what `model.train_step` takes; at least `count` of them.
            rate: learning rate.
            count: steps; fewer are taken where a loss is not finite.

        Returns:
            float32 (steps,), the loss of every step before its update.
        """
        self.model.optimizer.learning_rate.assign(rate)
        first = tf.constant(0, tf.int64)
        return self._run_steps(iter(batches), first, count)["loss"]

    def sweep(
        self, batches: tf.data.Dataset, rates: Sequence[float]
    ) -> Iterator[float]:
        """Take one step at each rate, and yield the loss before its update."""
        iterator = iter(batches)
        for number, rate in enumerate(rates):
            self.model.optimizer.learning_rate.assign(rate)
            step = tf.constant(number, tf.int64)
            yield float(self._run_steps(iterator, step, 1)["loss"][0])

    def loss(self, batch, *, training: bool) -> float:
        """Compute the loss of a batch, float32 (), penalties on weights included.

        Args:
            batch: what `model.train_step` takes.
            training: whether with dropout and the batch's own statistics.
        """
        return float(self._loss(batch, tf.constant(training)))

    def losses(self, batch, *, training: bool) -> dict[str, float]:
        """Compute the "loss" without penalties on weights, and the parts it measures.

        The arguments are those of `loss`.
        """
        self.model.reset_metrics()
        penalty = float(sum(self.model.losses, start=0.0))
        whole = self.loss(batch, training=training) - penalty
        parts = {name: float(v) for name, v in self.model.get_metrics_result().items()}
        return parts | {"loss": whole}

    def gradients(self, batch) -> list[np.ndarray | None]:
        """Compute the gradient of every trainable variable; None where none arrives."""
        found = self._gradients(batch)
        return [None if gradient is None else gradient.numpy() for gradient in found]

    def _batch_loss(self, batch, training):
        return tf.cond(
            training,
            lambda: self._forward(batch, is_training=True),
            lambda: self._forward(batch, is_training=False),
        )

    def _batch_gradients(self, batch):
        with tf.GradientTape() as tape:
            loss = self._forward(batch, is_training=True)
        variables = [variable.value for variable in self.model.trainable_variables]
        return tape.gradient(loss, variables)

    def _forward(self, batch, *, is_training):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        outputs = self.model(x, training=is_training)
        return self.model.compute_loss(
            x=x,
            y=y,
            y_pred=outputs,
            sample_weight=sample_weight,
            training=is_training,
        )


def image_of(inputs):
    """Return the pictures of a model's inputs, which may be one of several, "image"."""
    return inputs["image"] if isinstance(inputs, Mapping) else inputs


def repeated(batch) -> tf.data.Dataset:
    """Return one batch again and again."""
    return tf.data.Dataset.from_tensors(batch).repeat()
