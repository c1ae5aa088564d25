"""Trains the classifiers of the README on real pictures and writes down what came out.

    python benchmarks/classification.py            # all rows, about 45 minutes
    python benchmarks/classification.py mnist      # one row

Needs the data sets `mnist_idx` and `cifar10_jpg` in the folder that TFDL_DATA names.
Every row is one `apps/classify.py train` and one `evaluate` in processes of their own.
The minutes are those of the training alone, from its first step to its last row of
metrics, validation included; memory is the process's resident set.
"""

import dataclasses
import json
import sys

import tables
import watching


@dataclasses.dataclass(frozen=True)
class Row:
    """One training.

    Attributes:
        name: of the row and of its run.
        title: what the table calls it.
        flags: of `apps/classify.py train`.
        bar: the test accuracy to reach.
    """

    name: str
    title: str
    flags: tuple[str, ...]
    bar: float


ROWS = (
    Row("mnist", "LeNet-5, MNIST", ("--preset", "mnist"), 0.992),
    Row("cifar_float32", "ResNet-20, CIFAR-10 JPEG", ("--preset", "cifar"), 0.82),
    Row(
        "cifar_bfloat16",
        "ResNet-20, CIFAR-10 JPEG, bfloat16",
        ("--preset", "cifar", "--precision", "bfloat16"),
        0.82,
    ),
)


def measure(row: Row) -> dict:
    """Train and evaluate one row -> what the table says of it."""
    folder = tables.RESULTS / row.name
    trained = watching.train_and_evaluate("classify.py", row.flags, folder, ["test"])
    metrics = trained.pop("measured")["test"]
    config = json.loads((folder / "config.json").read_text())
    steps = len((folder / "steps.csv").read_text().splitlines()) - 1
    images = steps * config["data"]["batch_size"]
    return {
        "title": row.title,
        "command": f"apps/classify.py train {' '.join(row.flags)}",
        "bar": row.bar,
        "accuracy": metrics["accuracy"],
        "interval": metrics["accuracy_interval"],
        "num_examples": metrics["num_examples"],
        "images_per_second": images / trained["seconds"],
        **trained,
    }


def table(results: list[dict]) -> list[str]:
    """Write the results as a Markdown table, with the machine they came from."""
    lines = [
        f"Machine: {tables.machine()}. Test accuracy of the best weights on "
        "validation, with its 95 % bootstrap interval.",
        "",
        "| what | command | test accuracy | bar | minutes | epochs | images/s | peak "
        "memory | growth after epoch 1 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results:
        low, high = row["interval"]
        lines.append(
            f"| {row['title']} | `{row['command']}` | {row['accuracy']:.2%} "
            f"[{low:.2%}, {high:.2%}] of {row['num_examples']} | {row['bar']:.1%} | "
            f"{row['seconds'] / 60:.1f} | {row['epochs']} | "
            f"{row['images_per_second']:.0f} | {row['peak_megabytes']:.0f} MB | "
            f"{row['memory_growth']:+.1%} |"
        )
    return lines


def main(names: list[str]) -> None:
    """Measure the named rows, or all, and put all known ones into the table."""
    tables.RESULTS.mkdir(parents=True, exist_ok=True)
    for row in ROWS:
        if not names or row.name in names:
            result = measure(row)
            (tables.RESULTS / f"{row.name}.json").write_text(
                json.dumps(result, indent=2)
            )
    known = [tables.RESULTS / f"{row.name}.json" for row in ROWS]
    results = [json.loads(path.read_text()) for path in known if path.exists()]
    tables.write("classification", table(results))


if __name__ == "__main__":
    main(sys.argv[1:])
