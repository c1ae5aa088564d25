"""What is a detector made of, whatever its kind, and how is it trained and asked?"""

import dataclasses
from collections.abc import Callable, Mapping

import keras
from keras import ops

Tensors = Mapping[str, keras.KerasTensor]


@dataclasses.dataclass(frozen=True)
class Detector:
    """A network, what it is trained towards, and how its outputs are read.

    The four functions are written with `keras.ops`; each has its batch first.

    Attributes:
        network: image, float32 (batch, height, width, channels) in [0, 1] -> raw
            outputs by name, float32.
        targets: objects -> what `losses` compares with, by name. Objects are {"boxes":
            float32 (batch, objects, 4), pixels of the network's input, "labels": int32
            (batch, objects), -1 for padding, "weights": float32 (batch, objects) in
            [0, 1], 0 for padding}. It is called in tf.data; what depends on outputs
            is left to `losses`.
        losses: (targets, outputs) -> by name the parts of each picture's loss, float32
            (batch,); the loss is their sum. A picture's part is normalised by what is
            in that picture, so that the mean over replicas is that over the batch.
        decode: outputs -> {"boxes": float32 (batch, candidates, 4), pixels of the
            network's input, not cut to it, or (batch, candidates, classes, 4) where
            each class has its own, "scores": float32 (batch, candidates, classes) in
            [0, 1]}.
        start_losses: targets -> the batch's mean of those parts that are known in
            theory for a network that knows nothing yet.
        smallest_stride: pixels of the network's input between candidates; smaller
            objects are hard to tell apart.
        training_network: where training asks for more than answering does: {"image",
            "boxes", "labels", "weights"}, the picture and its objects -> what `losses`
            takes; of the layers of `network`. None where that is trained itself.
    """

    network: keras.Model
    targets: Callable[[Tensors], Tensors]
    losses: Callable[[Tensors, Tensors], Tensors]
    decode: Callable[[Tensors], Tensors]
    start_losses: Callable[[Tensors], dict[str, float]]
    smallest_stride: int
    training_network: keras.Model | None = None

    def feed(self, images: keras.KerasTensor, objects: Tensors) -> tuple:
        """Make what `fit` takes of pictures and their objects -> (inputs, targets).

        Args:
            images: float32 (batch, height, width, channels) in [0, 1].
            objects: as for `targets`.
        """
        targets = self.targets(objects)
        if self.training_network is None:
            return images, targets
        known = {name: objects[name] for name in ("boxes", "labels", "weights")}
        return {"image": images, **known}, targets

    @property
    def inference_model(self) -> keras.Model:
        """The network with `decode`: image -> {"boxes", "scores"}.

        `decode` is no plain type, so that this is to be built and not to be cloned or
        saved as a `.keras` file; `network` can be.
        """
        answers = _Decoding(self.decode, dtype="float32")(self.network.output)
        return keras.Model(self.network.input, answers, name=self.network.name)

    def compile(self, optimizer: keras.Optimizer) -> keras.Model:
        """Make the model that is trained: what `feed` gives -> raw outputs.

        Args:
            optimizer: of `tfdl.training.optimizers`.

        Returns:
            A compiled model; `fit` takes what `feed` makes. It measures "loss" and
            every part of it.
        """
        model = _Trained(self)
        model.compile(optimizer)
        return model


class _Trained(keras.Model):
    """A detector's network with its own loss, and a mean of every part of it."""

    def __init__(self, detector: Detector):
        network = detector.training_network or detector.network
        super().__init__(network.input, network.output, name=network.name)
        self._detector = detector
        self._parts = {}
        self._mean = _Mean(name="mean")

    @property
    def inference_model(self) -> keras.Model:
        """The model that answers, of the same layers."""
        return self._detector.inference_model

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Add the parts of the loss -> float32 (), the mean of the batch."""
        parts = self._detector.losses(y, y_pred)
        for name, part in parts.items():
            self._part(name).update_state(part)
        whole = sum(parts.values())
        loss = self._mean(ops.zeros_like(whole), whole)
        if not self.losses:
            return loss
        # Keras gives each replica its share of the penalties on weights.
        return loss + super().compute_loss(x, training=training)

    def _part(self, name: str) -> keras.metrics.Mean:
        if name not in self._parts:
            self._parts[name] = keras.metrics.Mean(name)
        return self._parts[name]


class _Decoding(keras.layers.Layer):
    """`decode` as one layer: files of weights do not depend on its operations."""

    def __init__(self, decode: Callable[[Tensors], Tensors], **options):
        super().__init__(name="decoding", **options)
        self._decode = decode

    def call(self, outputs):
        """Read raw outputs -> {"boxes", "scores"}."""
        return dict(self._decode(outputs))


class _Mean(keras.losses.Loss):
    """The mean of what is known already, divided among replicas as Keras does it."""

    def call(self, y_true, y_pred):
        """Return the losses of the pictures, float32 (batch,)."""
        return y_pred
