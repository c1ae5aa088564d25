"""Detectors and segmentation networks: killed and gone on with, replicas, workers."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow
HERE = pathlib.Path(__file__).parent
APPS = HERE.parent.parent / "apps"
# 8 steps of an epoch, three epochs.
COMMON = (
    *("--preset", "tiny", "--epochs", "3", "--num-examples", "160"),
    *("--image-size", "64", "--batch-size", "16", "--clip-norm", "10"),
    *("--save-every", "3", "--steps-per-execution", "2"),
)
# Windows around rare pixels of deformed pictures, averages.
DEFORMED = (
    *("--width", "0.125", "--augmentation", "elastic", "--crop", "rare_classes"),
    *("--loss", "cross_entropy+dice", "--class-weights", "inverse"),
    *("--average", "0.9"),
)
# The app and its flags, by what is trained.
CASES = {
    # Mosaic and MixUp in the first two epochs.
    "yolo": (
        "detect",
        *("--width", "0.25", "--augmentation", "photos"),
        *("--mix", "mosaic_mixup", "--plain-epochs", "1"),
    ),
    # Several heads, and units that are dropped.
    "unet": ("segment", *DEFORMED, "--auxiliary", "--normalization", "batch"),
    # Adam's first steps are as long where the gradient is rounding alone.
    "plain": (
        *("segment", *DEFORMED, "--model", "plain"),
        *("--optimizer", "momentum", "--learning-rate", "0.01"),
    ),
}
STEPS = 24
# Which cell learns which object is a choice: after some steps, the last digits of the
# predictions decide on one, and two ways of adding up the same numbers part.
COMPARED = 8
ENOUGH = f"step:{COMPARED}"  # they are ended then
over_killed = pytest.mark.parametrize("case", ["yolo", "unet"], indirect=True)
# U-Net drops units, which are others on each replica.
over_comparable = pytest.mark.parametrize("case", ["yolo", "plain"], indirect=True)
TIMEOUT_SECONDS = 600


def command(run, cache, moment, *, case, strategy="one_device", devices=1):
    app, *own = CASES[case]
    flags = ["train", *COMMON, *own, "--strategy", strategy]
    folders = ["--run", str(run), "--cache-dir", str(cache)]
    script = str(APPS / f"{app}.py")
    launch = [sys.executable, str(HERE / "launch.py"), script, str(devices), moment]
    return [*launch, *flags, *folders]


def launch(*arguments, **options):
    """Train in a process of its own; return what it left."""
    return subprocess.run(
        command(*arguments, **options),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )


def tables(run: pathlib.Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in ("steps.csv", "metrics.csv")}


def losses(run: pathlib.Path) -> list[float]:
    rows = (run / "steps.csv").read_text().splitlines()[1:]
    return [float.fromhex(row.split(",")[1]) for row in rows]


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, case, cache):
    run = tmp_path_factory.mktemp("runs") / "whole"
    done = launch(run, cache, "never", case=case)
    assert done.returncode == 0, done.stderr
    return run


@over_killed
def test_a_killed_run_repeats_the_uninterrupted_one(case, whole, cache, tmp_path):
    moments = [
        "save:9",  # during a save, before any other
        "validation:1",  # of the second epoch, the last that mixes pictures
        "step:20",  # of the last epoch
    ]
    for moment in moments:
        killed = launch(tmp_path / "killed", cache, moment, case=case)
        assert killed.returncode == -9, f"{moment}: {killed.stderr}"
    last = launch(tmp_path / "killed", cache, "never", case=case)
    assert last.returncode == 0, last.stderr
    assert tables(tmp_path / "killed") == tables(whole)
    assert len(losses(whole)) == STEPS
    digest = "best.weights.h5.sha256"
    assert (tmp_path / "killed" / digest).read_text() == (whole / digest).read_text()


@over_comparable
def test_two_replicas_train_as_one_device_does(case, whole, cache, tmp_path):
    done = launch(
        *(tmp_path / "run", cache, ENOUGH), case=case, strategy="mirrored", devices=2
    )
    assert done.returncode == -9, done.stderr
    found, expected = losses(tmp_path / "run"), losses(whole)
    np.testing.assert_allclose(found[:COMPARED], expected[:COMPARED], rtol=1e-4)


@over_comparable
def test_two_workers_train_as_one_device_does(case, whole, cache, tmp_path):
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("localhost", 0))
        ports = [each.getsockname()[1] for each in (first, second)]
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    options = {"case": case, "strategy": "multi_worker"}
    arguments = command(tmp_path / "run", cache, ENOUGH, **options)
    processes = [
        subprocess.Popen(
            arguments,
            env=os.environ
            | {
                "TF_CONFIG": json.dumps(
                    {"cluster": cluster, "task": {"type": "worker", "index": index}}
                )
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        errors = [each.communicate(timeout=TIMEOUT_SECONDS)[1] for each in processes]
    finally:
        for each in processes:
            each.kill()
    found, expected = losses(tmp_path / "run"), losses(whole)
    assert len(found) >= COMPARED, errors
    np.testing.assert_allclose(found[:COMPARED], expected[:COMPARED], rtol=1e-4)
