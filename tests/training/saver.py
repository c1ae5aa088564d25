"""Saves checkpoints without end, until it is killed; says what it restored first.

    python saver.py FOLDER

Every weight of the checkpoint of step n is n, and so is its host state.
"""

import itertools
import pathlib
import sys

import keras
import numpy as np

from tfdl.training import checkpoint, optimizers

if __name__ == "__main__":
    inputs = keras.Input((64,))
    model = keras.Model(inputs, keras.layers.Dense(256)(inputs))
    model.compile(optimizers.optimizer("adam", 0.1), "mse")
    optimizers.build(model)
    keeper = checkpoint.Checkpoints(
        pathlib.Path(sys.argv[1]), model, keep=2, is_chief=True, warn=print
    )
    restored = (keeper.restore() or {"step": 0})["step"]
    values = {float(value) for v in model.weights for value in np.unique(v)}
    print("restored", restored, sorted(values) if restored else [0.0], flush=True)
    for step in itertools.count(restored + 1):
        model.set_weights([np.full(w.shape, step) for w in model.weights])
        keeper.save(step, {"step": step})
