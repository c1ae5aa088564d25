"""Writes what was measured and drawn into a run's folder, and shows it in TensorBoard.

What a task measures and draws comes as plain arguments: no task is known here.
Pictures are uint8 (height, width, 3) by name; `samples` are pictures of the data and
`plots` are charts.
"""

import csv
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfdl import drawing
from tfdl.training import bias_variance, events, flags, run_folder, verbs

Pictures = Mapping[str, np.ndarray]


def evaluate(
    options: verbs.Evaluate,
    splits: Iterable[str],
    *,
    collect: Callable[[str], Any],
    report: Callable[[Any], dict],
    error: Callable[[Any], tuple[float, int]],
) -> list[str]:
    """Run the verb `evaluate`: measure a split and, if asked, compare all of them.

    Args:
        options: of the verb.
        splits: names of those there are.
        collect: split -> the model's answers for it.
        report: answers -> the other arguments of `write`.
        error: answers -> (share of wrong ones, number of examples).

    Returns:
        Lines for people.

    Raises:
        UsageError: there is no such split.
    """
    flags.choose("--split", options.split, splits)
    found = report(collect(options.split))
    write(options.run, split=options.split, **found)
    lines = [f"{name} {value}" for name, value in found["metrics"].items()]
    if options.human_error is not None:
        measured = {split: error(collect(split)) for split in splits}
        lines += compare(options.run, options.human_error, measured)
    return [*lines, f"written to {(options.run / 'eval').resolve()}"]


def write(
    folder: pathlib.Path,
    *,
    split: str,
    metrics: Mapping[str, float | list],
    per_class: Sequence[Mapping],
    samples: Pictures,
    plots: Pictures,
    confusions: Mapping[str, np.ndarray],
    embedding: Mapping,
) -> None:
    """Write the evaluation of a split.

    Args:
        folder: of the run; eval/metrics.json, eval/per_class.csv, samples/ and plots/
            are written, with the split in the name where it is not test, and
            events/<split>.
        split: which examples were measured.
        metrics: flat; an interval is a list.
        per_class: rows of a table, with the same columns.
        samples: pictures of the split.
        plots: charts.
        confusions: class -> int (4, thresholds), see `events.pr_curve`.
        embedding: arguments of `events.embedding`; there may be no features.
    """
    suffix = _suffix(split)
    (folder / "eval").mkdir(exist_ok=True)
    run_folder.write_json(folder / "eval" / f"metrics{suffix}.json", metrics)
    _write_table(folder / "eval" / f"per_class{suffix}.csv", per_class)
    config = run_folder.flat(run_folder.read_config(folder)) | {"split": split}
    numbers = {
        f"eval/{name}": number
        for name, number in metrics.items()
        if not isinstance(number, list)
    }
    extra = [
        *(events.scalar(tag, number) for tag, number in numbers.items()),
        *(events.pr_curve(name, counted) for name, counted in confusions.items()),
        *events.settings(config, name=f"{folder.resolve().name}/{split}"),
    ]
    show(folder, split=split, samples=samples, plots=plots, extra=extra)
    if embedding["features"].size:
        events.embedding(folder / "events" / split, **embedding)


def show(
    folder: pathlib.Path,
    *,
    split: str,
    samples: Pictures,
    plots: Pictures,
    extra: Sequence = (),
) -> None:
    """Write pictures of a split, in place of those of an earlier call.

    Args:
        folder: of the run; samples/ and plots/ are written, with the split in the name
            where it is not test, and events/<split>.
        split: which examples they show.
        samples: pictures of the split.
        plots: charts.
        extra: other summaries for TensorBoard.
    """
    for kind, drawn in (("samples", samples), ("plots", plots)):
        named = {name + _suffix(split): picture for name, picture in drawn.items()}
        drawing.save(folder / kind, named)
    summaries = [*_summaries("samples", samples), *_summaries("plots", plots), *extra]
    _send(folder, split, summaries)


def begin(folder: pathlib.Path, **samples: np.ndarray) -> None:
    """Write what a training begins with.

    Args:
        folder: of the run; samples/ is written, and events/train.
        **samples: pictures, such as a batch as the model is fed with it.
    """
    drawing.save(folder / "samples", samples)
    summaries = _summaries("samples", samples)
    events.write(folder / "events" / "train", summaries, step=0, name="begin")


def finish(folder: pathlib.Path, *, samples: Pictures, plots: Pictures) -> None:
    """Write what a training ends with: its curves, and pictures of validation.

    Args:
        folder: of the run; plots/ gets each metric of metrics.csv, train beside
            validation.
        samples: as in `show`.
        plots: as in `show`.
    """
    _draw_curves(folder)
    show(folder, split="validation", samples=samples, plots=plots)


def _draw_curves(folder: pathlib.Path) -> None:
    """Draw each metric of training, of validation, or of both."""
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row.pop("epoch")) for row in rows]
    names = dict.fromkeys(name.removeprefix("val_") for name in rows[0])
    drawn = {}
    for name in names:
        columns = {"train": name, "validation": f"val_{name}"}
        series = {
            label: (epochs, [float(row[column]) for row in rows])
            for label, column in columns.items()
            if column in rows[0]
        }
        title = f"{name} during training"
        drawn[name] = drawing.curves(
            series, title=title, x_label="epoch", y_label=_with_unit(name)
        )
    drawing.save(folder / "plots", drawn)


def predictions(
    folder: pathlib.Path, *, rows: Sequence[Mapping], samples: Pictures
) -> str:
    """Write one answer to each of a user's own pictures.

    Args:
        folder: of the run; predictions.csv and samples/ are written.
        rows: one for each picture, with the same columns.
        samples: pictures with their answers.

    Returns:
        A line for people.
    """
    _answers(folder, samples)
    return _answered(folder, rows)


def objects_found(
    folder: pathlib.Path, *, rows: Sequence[Mapping], samples: Pictures
) -> str:
    """Write what was found in a user's own pictures, in COCO's form.

    Args:
        folder: of the run; predictions.json and samples/ are written.
        rows: one for each object.
        samples: pictures with their objects.

    Returns:
        A line for people.
    """
    path = folder / "predictions.json"
    run_folder.write_json(path, list(rows))
    _answers(folder, samples)
    place = (folder / "samples").resolve()
    return (
        f"{len(rows)} objects found, see {path.resolve()}; {len(samples)} pictures are "
        f"drawn in {place}"
    )


def maps_found(folder: pathlib.Path, found: Iterable[Mapping]) -> str:
    """Write a label map for each of a user's own pictures, as soon as it is there.

    Args:
        folder: of the run; predictions.csv, predictions/ and samples/ are written, in
            place of those of an earlier call.
        found: of each picture "row", with the same columns; "label_maps", name -> uint8
            (height, width), classes; and "samples", the picture with its map.

    Returns:
        A line for people.
    """
    _clear(folder / "predictions", "classes")
    _clear(folder / "samples", "answer", "colours")
    rows = []
    for answered in found:
        drawing.save(folder / "predictions", answered["label_maps"])
        drawing.save(folder / "samples", answered["samples"])
        rows.append(answered["row"])
    return _answered(folder, rows)


def compare(
    folder: pathlib.Path,
    human_error: float,
    measured: Mapping[str, tuple[float, float]],
) -> list[str]:
    """Say where the errors of all splits come from.

    Args:
        folder: of the run; eval/bias_variance.json and plots/bias_variance.png are
            written, and events/splits.
        human_error: as in `bias_variance.read`.
        measured: likewise.

    Returns:
        Lines for people.
    """
    reading = bias_variance.read(human_error, measured)
    (folder / "eval").mkdir(exist_ok=True)
    content = dataclasses.asdict(reading)
    run_folder.write_json(folder / "eval" / "bias_variance.json", content)
    drawn = {"bias_variance": bias_variance.chart(reading)}
    drawing.save(folder / "plots", drawn)
    _send(folder, "splits", _summaries("plots", drawn))
    return bias_variance.describe(reading)


def _suffix(split: str) -> str:
    return "" if split == "test" else f"_{split}"


def _summaries(kind: str, drawn: Pictures) -> list:
    return [
        events.picture(f"{kind}/{name}", picture) for name, picture in drawn.items()
    ]


def _send(folder: pathlib.Path, kind: str, summaries: Sequence) -> None:
    """Show summaries in TensorBoard at the last step of the run."""
    steps = folder / "steps.csv"
    done = len(steps.read_text().splitlines()) - 1 if steps.exists() else 0
    events.write(folder / "events" / kind, summaries, step=done, name="evaluation")


def _with_unit(name: str) -> str:
    return {"loss": "loss (nats)", "accuracy": "accuracy (share)"}.get(name, name)


def _write_table(path: pathlib.Path, rows: Sequence[Mapping]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({n: _harmless(v) for n, v in row.items()} for row in rows)


def _harmless(value):
    """Mark a text that a spreadsheet would take for a formula as text."""
    is_formula = isinstance(value, str) and value.startswith(("=", "+", "-", "@"))
    return f"'{value}" if is_formula else value


def _answers(folder: pathlib.Path, samples: Pictures) -> None:
    """Draw answers in place of those of an earlier call."""
    _clear(folder / "samples", "answer")
    drawing.save(folder / "samples", samples)


def _clear(folder: pathlib.Path, *kinds: str) -> None:
    for kind in kinds:
        for old in folder.glob(f"{kind}_*.png"):
            old.unlink()


def _answered(folder: pathlib.Path, rows: Sequence[Mapping]) -> str:
    path = folder / "predictions.csv"
    _write_table(path, rows)
    return f"{len(rows)} pictures answered, see {path.resolve()}"
