"""Trains a few photographs with a network that has seen many, and without.

    python benchmarks/transfer.py            # all rows, about 10 minutes
    python benchmarks/transfer.py frozen     # one row; `tuned` needs `frozen` before it

Transfer learning in the two steps of the course: the real SqueezeNet 1.1 is frozen and
gets a new head; then, from there, all of it is trained at a tenth of the rate. Beside
them the same network from random weights, in as many epochs as both. Needs the data
sets `caltech10` and `squeezenet` in the folder that TFDL_DATA names. Of each of ten
classes the first 48 pictures by name are for training (a tenth of them for validation)
and the last 16 for testing. Every row is one `apps/classify.py train` and one
`evaluate` in processes of their own; the minutes are of the training, its start
included.
"""

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time

import tables

from tfdl.data import location

APP = tables.ROOT / "apps" / "classify.py"
PICTURES = tables.RESULTS / "caltech10"
WEIGHTS = "squeezenet/weights/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"
NUM_TRAIN, NUM_TEST = 48, 16  # of each class, first and last by name
SHARED = (
    *("--model", "squeezenet1_1", "--image-size", "227", "--batch-size", "32"),
    *("--augmentation", "photos", "--optimizer", "adam", "--warmup-epochs", "0"),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One training.

    Attributes:
        name: of the row and of its run.
        title: what the table calls it.
        flags: of `apps/classify.py train`, beside the shared ones.
        start: where its weights come from: a path in TFDL_DATA, the name of another
            row, or nothing.
        bar: what the table says of the accuracy to reach.
    """

    name: str
    title: str
    flags: tuple[str, ...]
    start: str
    bar: str


ROWS = (
    Row(
        "frozen",
        "ImageNet's features frozen, a new head",
        ("--freeze", "fire9_concat", "--learning-rate", "0.001", "--epochs", "10"),
        start=WEIGHTS,
        bar="90 %",
    ),
    Row(
        "tuned",
        "the same, then all of it at a tenth of the rate",
        ("--learning-rate", "0.0001", "--epochs", "10"),
        start="frozen",
        bar="no worse",
    ),
    Row(
        "scratch",
        "from random weights, as many epochs",
        ("--learning-rate", "0.001", "--epochs", "20"),
        start="",
        bar="-",
    ),
)


def lay_out() -> None:
    """Link the pictures as <split>/<class>/<picture>."""
    shutil.rmtree(PICTURES, ignore_errors=True)
    source = location.find("caltech10/101_ObjectCategories")
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        files = sorted(folder.iterdir())
        splits = {"train": files[:NUM_TRAIN], "test": files[-NUM_TEST:]}
        for split, chosen in splits.items():
            (PICTURES / split / folder.name).mkdir(parents=True)
            for path in chosen:
                link = PICTURES / split / folder.name / path.name
                os.symlink(path.resolve(), link)


def measure(row: Row) -> dict:
    """Train and evaluate one row -> what the table says of it."""
    folder = tables.RESULTS / f"transfer_{row.name}"
    data = ("--data", f"folder:{PICTURES}")
    began = time.monotonic()
    _app("train", *data, *SHARED, *_start(row), *row.flags, "--run", folder)
    seconds = time.monotonic() - began
    _app("evaluate", "--run", folder)
    metrics = json.loads((folder / "eval" / "metrics.json").read_text())
    with open(folder / "metrics.csv", newline="") as file:
        epochs = len(list(csv.DictReader(file)))
    return {
        "title": row.title,
        "flags": " ".join(row.flags),
        "bar": row.bar,
        "accuracy": metrics["accuracy"],
        "interval": metrics["accuracy_interval"],
        "num_examples": metrics["num_examples"],
        "epochs": epochs,
        "minutes": seconds / 60,
    }


def _start(row: Row) -> tuple[str, ...]:
    """Return the flag that names the weights to start from."""
    if not row.start:
        return ()
    if row.start == WEIGHTS:
        return ("--weights", str(location.find(WEIGHTS)))
    best = tables.RESULTS / f"transfer_{row.start}" / "best.weights.h5"
    return ("--weights", str(best))


def _app(verb: str, *arguments) -> None:
    overwrite = ("--overwrite",) if verb == "train" else ()
    command = [sys.executable, APP, verb, *arguments, *overwrite]
    subprocess.run([str(part) for part in command], check=True)


def table(results: list[dict]) -> list[str]:
    """Write the results as a Markdown table, with the machine they came from."""
    lines = [
        f"Machine: {tables.machine()}. SqueezeNet 1.1, `apps/classify.py train "
        f"{' '.join(SHARED)}` and the flags of the row. Test accuracy of the best "
        "weights on validation, with its 95 % bootstrap interval.",
        "",
        "| what | flags | test accuracy | bar | minutes | epochs |",
        "|---|---|---|---|---|---|",
    ]
    for row in results:
        low, high = row["interval"]
        lines.append(
            f"| {row['title']} | `{row['flags']}` | {row['accuracy']:.2%} "
            f"[{low:.2%}, {high:.2%}] of {row['num_examples']} | {row['bar']} | "
            f"{row['minutes']:.1f} | {row['epochs']} |"
        )
    return lines


def main(names: list[str]) -> None:
    """Measure the named rows, or all, and put all known ones into the table."""
    tables.RESULTS.mkdir(parents=True, exist_ok=True)
    lay_out()
    known = {row.name: tables.RESULTS / f"transfer_{row.name}.json" for row in ROWS}
    for row in ROWS:
        if not names or row.name in names:
            known[row.name].write_text(json.dumps(measure(row), indent=2))
    found = [path for path in known.values() if path.exists()]
    results = [json.loads(path.read_text()) for path in found]
    tables.write("transfer", table(results))


if __name__ == "__main__":
    main(sys.argv[1:])
