"""Exports trained runs in every format and writes down what each is worth.

    python benchmarks/formats.py --run runs/benchmarks/mnist --run FOLDER

Each export is one `apps/classify.py export` in a process of its own, which measures the
test split itself: accuracy is of the file, Keras's that of the network in memory.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import tables

APP = tables.ROOT / "apps" / "classify.py"
EXPORTS = tables.RESULTS / "exports"

# title, file below the folder of the model, flags
FORMATS = (
    ("SavedModel", "", ()),
    ("SavedModel, bfloat16", "", ("--precision", "bfloat16")),
    ("TFLite", "{}.tflite", ("--format", "tflite")),
    (
        "TFLite, float16",
        "{}-float16.tflite",
        ("--format", "tflite", "--quantization", "float16"),
    ),
    (
        "TFLite, int8",
        "{}-int8.tflite",
        ("--format", "tflite", "--quantization", "int8"),
    ),
    ("ONNX", "{}.onnx", ("--format", "onnx")),
)


def export(run: pathlib.Path, file: str, flags: tuple[str, ...]) -> dict:
    """Export a run in one format -> its report, with its size."""
    command = [sys.executable, APP, "export", "--run", run, "--base", EXPORTS, *flags]
    subprocess.run([str(part) for part in command], check=True)
    folder = EXPORTS / run.resolve().name
    if file:
        written = folder / f"{file.format(folder.name)}.json"
        return json.loads(written.read_text())
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    version = folder / str(max(numbers))
    report = json.loads((version / "assets.extra" / "parity.json").read_text())
    outputs = report["signatures"]["serve_tensor"]["outputs"]
    files = [path for path in version.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files if "extra" not in str(path.parent))
    return report | {"outputs": outputs, "bytes": size}


def rows(run: pathlib.Path) -> list[str]:
    """Export a run in every format -> rows of the table."""
    lines = []
    for title, file, flags in FORMATS:
        report = export(run, file, flags)
        metrics = report["metrics"]
        if not lines:
            keras_file = run / "best.weights.h5"
            cells = [run.name, "Keras, in memory", metrics["in_memory"]["accuracy"]]
            lines.append(_row(*cells, keras_file.stat().st_size, None))
        parity = report["outputs"]["probabilities"]["max_abs_difference"]
        accuracy = metrics["served"]["accuracy"]
        lines.append(_row(run.name, title, accuracy, report["bytes"], parity))
        print(lines[-1], flush=True)
    return lines


def _row(name: str, title: str, accuracy: float, size: int, parity) -> str:
    parity = "" if parity is None else f"{parity:.1e}"
    return f"| {name} | {title} | {accuracy:.2%} | {size / 1e6:.2f} MB | {parity} |"


def main() -> None:
    """Export the runs and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=pathlib.Path, action="append", required=True)
    parser.add_argument("--dry", action="store_true", help="print, write nothing")
    arguments = parser.parse_args()
    lines = [
        f"Machine: {tables.machine()}. Parity is the largest difference of a "
        "probability from the network in memory, on 8 test pictures.",
        "",
        "| run | format | test accuracy | size | parity |",
        "|---|---|---|---|---|",
    ]
    for run in arguments.run:
        lines += rows(run)
    if not arguments.dry:
        tables.write("formats", lines)


if __name__ == "__main__":
    main()
