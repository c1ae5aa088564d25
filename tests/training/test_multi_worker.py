"""Two worker processes on this machine train as one device does, and resume."""

import concurrent.futures
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

pytestmark = pytest.mark.slow
PROGRAM = str(pathlib.Path(__file__).parent / "worker.py")
STEPS = ["--steps", "50", "--save-every", "5"]
TIMEOUT_SECONDS = 240


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("localhost", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def launch(runs, *flags, moments=(None, None)):
    """Train with one worker for each run folder; return what each of them left."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(len(runs))]}
    name = "multi_worker" if len(runs) > 1 else "one_device"
    processes = []
    for index, (run, moment) in enumerate(zip(runs, moments, strict=False)):
        task = {"type": "worker", "index": index}
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
        if len(runs) > 1:
            described = json.dumps({"cluster": cluster, "task": task})
            environment["TF_CONFIG"] = described
        if moment:
            environment["MOMENT"] = moment
        command = [sys.executable, PROGRAM, "train", *STEPS, "--strategy", name]
        processes.append(
            subprocess.Popen(
                [*command, "--run", str(run), *flags],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(finish, processes))


def finish(process):
    """Wait; return (exit code, lines of stdout, lines of stderr, when it ended)."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    finally:
        process.kill()
    return process.returncode, out.splitlines(), err.splitlines(), time.monotonic()


def train(run, *flags, workers=2, **options):
    return launch([run] * workers, *flags, **options)


def tables(run):
    return [(run / name).read_bytes() for name in ("steps.csv", "metrics.csv")]


def losses(run):
    rows = (run / "steps.csv").read_text().splitlines()[1:]
    return [float.fromhex(row.split(",")[1]) for row in rows]


def digests(lines):
    return [line for line in lines if line.startswith("digest")]


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "one_device"
    ended = train(run, "--steps-per-execution", "8", workers=1)
    assert ended[0][0] == 0, ended
    return run


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Two workers, eight steps in one call; and what they printed."""
    run = tmp_path_factory.mktemp("runs") / "together"
    ended = train(run, "--steps-per-execution", "8")
    assert [code for code, *_ in ended] == [0, 0], ended
    return run, ended


def test_two_workers_train_as_one_device_does(one_device, together):
    run, _ = together
    assert len(losses(run)) == 50
    np.testing.assert_allclose(losses(run), losses(one_device), rtol=0, atol=1e-4)


def test_the_workers_hold_the_same_weights_and_the_chief_alone_writes(together):
    run, ((_, first, *_), (_, second, *_)) = together
    assert len(digests(first)) == 5
    assert digests(first) == digests(second)
    assert tables(run / "workers" / "worker-1") == tables(run)
    assert not list((run / "workers").rglob("checkpoints"))
    assert any(line.startswith("best val_loss") for line in first)
    assert not any(line.startswith("best val_loss") for line in second)


def test_eight_steps_in_one_call_are_bitwise_those_of_eight_calls(together, tmp_path):
    ended = train(tmp_path / "run", "--steps-per-execution", "1")
    assert [code for code, *_ in ended] == [0, 0], ended
    assert tables(tmp_path / "run") == tables(together[0])


def test_killed_and_stopped_workers_go_on_bit_by_bit(tmp_path):
    flags = ["--dropout", "0.3", "--steps-per-execution", "2"]
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(whole, *flags)
    both_killed = ("SIGKILL:8", "SIGKILL:8")
    codes = {code for code, *_ in train(stopped, *flags, moments=both_killed)}
    assert codes <= {-9, 75}  # the second may see the first one die
    for moment in ((None, "SIGTERM:17"), ("SIGTERM:30", None)):  # told to one alone
        ended = train(stopped, *flags, moments=moment)
        assert [code for code, *_ in ended] == [75, 75], ended
        last_lines = {err[-1] for _, _, err, _ in ended}
        assert last_lines == {"remedy: resume with the same command"}
    ended = train(stopped, *flags)
    assert [code for code, *_ in ended] == [0, 0], ended
    assert tables(stopped) == tables(whole)
    assert len(losses(stopped)) == 50


@pytest.mark.parametrize("killed", [0, 1])
def test_a_worker_whose_peer_is_killed_ends_within_seconds(tmp_path, killed):
    moments = ["SIGKILL:12" if index == killed else None for index in (0, 1)]
    ended = train(tmp_path / "run", "--epochs", "1000", moments=moments)
    assert ended[killed][0] == -9
    code, _, err, ended_at = ended[1 - killed]
    assert code == 75, ended
    assert ended_at - ended[killed][-1] < 60
    assert err[-2].startswith("error: a worker is lost: ")
    assert err[-1] == "remedy: restart every worker with the same command; they resume"
    assert [code for code, *_ in train(tmp_path / "run")] == [0, 0]


def test_workers_that_do_not_share_the_folder_are_refused(together, tmp_path):
    run, _ = together
    ended = launch([run, tmp_path / "own"], "--steps-per-execution", "8")
    assert [code for code, *_ in ended] == [2, 2], ended
    for _, _, err, _ in ended:
        assert err[-2].endswith("the workers do not stand at the same step")
