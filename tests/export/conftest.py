import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.export import savedmodel

ROWS = np.random.default_rng(0).random((5, 4), np.float32)
LABELS = ("cat", "dog", "emu")


@pytest.fixture(scope="session")
def network():
    """Answer with logits, through a batch norm and a dropout: a tf.function."""
    inputs = keras.Input((4,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(3)(inputs))
    model = keras.Model(inputs, keras.layers.Dropout(0.5)(x))

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "images")])
    def infer(images):
        return model(images, training=False)

    infer.model = model
    return infer


def signatures(infer):
    """Build two signatures of one network."""
    spec = tf.TensorSpec([None, 4], tf.float32, "images")

    @tf.function(input_signature=[spec])
    def serve_tensor(images):
        scores = infer(images)
        return {"scores": scores, "best": tf.gather(LABELS, tf.argmax(scores, -1))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serving_default(image_bytes):
        batch = tf.map_fn(
            lambda row: tf.ensure_shape(tf.io.decode_raw(row, tf.float32), [4]),
            image_bytes,
            fn_output_signature=tf.TensorSpec([4], tf.float32),
        )
        return serve_tensor(batch)

    return {"serving_default": serving_default, "serve_tensor": serve_tensor}


EXAMPLES = {
    "serving_default": {"image_bytes": tf.constant([row.tobytes() for row in ROWS])},
    "serve_tensor": {"images": tf.constant(ROWS)},
}


@pytest.fixture(scope="session")
def write(network):
    """Write a version; arguments replace those of the little network above."""

    def write_version(base: pathlib.Path, **changed) -> pathlib.Path:
        arguments = {
            "infer": network,
            "reference": network,
            "build": signatures,
            "examples": EXAMPLES,
            "assets": {"labels.txt": "cat\ndog\nemu\n"},
            "extras": {"config.json": "{}\n", "model_card.md": "# A model\n"},
            "measure": None,
        }
        return savedmodel.write(base, **(arguments | changed))

    return write_version


@pytest.fixture
def unproved(monkeypatch):
    """Skip the proof, whose process takes seconds."""
    report = {"signatures": {}, "warmup_records": 0, "seconds": 0.0}
    monkeypatch.setattr(savedmodel.parity, "prove", lambda *_, **__: dict(report))


@pytest.fixture(scope="session")
def written(write, tmp_path_factory):
    """Write one proved version -> its folder."""
    return write(tmp_path_factory.mktemp("exports") / "a näme with spaces")
