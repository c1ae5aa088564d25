"""Follows the training of a run from outside: its minutes, its memory, its metrics."""

import json
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence

import tables


def train_and_evaluate(
    app: str, flags: Sequence[str], folder: pathlib.Path, splits: Sequence[str]
) -> dict:
    """Train a run with an app, and evaluate its best weights.

    Args:
        app: name of the script.
        flags: of its `train`.
        folder: of the run; an earlier one there is removed.
        splits: to evaluate.

    Returns:
        As `watch`, with "minutes", and "measured", the metrics of each split.
    """
    command = [sys.executable, str(tables.ROOT / "apps" / app)]
    train = [*command, "train", *flags, "--run", str(folder)]
    shutil.rmtree(folder, ignore_errors=True)
    watched = watch(subprocess.Popen(train), folder)
    measured = {}
    for split in splits:
        evaluate = [*command, "evaluate", "--run", str(folder), "--split", split]
        subprocess.run(evaluate, check=True)
        suffix = "" if split == "test" else f"_{split}"
        written = folder / "eval" / f"metrics{suffix}.json"
        measured[split] = json.loads(written.read_text())
    return {"minutes": watched["seconds"] / 60, **watched, "measured": measured}


def watch(process: subprocess.Popen, folder: pathlib.Path) -> dict:
    """Follow a training until it ends.

    Args:
        process: the training.
        folder: of its run.

    Returns:
        "seconds", from the first step to the last row of metrics; "epochs";
        "peak_megabytes" of resident memory, and "memory_growth" after the first epoch.
    """
    first_step, peak, by_epoch, last_row = None, 0.0, {}, time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        now = time.monotonic()
        if first_step is None and _rows(folder / "steps.csv"):
            first_step = now
        memory = _resident_megabytes(process.pid)
        peak = max(peak, memory)
        epoch = _rows(folder / "metrics.csv")
        if epoch and epoch not in by_epoch and memory:
            by_epoch[epoch], last_row = memory, now
    if process.returncode:
        sys.exit(f"{' '.join(process.args)} failed with {process.returncode}")
    return {
        "seconds": last_row - first_step,
        "epochs": max(by_epoch),
        "peak_megabytes": peak,
        "memory_growth": by_epoch[max(by_epoch)] / by_epoch[min(by_epoch)] - 1,
    }


def _rows(path: pathlib.Path) -> int:
    try:
        return max(0, path.read_text().count("\n") - 1)
    except OSError:
        return 0


def _resident_megabytes(process: int) -> float:
    try:
        status = pathlib.Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0
