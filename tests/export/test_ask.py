import subprocess
import sys

import keras
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.export import ask
from tfdl.tasks.classification import postprocess


@pytest.fixture
def exported(tmp_path):
    inputs = keras.Input((4, 4, 3))
    flat = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(flat))
    answer = postprocess.serve(model, ("dark", "light"), multi_label=False)
    module = tf.Module()
    module.variables_of_model = [variable.value for variable in model.variables]
    for version in ("1", "2"):
        folder = str(tmp_path / "model" / version)
        tf.saved_model.save(module, folder, {"serving_default": answer})
    PIL.Image.new("RGB", (9, 7), (255, 0, 0)).save(tmp_path / "red.png")
    return tmp_path


def test_the_newest_version_answers_for_every_file(exported):
    picture = exported / "red.png"
    answered = ask.ask(exported / "model", [picture, picture])
    assert answered["probabilities"].shape == (2, 2)
    assert answered["class_name"].numpy()[0] in (b"dark", b"light")


def test_it_is_a_command(exported):
    command = [sys.executable, "-m", "tfdl.export.ask", exported / "model"]
    done = subprocess.run(
        [*command, exported / "red.png"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "class_name" in done.stdout


def test_a_folder_without_a_version_is_named(tmp_path):
    with pytest.raises(errors.ModelFileError, match="holds no version"):
        ask.ask(tmp_path, [])
