"""Keras's SGD and Adam, whose update of a weight is one kernel instead of five to ten.

Keras writes an update as a chain of whole-array operations, each of which reads and
writes memory: for a network of ten million weights they cost more than a tenth of a
training step on a CPU, and for one of thousands of weights their number does. The
formulas are Keras's, and so are arguments, variables and their names.
"""

import keras
import tensorflow as tf


class SGD(keras.optimizers.SGD):
    """`keras.optimizers.SGD`: plain, with momentum, or with Nesterov's."""

    def update_step(self, gradient, variable, learning_rate):
        """Update one weight; sparse gradients take Keras's own path."""
        if isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        gradient = tf.cast(gradient, variable.dtype)
        learning_rate = tf.cast(learning_rate, variable.dtype)
        if not self.momentum:
            tf.raw_ops.ResourceApplyGradientDescent(
                var=_handle(variable), alpha=learning_rate, delta=gradient
            )
            return
        velocity = self.momentums[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=_handle(variable),
            accum=_handle(velocity),
            lr=learning_rate,
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )


class Adam(keras.optimizers.Adam):
    """`keras.optimizers.Adam`, without its AMSGrad [Kingma 2015]."""

    def update_step(self, gradient, variable, learning_rate):
        """Update one weight; sparse gradients take Keras's own path."""
        if isinstance(gradient, tf.IndexedSlices) or self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        index, kind = self._get_variable_index(variable), variable.dtype
        beta_1, beta_2 = tf.cast(self.beta_1, kind), tf.cast(self.beta_2, kind)
        update = tf.cast(self.iterations + 1, kind)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=tf.pow(beta_1, update),
            beta2_power=tf.pow(beta_2, update),
            lr=tf.cast(learning_rate, kind),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=tf.cast(self.epsilon, kind),
            grad=tf.cast(gradient, kind),
        )


def _handle(variable) -> tf.Tensor:
    """Name a variable to a kernel; `fit` gives Keras's inner ones."""
    is_outer = isinstance(variable, keras.Variable)
    return (variable.value if is_outer else variable).handle
