import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.training import best, ensembles, flags, run_folder


def model(value):
    inputs = keras.Input((2,))
    start = keras.initializers.Constant(value)
    dense = keras.layers.Dense(1, kernel_initializer=start, name="last")
    return keras.Model(inputs, dense(inputs))


def run(folder, value, *, image_size=32, class_names=("cat", "dog"), **more):
    """Write a run: its best weights, and two snapshots."""
    (folder / "snapshots").mkdir(parents=True)
    config = {"data": {"image_size": image_size}, "class_names": list(class_names)}
    run_folder.write_json(folder / "config.json", config | {"value": value} | more)
    best.save_weights(model(value), folder / best.FILE_NAME)
    for number in (1, 2):
        path = folder / "snapshots" / f"{number:02d}.weights.h5"
        best.save_weights(model(value + number / 10), path)
    return folder


@pytest.fixture
def runs(tmp_path):
    return run(tmp_path / "one", 1.0), run(tmp_path / "two", 2.0)


def kernels(folder):
    values = []
    for _, path in ensembles.listed(folder):
        network = model(0.0)
        best.load_weights(network, path)
        values.append(round(float(network.get_weights()[0][0, 0]), 3))
    return values


def test_a_run_is_one_model_with_its_best_weights(runs):
    [(config, path)] = ensembles.listed(runs[0])
    assert config["value"] == 1.0
    assert path == runs[0] / "best.weights.h5"


def test_runs_files_and_folders_of_files_become_members_in_order(runs, tmp_path):
    folder = tmp_path / "new" / "größe, x"
    first, second = runs
    file = first / "snapshots" / "02.weights.h5"
    ensembles.gather(folder, [second, first / "snapshots", file])
    assert kernels(folder) == [2.0, 1.1, 1.2, 1.2]
    configs = [config["value"] for config, _ in ensembles.listed(folder)]
    assert configs == [2.0, 1.0, 1.0, 1.0]
    saved = run_folder.read_config(folder)
    assert (saved["value"], saved["num_members"]) == (2.0, 4)
    assert saved["members"][3]["weights"] == str(file)
    assert {path.name for path in folder.iterdir()} == {"config.json", "members"}
    assert len(list((folder / "members").iterdir())) == 8


def test_an_ensemble_stays_when_its_members_go(runs, tmp_path):
    ensembles.gather(tmp_path / "both", runs)
    for each in runs:
        shutil.rmtree(each)
    assert kernels(tmp_path / "both") == [1.0, 2.0]


def test_without_members_nothing_happens(tmp_path):
    ensembles.gather(tmp_path / "nothing", [])
    assert not (tmp_path / "nothing").exists()


def test_the_same_members_may_be_named_again_and_others_not(runs, tmp_path):
    folder = tmp_path / "both"
    folder.mkdir()  # an empty one may be there
    ensembles.gather(folder, runs)
    before = (folder / "config.json").stat().st_mtime_ns
    ensembles.gather(folder, runs)
    assert (folder / "config.json").stat().st_mtime_ns == before
    with pytest.raises(errors.UsageError, match="both is another ensemble"):
        ensembles.gather(folder, [runs[0] / "snapshots"])


def test_a_run_that_was_trained_is_not_overwritten(runs):
    before = kernels(runs[0])
    with pytest.raises(errors.UsageError, match="one is a run that was trained"):
        ensembles.gather(runs[0], [runs[0] / "snapshots"])
    assert kernels(runs[0]) == before


def test_a_folder_with_other_files_is_left_alone(runs, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    with pytest.raises(errors.UsageError, match="mine cannot be made the ensemble's"):
        ensembles.gather(folder, runs)
    assert [path.name for path in folder.iterdir()] == ["letter.txt"]
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_snapshot_alone_becomes_a_run(runs, tmp_path):
    ensembles.gather(tmp_path / "new", [runs[0] / "snapshots" / "02.weights.h5"])
    assert kernels(tmp_path / "new") == [1.2]


def test_an_ensemble_is_no_member(runs, tmp_path):
    ensembles.gather(tmp_path / "both", runs)
    with pytest.raises(errors.UsageError, match="both is an ensemble itself"):
        ensembles.gather(tmp_path / "new", [tmp_path / "both", runs[0]])
    lies = tmp_path / "both" / "members"
    with pytest.raises(errors.UsageError, match="members is an ensemble itself"):
        ensembles.gather(tmp_path / "new", [lies])


@pytest.mark.parametrize(
    ("other", "name"),
    [
        ({"image_size": 64}, "image_size"),
        ({"class_names": ("dog", "cat")}, "class_names"),
        ({"channels": 1}, "channels"),
        ({"multi_label": True}, "multi_label"),
        ({"source": "folder:others"}, "source"),
        ({"num_examples": 96}, "num_examples"),
        ({"test_fraction": 0.2}, "test_fraction"),
        ({"validation_fraction": 0.2}, "validation_fraction"),
        ({"train_dev_fraction": 0.2}, "train_dev_fraction"),
    ],
)
def test_a_member_of_other_pictures_or_classes_is_named(runs, tmp_path, other, name):
    third = run(tmp_path / "third", 3.0, **other)
    with pytest.raises(errors.UsageError, match=rf"third.*has {name} ") as caught:
        ensembles.gather(tmp_path / "new", [*runs, third])
    assert name in caught.value.remedy
    assert not (tmp_path / "new").exists()


def test_a_member_that_was_tested_on_what_trained_another_is_refused(tmp_path):
    """As `train` writes the settings: nested, under the names of fields."""
    folders = []
    for name, data in (("one", flags.Data("folder:a")), ("two", flags.Data("mnist:b"))):
        settings = {"data": dataclasses.asdict(data)}
        folders.append(run(tmp_path / name, 1.0, **settings))
    with pytest.raises(errors.UsageError, match="two.*has source mnist:b, but .*one"):
        ensembles.gather(tmp_path / "new", folders)


def test_a_member_from_before_there_was_a_flag_had_its_default(runs, tmp_path):
    third = run(tmp_path / "third", 3.0, train_dev_fraction=0.0)
    ensembles.gather(tmp_path / "new", [*runs, third])
    assert kernels(tmp_path / "new") == [1.0, 2.0, 3.0]


def test_what_a_kill_left_half_written_is_no_member(runs, tmp_path):
    (runs[0] / "snapshots" / ".tmp-03.weights.h5").write_bytes(b"half")
    ensembles.gather(tmp_path / "new", [runs[0] / "snapshots"])
    assert kernels(tmp_path / "new") == [1.1, 1.2]


def test_snapshots_are_in_the_order_of_their_numbers(runs, tmp_path):
    for number in (99, 100, 101):
        path = runs[0] / "snapshots" / f"{number}.weights.h5"
        best.save_weights(model(number), path)
    ensembles.gather(tmp_path / "new", [runs[0] / "snapshots"])
    assert kernels(tmp_path / "new") == [1.1, 1.2, 99.0, 100.0, 101.0]


def test_a_damaged_member_is_named(runs, tmp_path):
    path = runs[1] / best.FILE_NAME
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(errors.ModelFileError, match=f"{path} is damaged"):
        ensembles.gather(tmp_path / "new", runs)


def test_a_copy_that_is_damaged_later_is_noticed(runs, tmp_path):
    ensembles.gather(tmp_path / "both", runs)
    path = tmp_path / "both" / "members" / "02.weights.h5"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(errors.ModelFileError, match=r"02.weights.h5 is damaged"):
        kernels(tmp_path / "both")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere does not exist"),
        ("empty", "is no run and holds no .weights.h5 file"),
        ("lost.weights.h5", "is in no run"),
    ],
)
def test_what_is_no_member_is_named(runs, tmp_path, name, message):
    (tmp_path / "empty").mkdir()
    best.save_weights(model(0.0), tmp_path / "lost.weights.h5")
    with pytest.raises(errors.ModelFileError, match=message):
        ensembles.gather(tmp_path / "new", [runs[0], tmp_path / name])


def test_the_list_of_members_is_plain_json(runs, tmp_path):
    ensembles.gather(tmp_path / "both", runs)
    saved = json.loads((tmp_path / "both" / "config.json").read_text())
    kept = {key for member in saved["members"] for key in member}
    assert kept == {"weights", "sha256", "config"}
    np.testing.assert_equal([m["config"]["value"] for m in saved["members"]], [1, 2])
