import json
import math

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.export.formats import publishing

IMAGES = tf.constant([[1.0], [2.0], [3.0]])


@tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, "images")])
def serve_tensor(images):
    rows = images[:, 0]
    return {"twice": 2 * rows, "name": tf.strings.as_string(rows)}


REFERENCE = publishing.without_strings({"serve_tensor": serve_tensor})


def test_strings_are_left_out():
    answered = REFERENCE(images=IMAGES)
    assert answered.keys() == {"twice"}
    assert answered["twice"].numpy().tolist() == [2.0, 4.0, 6.0]


def test_a_runtime_is_compared_together_and_row_by_row():
    def runtime(images):
        return {"twice": 2 * images[:, 0] + np.float32(len(images) - 1) / 100}

    report = publishing.prove(
        runtime, REFERENCE, {"images": IMAGES}, tolerance=math.inf
    )
    figures = report["outputs"]["twice"]
    assert report["num_examples"] == 3
    assert figures["max_abs_difference"] == pytest.approx(0.02, rel=1e-4)
    assert figures["max_abs_difference_single"] == pytest.approx(0.02, rel=1e-4)
    assert figures["tolerance"] is None
    with pytest.raises(errors.ModelFileError, match="output twice of signature"):
        publishing.prove(runtime, REFERENCE, {"images": IMAGES}, tolerance=1e-5)


def test_a_file_and_its_report_replace_older_ones(tmp_path):
    for content in (b"older", b"new"):
        path = publishing.publish(tmp_path / "a" / "x.bin", content, {"loss": 1.5})
    assert path.read_bytes() == b"new"
    report = json.loads((tmp_path / "a" / "x.bin.json").read_text())
    assert report == {"file": "x.bin", "bytes": 3, "loss": 1.5}
    assert sorted(p.name for p in path.parent.iterdir()) == ["x.bin", "x.bin.json"]


def test_without_data_nothing_is_measured():
    assert publishing.measured(None, None, None) == {}
