import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfdl.export import stranger

SCRIPT = pathlib.Path(stranger.__file__)


@pytest.mark.parametrize(
    "values", [[[1.5, float("nan")]], [1, 2], [True], [b"\xff\x00"], []]
)
def test_a_tensor_comes_back_from_json_as_it_was(values):
    tensor = tf.constant(values)
    back = stranger.unpacked(json.loads(json.dumps(stranger.packed(tensor))))
    assert back.dtype == tensor.dtype
    np.testing.assert_array_equal(back, tensor)


def test_it_knows_nothing_of_this_package():
    for script in (SCRIPT, SCRIPT.with_name("warmup.py")):
        lines = script.read_text().splitlines()
        assert not [
            line for line in lines if line.startswith(("import tfdl", "from tfdl"))
        ]


def test_it_answers_together_and_singly(written, tmp_path):
    rows = tf.constant([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    questions = {"serve_tensor": {"images": stranger.packed(rows)}}
    (tmp_path / "asked").write_text(json.dumps(questions))
    command = [sys.executable, "-I", SCRIPT, written]
    subprocess.run([*command, tmp_path / "asked", tmp_path / "answered"], check=True)
    found = json.loads((tmp_path / "answered").read_text())
    answer = tf.saved_model.load(str(written)).signatures["serve_tensor"](images=rows)
    for way in ("together", "singly"):
        scores = stranger.unpacked(found["answers"]["serve_tensor"][way]["scores"])
        np.testing.assert_allclose(scores, answer["scores"], atol=1e-6)
    assert found["shapes"]["serve_tensor"] == {"scores": [None, 3], "best": [None]}
    assert found["warmup_records"] == 4
