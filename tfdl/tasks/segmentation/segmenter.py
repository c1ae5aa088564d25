"""What is a segmentation network trained for, and which part of it answers?"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Literal

import keras
import numpy as np
from keras import ops

from tfdl import errors
from tfdl.data.augment import annotations
from tfdl.data.sources import semantic
from tfdl.tasks.segmentation import class_weights, losses, targets

Targets = Mapping[str, keras.KerasTensor]


@dataclasses.dataclass(frozen=True)
class Goal:
    """What is made small in training, as flags say it."""

    loss: str = "cross_entropy"
    """cross_entropy, focal, dice, tversky, jaccard, lovasz; several are joined by +."""
    class_weights: Literal["none", "inverse", "median", "logarithmic"] = "none"
    """Weigh classes by their rarity among the training pixels."""
    border_weight: float = 0.0
    """Weigh gaps between cells, U-Net's w0; 10 in the paper, 0 is none."""

    def __post_init__(self):
        losses.named(self.loss)  # refuses what is unknown
        if not 0 <= self.border_weight < math.inf:
            raise errors.UsageError(
                f"--border-weight must be at least 0. Received {self.border_weight}",
                "10 is the paper's",
            )

    @property
    def targets(self) -> Callable:
        """The function that makes what the losses take, see `targets`."""
        if not self.border_weight:
            return targets.plain
        return targets.with_borders(self.border_weight)

    def objective(self, train: semantic.Source | semantic.Stream) -> "Objective":
        """Say what is made small.

        Args:
            train: what is trained on.
        """
        return Objective(self.loss, class_weights.named(self.class_weights, train))


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is made small in training.

    Attributes:
        loss: keys of `losses.LOSSES`, joined by "+".
        class_weights: float (classes,), how much each class counts, or None for all
            alike.
    """

    loss: str = "cross_entropy"
    class_weights: np.ndarray | None = None

    def __post_init__(self):
        losses.named(self.loss)  # refuses what is unknown

    def compile(self, model: keras.Model, optimizer: keras.Optimizer) -> keras.Model:
        """Make the model that is trained.

        Args:
            model: image -> {"logits"} and any auxiliary logits.
            optimizer: of `tfdl.training.optimizers`.

        Returns:
            A compiled model; `fit` takes (images, {"labels": uint8 (batch, height,
            width), 255 for ignored, and perhaps "weights", float32 of the same
            shape}). It measures "loss" and "pixel_accuracy". Its `inference_model`
            answers without the auxiliary heads.
        """
        trained = _Trained(model, self)
        trained.compile(optimizer)
        return trained

    def of_pictures(
        self, targets: Targets, outputs: Mapping[str, keras.KerasTensor]
    ) -> keras.KerasTensor:
        """Measure the loss of each picture, auxiliary heads included.

        Args:
            targets: {"labels", perhaps "weights"}, see `compile`.
            outputs: {"logits"} and any auxiliary logits.

        Returns:
            float32 (batch,).
        """
        return losses.of_outputs(
            losses.named(self.loss),
            targets["labels"],
            outputs,
            class_weights=self.class_weights,
            pixel_weights=targets.get("weights"),
        )

    def start_loss(self, targets: Targets, model: keras.Model) -> float:
        """Compute what a model loses that finds all classes equally likely.

        Of cross-entropy it is ln(classes), but for pictures that are all ignored.

        Args:
            targets: of a batch.
            model: image -> {"logits"} and any auxiliary logits.
        """
        shape = ops.shape(targets["labels"])
        nothing = {
            name: ops.zeros((*shape, output.shape[-1]))
            for name, output in model.output.items()
        }
        return float(ops.mean(self.of_pictures(targets, nothing)))


def answering(model: keras.Model) -> keras.Model:
    """Leave the auxiliary heads of a network out: image -> {"logits"}."""
    logits = {"logits": model.output["logits"]}
    return keras.Model(model.input, logits, name=model.name)


class _Trained(keras.Model):
    """A network with the loss of all its heads, and the share of right pixels."""

    def __init__(self, network: keras.Model, objective: Objective):
        super().__init__(network.input, network.output, name=network.name)
        self._network, self._objective = network, objective
        self._mean = _Mean(name="mean")
        self._accuracy = keras.metrics.SparseCategoricalAccuracy("pixel_accuracy")

    @property
    def inference_model(self) -> keras.Model:
        """The model that answers, of the same layers."""
        return answering(self._network)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Average the losses of the pictures -> float32 ()."""
        of_pictures = self._objective.of_pictures(y, y_pred)
        labels = ops.cast(y["labels"], "int32")
        counts = ops.cast(labels != annotations.SEMANTIC_PADDING, "float32")
        self._accuracy.update_state(labels, y_pred["logits"], counts)
        loss = self._mean(ops.zeros_like(of_pictures), of_pictures)
        if not self.losses:
            return loss
        # Keras gives each replica its share of the penalties on weights.
        return loss + super().compute_loss(x, training=training)


class _Mean(keras.losses.Loss):
    """The mean of what is known already, divided among replicas as Keras does it."""

    def call(self, y_true, y_pred):
        """Return the losses of the pictures, float32 (batch,)."""
        return y_pred
