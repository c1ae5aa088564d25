"""Saves checkpoints without end in a process of its own, as often as it is asked to.

    python saver.py FOLDER

For each line of its input it forks a process, which says "restored", its number, what
it restored first and the values it found there, and then saves until it is killed;
"ended" follows. Every weight of the checkpoint of step n is n, and so is its host
state. TensorFlow is imported once, and first used in the forked processes.
"""

import itertools
import os
import pathlib
import sys

import keras
import numpy as np

from tfdl.training import checkpoint, optimizers


def save_on(folder: pathlib.Path) -> None:
    inputs = keras.Input((64,))
    model = keras.Model(inputs, keras.layers.Dense(256)(inputs))
    model.compile(optimizers.optimizer("adam", 0.1), "mse")
    optimizers.build(model)
    keeper = checkpoint.Checkpoints(folder, model, keep=2, is_chief=True, warn=print)
    restored = (keeper.restore() or {"step": 0})["step"]
    values = {float(value) for v in model.weights for value in np.unique(v)}
    values = sorted(values) if restored else [0.0]
    print("restored", os.getpid(), restored, values, flush=True)
    for step in itertools.count(restored + 1):
        model.set_weights([np.full(w.shape, step) for w in model.weights])
        keeper.save(step, {"step": step})


if __name__ == "__main__":
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            save_on(pathlib.Path(sys.argv[1]))
        os.waitpid(child, 0)
        print("ended", flush=True)
