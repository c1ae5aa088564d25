import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.training import checkpoint, optimizers


def small_model(units=3):
    inputs = keras.Input((4,))
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(units)(x))
    model.compile(
        optimizers.optimizer("adam", 0.1, average=0.9), "mse", metrics=["mae"]
    )
    optimizers.build(model)
    model.evaluate(np.ones((2, 4)), np.ones((2, units)), verbose=0)  # builds metrics
    return model


def checkpoints(folder, model, *, keep=2, warnings=None):
    warn = (warnings if warnings is not None else []).append
    return checkpoint.Checkpoints(folder, model, keep=keep, is_chief=True, warn=warn)


@pytest.fixture
def saved(tmp_path):
    """Two checkpoints, of steps 1 and 2, and the model they came from."""
    model = small_model()
    keeper = checkpoints(tmp_path, model)
    for step in (1, 2):
        model.fit(np.ones((8, 4)), np.ones((8, 3)) * step, verbose=0)
        keeper.save(step, {"step": step, "loss": 0.1})
    return tmp_path, model


def test_restoring_gives_back_every_variable_and_the_host_state(saved):
    folder, model = saved
    other = small_model()
    assert checkpoints(folder, other).restore() == {"step": 2, "loss": 0.1}
    for kind in ("variables", "metrics_variables"):
        pairs = zip(getattr(model, kind), getattr(other, kind), strict=True)
        for ours, theirs in pairs:
            np.testing.assert_array_equal(ours, theirs)
    pairs = zip(model.optimizer.variables, other.optimizer.variables, strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)


def test_nothing_saved_restores_to_none(tmp_path):
    assert checkpoints(tmp_path, small_model()).restore() is None


def test_only_the_newest_are_kept(tmp_path):
    keeper = checkpoints(tmp_path, small_model(), keep=2)
    for step in range(5):
        keeper.save(step, {})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["step-000000003", "step-000000004"]


def flip(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: pathlib.Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, empty, pathlib.Path.unlink])
@pytest.mark.parametrize("part", ["*.data*", "*.index"])
def test_a_damaged_checkpoint_is_passed_over_with_its_name(saved, damage, part):
    folder, _ = saved
    damage(next((folder / "step-000000002").glob(part)))
    warnings = []
    state = checkpoints(folder, small_model(), warnings=warnings).restore()
    assert state["step"] == 1
    assert "step-000000002" in warnings[0]


def test_every_checkpoint_damaged_is_an_error_with_exit_code_4(saved):
    folder, _ = saved
    for data in folder.glob("step-*/*.data*"):
        cut(data)
    with pytest.raises(errors.ModelFileError, match="every checkpoint") as caught:
        checkpoints(folder, small_model()).restore()
    assert caught.value.exit_code == 4


def test_half_written_junk_is_no_checkpoint_and_is_removed(saved):
    folder, _ = saved
    junk = folder / ".tmp-step-000000009-1"
    junk.mkdir()
    (junk / "variables.index").write_bytes(b"half")
    assert checkpoints(folder, small_model()).restore()["step"] == 2
    assert not junk.exists()


def test_a_checkpoint_of_another_shape_is_refused(saved):
    folder, _ = saved
    with pytest.raises(errors.UsageError, match=r"shape \(4, 3\).*shape \(4, 5\)"):
        checkpoints(folder, small_model(units=5)).restore()


def test_saving_to_a_place_that_cannot_be_written_loses_nothing(saved):
    folder, model = saved
    blocked = folder / f".tmp-step-000000003-{checkpoint.os.getpid()}"
    keeper = checkpoints(folder, model)
    blocked.write_text("in the way")
    with pytest.raises(errors.ResourceError, match="step-000000003"):
        keeper.save(3, {})
    blocked.unlink(missing_ok=True)
    assert checkpoints(folder, small_model()).restore()["step"] == 2


def test_the_same_step_can_be_saved_again(saved):
    folder, model = saved
    checkpoints(folder, model).save(2, {"step": 2, "again": True})
    assert checkpoints(folder, small_model()).restore()["again"]


@pytest.mark.slow
def test_thirty_kills_while_saving_never_lose_a_checkpoint(tmp_path):
    random = np.random.default_rng(0)
    program = pathlib.Path(__file__).parent / "saver.py"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    last = 0
    with subprocess.Popen([sys.executable, program, tmp_path], **pipes) as saver:
        for _ in range(30):
            saver.stdin.write("go\n")
            saver.stdin.flush()
            _, process, step, values = saver.stdout.readline().split(maxsplit=3)
            time.sleep(random.uniform(0, 0.3))  # a save takes some hundredths
            os.kill(int(process), signal.SIGKILL)
            assert saver.stdout.readline() == "ended\n"
            assert values.strip() == f"[{float(step)}]", "weights of several steps"
            assert int(step) >= last, "a checkpoint is lost"
            last = int(step)
            complete = [path for path in tmp_path.iterdir() if path.name[0] != "."]
            assert len(complete) <= 3  # two to keep, and one that was just written
        saver.stdin.close()
    assert last >= 5, "the saver did not get to save"


def test_a_kill_between_the_two_renames_of_a_replacement_loses_nothing(saved):
    folder, _ = saved
    newest = folder / "step-000000002"
    newest.rename(folder / ".old-step-000000002")  # the new one is not in place yet
    assert checkpoints(folder, small_model()).restore()["step"] == 2
    # and after both, before the old one is removed:
    shutil.copytree(newest, folder / ".old-step-000000002")
    assert checkpoints(folder, small_model()).restore()["step"] == 2
    assert not list(folder.glob(".old-*"))


def test_a_damaged_checkpoint_does_not_push_out_a_whole_one(saved):
    folder, model = saved
    cut(next((folder / "step-000000002").glob("*.data*")))
    (folder / "step-000000002").rename(folder / "step-000000009")
    keeper = checkpoints(folder, model, keep=1, warnings=[])
    assert keeper.restore()["step"] == 1
    keeper.save(2, {"step": 2})
    assert [path.name for path in folder.iterdir()] == ["step-000000002"]
    assert checkpoints(folder, small_model()).restore()["step"] == 2


def test_a_worker_that_is_not_the_chief_writes_nothing_and_restores(saved, tmp_path):
    folder, model = saved
    before = sorted(folder.rglob("*"))
    keeper = checkpoint.Checkpoints(
        folder, model, keep=1, is_chief=False, warn=pytest.fail
    )
    keeper.save(3, {"step": 3})
    assert sorted(folder.rglob("*")) == before
    assert keeper.restore()["step"] == 2
