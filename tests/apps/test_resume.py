"""Killed at every kind of moment, a run goes on as if nothing had happened."""

import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).parent
APP = str(HERE.parent.parent / "apps" / "classify.py")
# Dropout, batch norm, augmentation, averaged weights, a schedule, accumulation; 11
# steps of an epoch, so that saves fall into its middle.
FLAGS = (
    *("--preset", "tiny", "--epochs", "3", "--num-examples", "440"),
    *("--image-size", "16", "--batch-size", "32", "--width", "0.25"),
    *("--augmentation", "strong", "--mix", "mixup", "--dropout", "0.3"),
    *("--average", "0.9", "--clip-norm", "1"),
    *("--save-every", "4", "--steps-per-execution", "3"),
)
STEPS = 33
MOMENTS = [
    "step:2",  # before the first save
    "save:8",  # during a save
    "validation:1",  # of the first epoch
    "save:11",  # the one that ends the first epoch
    "step:15",  # in the middle of an epoch, after a save
    f"step:{STEPS}",  # the last one
]
SOME_MOMENTS = ["validation:1", "save:22"]
ONE_DEVICE = {"strategy": "one_device", "devices": 1}
TWO_REPLICAS = {"strategy": "mirrored", "devices": 2}


def launch(run, cache, moment, *, strategy="one_device", devices=1, extra=()):
    """Train in a process of its own; return what it left."""
    command = [sys.executable, str(HERE / "launch.py"), APP, str(devices), moment]
    command += ["train", *FLAGS, "--strategy", strategy, "--run", str(run)]
    command += ["--cache-dir", str(cache), *extra]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def tables(run: pathlib.Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in ("steps.csv", "metrics.csv")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "moments"),
    [(ONE_DEVICE, MOMENTS), (TWO_REPLICAS, SOME_MOMENTS)],
    ids=["one_device", "two_replicas"],
)
def test_a_run_that_is_killed_again_and_again_repeats_the_uninterrupted_one(
    tmp_path, cache, options, moments
):
    whole = launch(tmp_path / "whole", cache, "never", **options)
    assert whole.returncode == 0, whole.stderr
    for moment in moments:
        killed = launch(tmp_path / "killed", cache, moment, **options)
        assert killed.returncode == -9, f"{moment}: {killed.stderr}"
    last = launch(tmp_path / "killed", cache, "never", **options)
    assert last.returncode == 0, last.stderr
    assert tables(tmp_path / "killed") == tables(tmp_path / "whole")
    assert len(tables(tmp_path / "whole")["steps.csv"].splitlines()) == STEPS + 1
    left = sorted(path.name for path in (tmp_path / "killed/checkpoints").iterdir())
    assert left == ["step-000000032", f"step-{STEPS:09d}"]
    assert (tmp_path / "killed/best.weights.h5.sha256").read_text() == (
        tmp_path / "whole/best.weights.h5.sha256"
    ).read_text()

    finished = launch(tmp_path / "killed", cache, "never", **options)
    assert finished.returncode == 0
    assert "already finished at epoch 3" in finished.stdout


@pytest.mark.slow
def test_signals_save_and_exit_with_their_codes(tmp_path, cache):
    whole = launch(tmp_path / "whole", cache, "never")
    assert whole.returncode == 0, whole.stderr
    run = tmp_path / "stopped"
    ended = launch(run, cache, "signal:SIGTERM:7")
    assert ended.returncode == 75, ended.stderr
    assert "SIGTERM" in ended.stderr
    assert "same command" in ended.stderr
    assert list((run / "checkpoints").glob("step-*"))
    pressed = launch(run, cache, "signal:SIGINT:20")
    assert pressed.returncode == 130, pressed.stderr
    assert launch(run, cache, "never").returncode == 0
    assert tables(run) == tables(tmp_path / "whole")


@pytest.mark.slow
def test_damaged_checkpoints_and_other_settings(tmp_path, cache):
    run = tmp_path / "run"
    assert launch(run, cache, "step:20").returncode == -9
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    data = next(newest.glob("*.data*"))
    data.write_bytes(data.read_bytes()[:-100])

    other = launch(run, cache, "never", extra=["--learning-rate", "0.01"])
    assert other.returncode == 2
    assert "learning_rate 0.1 -> 0.01" in other.stderr
    assert "--overwrite" in other.stderr

    whole = launch(tmp_path / "whole", cache, "never")
    resumed = launch(run, cache, "never")
    assert resumed.returncode == whole.returncode == 0
    assert f"{newest.name} is damaged and was passed over" in resumed.stdout
    assert tables(run) == tables(tmp_path / "whole")

    for data in run.glob("checkpoints/step-*/*.data*"):
        data.write_bytes(b"")
    hopeless = launch(run, cache, "never")
    assert hopeless.returncode == 4
    assert "every checkpoint" in hopeless.stderr


@pytest.mark.slow
def test_a_larger_number_of_epochs_extends_a_finished_run(tmp_path, cache):
    extended = ["--epochs", "4", "--schedule", "constant"]
    constant = ["--schedule", "constant"]
    assert launch(tmp_path / "run", cache, "never", extra=constant).returncode == 0
    longer = launch(tmp_path / "run", cache, "never", extra=extended)
    whole = launch(tmp_path / "whole", cache, "never", extra=extended)
    assert longer.returncode == whole.returncode == 0
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


@pytest.mark.slow
def test_divergence_saves_nothing_and_names_the_pictures(tmp_path, cache):
    run = tmp_path / "run"
    wild = ["--learning-rate", "1e30", "--clip-norm", "0", "--warmup-epochs", "0"]
    diverged = launch(run, cache, "never", extra=wild)
    assert diverged.returncode == 5, diverged.stderr
    assert "images/" in diverged.stderr
    assert "Traceback" not in diverged.stderr
    assert not list((run / "checkpoints").glob("step-*"))
