import fcntl
import json
import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.training import run_folder

CONFIG = {"optimization": {"epochs": 3, "learning_rate": 0.1}, "model": "lenet5"}


def opened(folder, config=None, **options):
    usual = {"free": ("epochs",), "overwrite": False, "is_chief": True, "defaults": {}}
    return run_folder.opened(folder, config=config or CONFIG, **usual | options)


def changed(**optimization):
    return CONFIG | {"optimization": CONFIG["optimization"] | optimization}


@pytest.mark.parametrize("name", ["run", "a run with spaces", "größe/日本 (1=2)"])
def test_a_new_run_says_what_it_is_and_where_it_ran(tmp_path, name):
    with opened(tmp_path / name):
        assert run_folder.read_config(tmp_path / name) == CONFIG
    environment = json.loads((tmp_path / name / "env.json").read_text())
    assert environment["tensorflow"] == tf.__version__
    with opened(tmp_path / name):  # resumes
        pass


def test_other_settings_are_refused_with_their_list(tmp_path):
    with opened(tmp_path):
        pass
    other = changed(learning_rate=0.2) | {"model": "resnet18", "width": 2}
    with (
        pytest.raises(errors.UsageError, match="other settings") as caught,
        opened(tmp_path, other),
    ):
        pytest.fail("it was opened")
    assert str(caught.value).endswith(
        "learning_rate 0.1 -> 0.2; model lenet5 -> resnet18; width None -> 2"
    )
    assert run_folder.read_config(tmp_path) == CONFIG


def test_a_mistake_before_the_first_step_leaves_the_folder_to_the_next_command(
    tmp_path,
):
    other = changed(learning_rate=0.2)
    with pytest.raises(errors.ModelFileError), opened(tmp_path):
        raise errors.ModelFileError("weights do not fit", "name others")
    with opened(tmp_path, other):
        (tmp_path / "steps.csv").write_text("step,loss,learning_rate\n")
    with pytest.raises(errors.DivergedError), opened(tmp_path, other):
        raise errors.DivergedError("step 1", "lower the rate")
    with (
        pytest.raises(errors.UsageError, match="learning_rate 0.2 -> 0.1"),
        opened(tmp_path),
    ):
        pytest.fail("it was opened")


def test_a_flag_may_move_to_another_group(tmp_path):
    with opened(tmp_path, CONFIG | {"width": 2}):
        pass
    with opened(tmp_path, CONFIG | {"network": {"width": 2}}):
        pass
    other = CONFIG | {"network": {"width": 3}}
    with (
        pytest.raises(errors.UsageError, match="width 2 -> 3"),
        opened(tmp_path, other),
    ):
        pytest.fail("it was opened")


def test_a_flag_that_a_run_did_not_know_had_its_default(tmp_path):
    with opened(tmp_path):
        pass
    newer = CONFIG | {"width": 2}
    with (
        pytest.raises(errors.UsageError, match="width 1 -> 2"),
        opened(tmp_path, newer, defaults=CONFIG | {"width": 1}),
    ):
        pytest.fail("it was opened")
    with opened(tmp_path, newer, defaults={"width": 2}):
        assert run_folder.read_config(tmp_path) == newer


def test_free_settings_may_change_and_are_written_down(tmp_path):
    with opened(tmp_path):
        pass
    with opened(tmp_path, changed(epochs=9)):
        assert run_folder.read_config(tmp_path)["optimization"]["epochs"] == 9


def test_overwriting_empties_the_folder_of_a_run(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("by the link")
    run = tmp_path / "run"
    with opened(run):
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "step-1").write_text("")
        (run / "events").symlink_to(elsewhere)
    with opened(run, changed(learning_rate=0.5), overwrite=True):
        names = sorted(path.name for path in run.iterdir())
        assert names == ["config.json", "env.json", "lock"]
    assert (elsewhere / "kept").exists()


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["metrics.csv", "config.json", ".bashrc"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, overwrite, name):
    (tmp_path / name).write_text("not ours")
    message = f"is no run, and it is not empty: it holds {name}"
    with (
        pytest.raises(errors.UsageError, match=message),
        opened(tmp_path, overwrite=overwrite),
    ):
        pytest.fail("it was opened")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("overwrite", [True, False])
def test_an_ensemble_is_called_one_and_left_alone(tmp_path, overwrite):
    (tmp_path / "members").mkdir()
    (tmp_path / "config.json").write_text("{}")
    with (
        pytest.raises(errors.UsageError, match="is an ensemble") as caught,
        opened(tmp_path, overwrite=overwrite),
    ):
        pytest.fail("it was opened")
    assert caught.value.remedy
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "members"}


def test_what_check_and_a_killed_start_leave_does_not_occupy_the_folder(tmp_path):
    (tmp_path / "check").mkdir()
    (tmp_path / ".tmp-config.json").write_text("{")
    with opened(tmp_path):
        assert (tmp_path / "check").exists()


def test_a_run_that_another_process_trains_is_refused_with_its_name(tmp_path):
    with opened(tmp_path):
        pass
    with open(tmp_path / "lock", "a+") as other:  # a lock is of the open file
        fcntl.flock(other, fcntl.LOCK_EX)
        with (
            pytest.raises(errors.UsageError, match="is in use by process"),
            opened(tmp_path),
        ):
            pytest.fail("it was opened")
    with opened(tmp_path):
        assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on")


HOLDER = """
import fcntl, sys, time
lock = open(sys.argv[1], "a+")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_process_lets_go_of_its_run(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(errors.UsageError, match="another process"),
            opened(tmp_path),
        ):
            pytest.fail("it was opened")
        holder.kill()
    with opened(tmp_path):
        pass


@pytest.mark.parametrize("name", ["lr[0.1]", "a\\b", "[x]/run"])
def test_a_path_that_tensorflow_cannot_read_from_is_refused(tmp_path, name):
    folder = tmp_path / name
    with pytest.raises(errors.UsageError, match="TensorFlow cannot read") as caught:
        opened(folder).__enter__()
    assert str(folder) in str(caught.value)
    assert not folder.exists()


@pytest.mark.parametrize("where", ["file", "file/below", "n" * 300, "/proc/run"])
def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path, where):
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / where
    with (
        pytest.raises(errors.UsageError, match="cannot be written") as caught,
        opened(folder),
    ):
        pytest.fail("it was opened")
    assert str(folder) in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_worker_that_is_not_the_chief_writes_nothing(tmp_path):
    with opened(tmp_path / "run", is_chief=False, overwrite=True):
        pass
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [None, "", '{"half": '])
def test_a_folder_without_a_whole_config_is_no_run(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(errors.ModelFileError, match="is no run") as caught:
        run_folder.read_config(tmp_path)
    assert caught.value.exit_code == 4


def test_json_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "metrics.json"
    run_folder.write_json(path, {"path": pathlib.Path("a/b"), "accuracy": 0.5})
    run_folder.write_json(path, {"path": pathlib.Path("a/b"), "accuracy": 0.75})
    assert json.loads(path.read_text()) == {"path": "a/b", "accuracy": 0.75}
    assert [other.name for other in tmp_path.iterdir()] == ["metrics.json"]
