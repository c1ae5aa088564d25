"""What a classifier is trained for: its loss and metric, and what the loss can be."""

import dataclasses
import math

import keras
import numpy as np

from tfdl.tasks.classification import auxiliary


@dataclasses.dataclass(frozen=True)
class Objective:
    """The loss of a classifier.

    Attributes:
        multi_label: False, targets are distributions over classes, and the loss is the
            cross-entropy of the softmax; True, targets are multi-hot and each class has
            a cross-entropy of its own.
        label_smoothing: share of the target spread over all classes [Szegedy et al.,
            2016, section 7].
    """

    multi_label: bool = False
    label_smoothing: float = 0.0

    def compile(self, model: keras.Model, optimizer: keras.Optimizer) -> keras.Model:
        """Give a model its loss and its metric, "accuracy".

        Args:
            model: image -> logits, float32 (batch, classes), or a dict of them and of
                auxiliary logits.
            optimizer: of `tfdl.training.optimizers`.

        Returns:
            The model; with auxiliary logits one that trains them too.
        """
        if len(model.outputs) > 1:
            model = auxiliary.DeeplySupervised(model)
        if self.multi_label:
            loss = keras.losses.BinaryCrossentropy
            accuracy = keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)
        else:
            loss = keras.losses.CategoricalCrossentropy
            accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        model.compile(
            optimizer,
            loss(from_logits=True, label_smoothing=self.label_smoothing),
            metrics=[accuracy],
        )
        return model

    def start_loss(self, num_classes: int) -> float:
        """Return the loss of a model that finds all classes equally likely.

        It is the same for every target, smoothed or mixed.
        """
        return math.log(2 if self.multi_label else num_classes)

    def least_loss(self, batch: tuple) -> float:
        """Return the loss of a model that gives exactly the targets.

        Args:
            batch: images, and targets, float32 (batch, classes), distributions or
                multi-hot.

        Returns:
            The mean entropy of the smoothed targets.
        """
        targets = np.asarray(batch[1], np.float64)
        if self.multi_label:
            share = 0.5 * self.label_smoothing
            smoothed = targets * (1 - self.label_smoothing) + share
            return float(np.mean(_entropy(smoothed) + _entropy(1 - smoothed)))
        share = self.label_smoothing / targets.shape[-1]
        smoothed = targets * (1 - self.label_smoothing) + share
        return float(np.mean(_entropy(smoothed).sum(axis=-1)))


def _entropy(shares: np.ndarray) -> np.ndarray:
    """Compute -p log p, which is 0 at 0."""
    return -shares * np.log(np.where(shares > 0, shares, 1.0))
