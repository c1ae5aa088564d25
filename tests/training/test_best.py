import hashlib
import os

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.training import best, optimizers


def model(units=3):
    inputs = keras.Input((4,))
    x = keras.layers.Dense(8, name="first")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(inputs, keras.layers.Dense(units, name="last")(x))


@pytest.fixture
def saved(tmp_path):
    network = model()
    best.save_weights(network, tmp_path / best.FILE_NAME)
    return tmp_path / best.FILE_NAME, network


@pytest.mark.parametrize(
    ("mode", "values", "written"),
    [
        ("max", [0.5, 0.4, 0.5, 0.6], [1, 4]),
        ("min", [0.5, 0.6, 0.4, 0.4], [1, 3]),
        ("max", [float("nan"), 0.1, float("nan"), 0.2], [1, 2, 4]),
    ],
)
def test_only_improvements_are_written(tmp_path, mode, values, written):
    keeper = best.BestWeights(tmp_path, monitor="val_number", mode=mode)
    keeper.set_model(model())
    epochs = []
    for epoch, value in enumerate(values):
        before = keeper.best_epoch
        (tmp_path / best.FILE_NAME).unlink(missing_ok=True)
        keeper.on_epoch_end(epoch, {"val_number": value})
        assert (tmp_path / best.FILE_NAME).exists() == (keeper.best_epoch != before)
        if keeper.best_epoch != before:
            epochs.append(epoch + 1)
    assert epochs == written


def test_a_worker_that_is_not_the_chief_only_remembers():
    keeper = best.BestWeights(None, monitor="val_number", mode="max")
    keeper.on_epoch_end(3, {"val_number": 0.25})
    assert (keeper.best, keeper.best_epoch) == (0.25, 4)


def test_weights_come_back_with_their_digest_beside_them(saved):
    path, network = saved
    digest, name = path.with_name(f"{path.name}.sha256").read_text().split()
    assert name == path.name
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    other = model()
    best.load_weights(other, path)
    for ours, theirs in zip(network.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert sorted(p.name for p in path.parent.iterdir()) == [
        path.name,
        f"{path.name}.sha256",
    ]


def test_the_optimizer_of_a_compiled_model_is_left_out(saved, tmp_path):
    path, network = saved
    size = path.stat().st_size
    network.compile(optimizers.optimizer("adam", 0.1), "mse")
    optimizers.build(network)
    best.save_weights(network, tmp_path / "compiled.weights.h5")
    assert (tmp_path / "compiled.weights.h5").stat().st_size == size


class OwnStep(keras.Model):
    def train_step(self, batch):
        return {}


def test_the_weights_of_a_subclass_load_into_a_plain_model(tmp_path):
    plain = model()
    network = OwnStep(plain.inputs, plain.outputs)
    best.save_weights(network, tmp_path / best.FILE_NAME)
    other = model()
    best.load_weights(other, tmp_path / best.FILE_NAME)
    np.testing.assert_array_equal(other.get_weights()[0], plain.get_weights()[0])


def test_a_flipped_byte_is_noticed_and_the_file_named(saved):
    path, _ = saved
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(errors.ModelFileError, match=f"{path} is damaged") as caught:
        best.load_weights(model(), path)
    assert caught.value.exit_code == 4


def deeper_model():
    inputs = keras.Input((4,))
    x = keras.layers.Dense(8, name="first")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dense(3, name="last")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="one_more")(x))


@pytest.mark.parametrize("other", [lambda: model(units=5), deeper_model])
def test_weights_of_another_model_are_refused(saved, other):
    path, _ = saved
    with pytest.raises(errors.ModelFileError, match=f"{path} is of another model"):
        best.load_weights(other(), path)


@pytest.mark.parametrize("missing", ["", ".sha256"])
def test_a_missing_file_is_named(saved, missing):
    path, _ = saved
    path.with_name(path.name + missing).unlink()
    with pytest.raises(errors.ModelFileError, match=r"best.weights.h5 or its .sha256"):
        best.load_weights(model(), path)


def test_weights_that_cannot_be_written_leave_the_earlier_ones(saved, monkeypatch):
    path, network = saved

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(errors.ResourceError, match="No space left"):
        best.save_weights(model(), path)
    assert len(list(path.parent.iterdir())) == 2
    other = model()
    best.load_weights(other, path)
    np.testing.assert_array_equal(other.get_weights()[0], network.get_weights()[0])
