"""Exports again and again, for a test that kills it: writer.py BASE.

TensorFlow is imported once; every line on standard input forks a process that writes
one version, and prints the process's number when it begins and "done" after it.
"""

import os
import pathlib
import sys

import keras
import tensorflow as tf

from tfdl.export import savedmodel

ROWS = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]]


def write(base: pathlib.Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    spec = tf.TensorSpec([None, 4], tf.float32, "images")
    infer = tf.function(lambda images: model(images), input_signature=[spec])

    def build(network):
        @tf.function(input_signature=[spec])
        def serve_tensor(images):
            return {"scores": network(images)}

        return {"serve_tensor": serve_tensor}

    print(os.getpid(), flush=True)
    savedmodel.write(
        base,
        infer,
        reference=infer,
        build=build,
        examples={"serve_tensor": {"images": tf.constant(ROWS)}},
        assets={"labels.txt": "ant\nbee\ncat\n"},
        extras={"config.json": "{}\n"},
        measure=None,
    )
    print("done", flush=True)


if __name__ == "__main__":
    for _ in sys.stdin:
        child = os.fork()
        if not child:
            write(pathlib.Path(sys.argv[1]))
            os._exit(0)
        os.waitpid(child, 0)
        print("ended", flush=True)
