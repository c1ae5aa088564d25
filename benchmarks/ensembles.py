"""Trains one run in cycles and compares its snapshots with their ensemble.

    python benchmarks/ensembles.py                  # ResNet-20 on CIFAR-10, 20 minutes
    python benchmarks/ensembles.py --preset tiny --epochs 4 --cycles 2     # seconds

Needs the data set `cifar10_jpg` in the folder that TFDL_DATA names; flags are those of
`apps/classify.py train`, in place of the ones in the table. Training, every evaluation
and the export are processes of their own. The export is asked about files of the test
split, and its answers are compared with the mean of what `predict` wrote for every
snapshot by itself.
"""

import csv
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import tables
import tensorflow as tf

from tfdl.tasks.classification import data
from tfdl.training import flags, run_folder

APP = tables.ROOT / "apps" / "classify.py"
FOLDER = tables.RESULTS / "ensembles"
TRAINING = ("--preset", "cifar", "--epochs", "40", "--cycles", "5")
BASELINE = tables.RESULTS / "cifar_float32.json"  # of classification.py
NUM_FILES = 200  # that the export is asked about


@dataclasses.dataclass(frozen=True)
class Row:
    """A model's metrics on the test split.

    Attributes:
        title: what the table calls it.
        metrics: as in eval/metrics.json; of a mean, loss and accuracy alone.
    """

    title: str
    metrics: dict

    def __str__(self) -> str:
        accuracy, loss = self.metrics["accuracy"], self.metrics["loss"]
        shown = f"{accuracy:.2%}"
        if "accuracy_interval" in self.metrics:
            low, high = self.metrics["accuracy_interval"]
            shown += f" [{low:.2%}, {high:.2%}] of {self.metrics['num_examples']}"
        return f"| {self.title} | {shown} | {loss:.4f} |"


def app(verb: str, *arguments) -> None:
    """Run a verb of the classifier."""
    command = [sys.executable, APP, verb, *arguments]
    subprocess.run([str(part) for part in command], check=True)


def measure(name: str, *members: pathlib.Path) -> dict:
    """Evaluate the average of some weights, in a run of its own -> its metrics."""
    app("evaluate", "--run", FOLDER / name, "--members", *members)
    return json.loads((FOLDER / name / "eval" / "metrics.json").read_text())


def test_files(run: pathlib.Path) -> list[pathlib.Path]:
    """List files from the whole of a run's test split."""
    config = run_folder.read_config(run)
    reading = flags.from_config(flags.Data, config["data"]).reading()
    test = data.read(**reading, cache_bytes=0, multi_label=False)["test"]
    step = max(1, len(test) // NUM_FILES)
    return [pathlib.Path(name) for name in test.names[::step][:NUM_FILES]]


def largest_difference(members: list[str], files: list[pathlib.Path]) -> float:
    """Compare the ensemble's SavedModel with the mean of its members' predictions."""
    answers = []
    for name in members:
        app("predict", "--run", FOLDER / name, *files)
        with open(FOLDER / name / "predictions.csv", newline="") as file:
            rows = {row.pop("file"): row for row in csv.DictReader(file)}
        answers.append([_probabilities(rows[str(path)]) for path in files])
    base = FOLDER / "exports"
    app("export", "--run", FOLDER / "ensemble", "--base", base)
    served = tf.saved_model.load(str(base / "ensemble" / "1"))
    content = tf.constant([path.read_bytes() for path in files])
    found = served.signatures["serving_default"](image_bytes=content)["probabilities"]
    return float(np.abs(np.mean(answers, axis=0) - found.numpy()).max())


def _probabilities(row: dict[str, str]) -> list[float]:
    return [float(value) for name, value in row.items() if name != "class"]


def compare(training: list[str]) -> list[str]:
    """Train, evaluate and export -> the lines of the table."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    began = time.monotonic()
    app("train", *training, "--run", FOLDER / "run")
    trained = time.monotonic()
    snapshots = sorted((FOLDER / "run" / "snapshots").glob("*.weights.h5"))
    names = [f"snapshot_{number}" for number in range(1, len(snapshots) + 1)]
    alone = [measure(name, path) for name, path in zip(names, snapshots, strict=True)]
    together = measure("ensemble", FOLDER / "run" / "snapshots")
    ended = time.monotonic()
    mean = {
        key: float(np.mean([metrics[key] for metrics in alone]))
        for key in ("accuracy", "loss")
    }
    difference = largest_difference(names, test_files(FOLDER / "run"))
    command = f"`apps/classify.py train {' '.join(training)}`"
    minutes = [(trained - began) / 60, (ended - trained) / 60]
    return [
        f"Machine: {tables.machine()}. {command}, {minutes[0]:.1f} minutes, "
        f"and {minutes[1]:.1f} of evaluation. Test accuracy with its 95 % "
        "bootstrap interval, and test loss.",
        "",
        "| what | test accuracy | test loss |",
        "|---|---|---|",
        *(
            str(Row(f"snapshot {number}", metrics))
            for number, metrics in enumerate(alone, 1)
        ),
        str(Row("mean of the snapshots", mean)),
        str(Row(f"**ensemble of the {len(alone)}**", together)),
        "",
        f"The ensemble's SavedModel and the mean of the snapshots' own predictions "
        f"differ by {difference:.1e} at most (bar: 1e-5). The ensemble "
        f"{_verdict(together['accuracy'] - mean['accuracy'])} its members' mean.",
        *_baseline(training),
    ]


def _verdict(gain: float) -> str:
    return f"beats ({gain:+.2%})" if gain > 0 else f"does not beat ({gain:+.2%})"


def _baseline(training: list[str]) -> list[str]:
    """Name what one run without cycles reached, if that was measured."""
    if tuple(training) != TRAINING or not BASELINE.exists():
        return []
    row = json.loads(BASELINE.read_text())
    return [
        f"One cycle of {row['epochs']} epochs reached {row['accuracy']:.2%} "
        "(`classification.py`)."
    ]


def main(training: list[str]) -> None:
    """Compare on CIFAR-10 and write the table, or with other flags print it."""
    lines = compare(training or list(TRAINING))
    print("\n".join(lines))
    if not training:
        tables.write("ensembles", lines)


if __name__ == "__main__":
    main(sys.argv[1:])
