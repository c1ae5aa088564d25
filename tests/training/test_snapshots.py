import hashlib

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.training import best, optimizers, snapshots


def model():
    inputs = keras.Input((2,), name="row")
    outputs = keras.layers.Dense(1, name="last")(inputs)
    return keras.Model(inputs, outputs, name="network")


def trained(folder, *, epochs, cycle_epochs, network=None):
    """Run the ends of epochs; the weights are then the number of the epoch."""
    network = network or model()
    keeper = snapshots.Snapshots(folder, cycle_epochs=cycle_epochs)
    keeper.set_model(network)
    for epoch in epochs:
        for weight in network.weights:
            weight.assign(np.full(weight.shape, epoch + 1.0))
        keeper.on_epoch_end(epoch)
    return keeper


def kernels(folder):
    found = {}
    for path in sorted((folder / snapshots.FOLDER).glob("*.weights.h5")):
        network = model()
        best.load_weights(network, path)
        found[path.name] = float(network.get_weights()[0][0, 0])
    return found


def test_the_last_epoch_of_every_cycle_is_kept(tmp_path):
    trained(tmp_path, epochs=range(6), cycle_epochs=2)
    assert kernels(tmp_path) == {
        "01.weights.h5": 2.0,
        "02.weights.h5": 4.0,
        "03.weights.h5": 6.0,
    }


def test_each_has_its_digest_as_sha256sum_writes_it(tmp_path):
    trained(tmp_path, epochs=range(2), cycle_epochs=2)
    path = tmp_path / "snapshots" / "01.weights.h5"
    line = path.with_name("01.weights.h5.sha256").read_text()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert line == f"{digest}  01.weights.h5\n"
    assert len(list(path.parent.iterdir())) == 2


def test_a_repeated_epoch_writes_the_same_file(tmp_path):
    trained(tmp_path, epochs=range(2), cycle_epochs=2)
    path = tmp_path / "snapshots" / "01.weights.h5"
    before = path.read_bytes()
    trained(tmp_path, epochs=[1], cycle_epochs=2)
    assert path.read_bytes() == before


def test_further_cycles_are_added_in_the_order_of_names(tmp_path):
    trained(tmp_path, epochs=range(9), cycle_epochs=1)
    trained(tmp_path, epochs=range(9, 11), cycle_epochs=1)
    assert list(kernels(tmp_path).values()) == list(range(1, 12))


def test_a_worker_that_is_not_the_chief_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained(None, epochs=range(2), cycle_epochs=1)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named_with_a_remedy(tmp_path):
    (tmp_path / "snapshots").write_text("in the way")
    with pytest.raises(errors.ResourceError, match="snapshots cannot be made") as found:
        trained(tmp_path, epochs=range(1), cycle_epochs=1)
    assert found.value.remedy


def test_nothing_of_it_is_saved_with_a_checkpoint(tmp_path):
    """What is restored by place would else go to another callback."""
    keeper = trained(tmp_path, epochs=range(1), cycle_epochs=1)
    kinds = (bool, int, float, str)
    public = {n: v for n, v in vars(keeper).items() if not n.startswith("_")}
    assert not [n for n, v in public.items() if isinstance(v, kinds)]


def test_averaged_weights_are_what_is_kept(tmp_path):
    network = model()
    network.compile(optimizers.optimizer("sgd", 0.1, average=0.5), "mse")
    optimizers.build(network)
    average = network.optimizer._model_variables_moving_average
    keeper = snapshots.Snapshots(tmp_path, cycle_epochs=1)
    keeper.set_model(network)
    average[0].assign(np.full((2, 1), 7.0))
    with optimizers.averaged_weights(network):
        keeper.on_epoch_end(0)
    assert kernels(tmp_path) == {"01.weights.h5": 7.0}
