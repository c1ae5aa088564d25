"""Trains a classifier together with its auxiliary classifiers, which are then left."""

import keras

ANSWER = "logits"  # what remains
WEIGHT = 0.3  # of an auxiliary loss [Szegedy 2015, section 5]


class DeeplySupervised(keras.Model):
    """A network and its auxiliary classifiers, trained by a weighted sum of losses.

    The loss that it is compiled with is that of the logits; each auxiliary classifier
    adds `WEIGHT` times the same loss. Metrics are of the logits alone.

    The weight is GoogLeNet's for every network; Inception-v3's authors add the loss of
    their one auxiliary classifier with 0.4.

    Args:
        network: a functional model whose output is {"logits", "auxiliary1", ...}, each
            float32 (batch, classes).

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2015, section 5.
    """

    def __init__(self, network: keras.Model):
        super().__init__(network.input, network.output, name=network.name)

    @property
    def inference_model(self) -> keras.Model:
        """The model that answers, of the same layers: image -> logits."""
        return keras.Model(self.input, self.output[ANSWER], name=self.name)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Add the auxiliary losses to that of the logits -> float32 ()."""
        loss = super().compute_loss(x, y, y_pred[ANSWER], sample_weight, training)
        auxiliary = [self.loss(y, y_pred[name]) for name in y_pred if name != ANSWER]
        return loss + WEIGHT * sum(auxiliary)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Measure the logits alone."""
        return super().compute_metrics(x, y, y_pred[ANSWER], sample_weight)
