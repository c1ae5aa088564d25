"""Drop-path: which of a network's paths does a picture take in training?"""

import functools
from collections.abc import Sequence

import keras
from keras import ops

NO_COLUMN = -1  # of a picture whose paths are dropped join by join


# Keras's loader finds a class in a `.keras` file only if Keras knows its name.
@keras.saving.register_keras_serializable(package="tfdl")
class DropPath(keras.layers.Layer):
    """Leave out a residual branch of some pictures, in training [Huang 2016].

    What is kept is divided by the probability of keeping it, so that the expectation is
    the branch, the value in inference. It differs from `keras.layers.Dropout` with a
    noise shape in bfloat16: that draws in bfloat16, in steps of 1/128, and so drops 1.5
    % for a rate of 1 %.

    Args:
        rate: float in [0, 1), probability to drop.
        seed: int or None, of the layer's own generator.
        **kwargs: name and so on.

    Input shape:
        float (batch, ...), and so the output.

    Reference:
        Huang et al., "Deep Networks with Stochastic Depth", 2016, section 3.
    """

    def __init__(self, rate: float, *, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=None):
        """Drop whole pictures in training, else return the inputs."""
        if not training or not self.rate:
            return inputs
        draws = keras.random.uniform(
            (ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1)),
            dtype="float32",
            seed=self.seed_generator,
        )
        scale = ops.cast(draws >= self.rate, "float32") / (1 - self.rate)
        return ops.cast(ops.multiply(inputs, scale), inputs.dtype)


@keras.saving.register_keras_serializable(package="tfdl")
class ColumnChoice(keras.layers.Layer):
    """Draw for a batch the one column of a network that it keeps, or none.

    This is global drop-path: all joins of the network are told the same column. All
    pictures of a batch (of a replica) have the same, as in the paper: one column alone
    is louder than the mean of several, so that a batch norm over pictures of both kinds
    silences the others. Drawn for each picture, a network of this kind did not learn
    what it learned in twelve epochs drawn for each batch.

    Args:
        num_columns: int, of the network.
        rate: float in [0, 1], share of the batches that keep one column only, each
            column as often as the others.
        seed: int or None, of the layer's own generator.
        **kwargs: name and so on.

    Input shape:
        (batch, ...); the values do not matter.

    Output shape:
        int32 (batch,), a column from 0 on or NO_COLUMN; NO_COLUMN in inference.

    Reference:
        Larsson et al., "FractalNet: Ultra-Deep Neural Networks without Residuals",
        2017, section 3.
    """

    def __init__(
        self, num_columns: int, *, rate: float = 0.5, seed: int | None = None, **kwargs
    ):
        super().__init__(**kwargs)
        self.num_columns = num_columns
        self.rate = rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=None):
        """Draw in training, else choose no column."""
        batch = ops.shape(inputs)[:1]
        if not training:
            return ops.full(batch, NO_COLUMN, dtype="int32")
        column = keras.random.randint(
            (1,), 0, self.num_columns, dtype="int32", seed=self.seed_generator
        )
        draw = keras.random.uniform((1,), dtype="float32", seed=self.seed_generator)
        choice = ops.where(draw < self.rate, column, NO_COLUMN)
        return ops.broadcast_to(choice, batch)


@keras.saving.register_keras_serializable(package="tfdl")
class DropPathJoin(keras.layers.Layer):
    """Join paths into their mean, in training into the mean of those that survive.

    A picture for which a column is chosen keeps the path of that column alone (global
    drop-path). Of every other picture each path is dropped with the given probability,
    but one survives always (local drop-path). Every path is as likely to survive as the
    others, so the join's expectation is the mean, its value in inference.

    Args:
        rate: float in [0, 1), probability to drop a path; with 0 nothing is dropped and
            the choice of a column is without effect.
        columns: the column of each path, for global drop-path.
        seed: int or None, of the layer's own generator.
        **kwargs: name and so on.

    Call arguments:
        inputs: list of float (batch, ...), all of the same shape.
        choice: int32 (batch,) of `ColumnChoice`, or None. Where the chosen column is
            none of the join's, paths are dropped locally: what this join returns is
            dropped itself where the chosen column joins.

    Output shape:
        (batch, ...), as one of the inputs.

    Reference:
        Larsson et al., "FractalNet: Ultra-Deep Neural Networks without Residuals",
        2017, section 3. Deviation: local paths are drawn for each picture.
    """

    def __init__(
        self,
        rate: float,
        *,
        columns: Sequence[int] = (),
        seed: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.rate = rate
        self.columns = list(columns)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, choice=None, training=None):
        """Return the mean of the paths that survive."""
        if not training or not self.rate:
            return functools.reduce(ops.add, inputs) / len(inputs)
        survives = self._drop_locally(ops.shape(inputs[0])[0], len(inputs))
        if choice is not None:
            is_chosen = ops.equal(choice[:, None], ops.array(self.columns, "int32"))
            is_global = ops.any(is_chosen, axis=-1, keepdims=True)
            survives = ops.where(is_global, is_chosen, survives)
        # Masks and counts, not weights: in bfloat16 a weight of 1/3 is off by 0.4 %.
        per_picture = (-1, *[1] * (len(inputs[0].shape) - 1))
        masks = [
            ops.reshape(ops.cast(survives[:, path], inputs[0].dtype), per_picture)
            for path in range(len(inputs))
        ]
        kept = [mask * x for mask, x in zip(masks, inputs, strict=True)]
        return functools.reduce(ops.add, kept) / functools.reduce(ops.add, masks)

    def _drop_locally(self, batch, num_paths):
        """Return boolean (batch, paths), at least one of each row true."""
        draws = keras.random.uniform(
            (batch, num_paths), dtype="float32", seed=self.seed_generator
        )
        # Where all are to be dropped, the largest draw survives: each as often.
        largest = ops.max(draws, axis=-1, keepdims=True)
        return draws >= ops.minimum(largest, self.rate)
