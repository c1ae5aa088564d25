"""Gathers what a classifier says of a split, and writes it down."""

import csv
import dataclasses
import json
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import PIL.Image
import tensorflow as tf

from tfdl import drawing
from tfdl.tasks.classification import metrics, pictures, postprocess

_SHOWN = 32  # pictures
_SEED = 0  # of the bootstrap


@dataclasses.dataclass(frozen=True)
class Collected:
    """A classifier's answers for a split.

    Attributes:
        shown: int (shown,), numbers of some examples from the whole of the split.
        images: float32 (shown, size, size, channels) in [0, 1], theirs.
        probabilities: float32 (examples, classes).
        targets: float32 (examples, classes), one-hot or multi-hot.
        multi_label: whether classes do not exclude one another.
    """

    shown: np.ndarray
    images: np.ndarray
    probabilities: np.ndarray
    targets: np.ndarray
    multi_label: bool

    @property
    def labels(self) -> np.ndarray:
        """Targets as the metrics take them: int (examples,), or multi-hot."""
        if self.multi_label:
            return self.targets.astype(np.int64)
        return self.targets.argmax(axis=-1)


def collect(
    outputs: Iterable[tuple], num_examples: int, *, multi_label: bool
) -> Collected:
    """Gather batches.

    Args:
        outputs: pairs of logits, float32 (batch, classes), and the batch, a dict of
            "image" and "classes".
        num_examples: examples in all batches.
        multi_label: as in `postprocess.postprocess`.
    """
    shown = np.linspace(0, num_examples - 1, min(_SHOWN, num_examples)).astype(int)
    images, logits, targets, first = [], [], [], 0
    for output, batch in outputs:
        logits.append(output)
        targets.append(batch["classes"])
        last = first + len(output)
        here = shown[(first <= shown) & (shown < last)] - first
        images.append(batch["image"][here])
        first = last
    probabilities = postprocess.postprocess(
        np.concatenate(logits), multi_label=multi_label
    )
    return Collected(
        shown=shown,
        images=np.concatenate(images),
        probabilities=np.asarray(probabilities),
        targets=np.concatenate(targets),
        multi_label=multi_label,
    )


def brief(collected: Collected) -> dict[str, float]:
    """Measure loss and accuracy alone, for the end of an epoch."""
    return metrics.brief(
        collected.probabilities, collected.labels, multi_label=collected.multi_label
    )


def report(
    folder: pathlib.Path,
    collected: Collected,
    class_names: Sequence[str],
    *,
    split: str,
) -> dict:
    """Measure everything and write it into the run's folder.

    Args:
        folder: of the run; eval/metrics.json, eval/per_class.csv, plots/ and samples/
            are written, with the split in the name where it is not test.
        collected: the answers.
        class_names: one for each class.
        split: which pictures these are.

    Returns:
        The content of metrics.json.
    """
    suffix = "" if split == "test" else f"_{split}"
    probabilities, labels = collected.probabilities, collected.labels
    options = {"class_names": class_names, "multi_label": collected.multi_label}
    measured = metrics.evaluate(probabilities, labels, seed=_SEED, **options)
    (folder / "eval").mkdir(exist_ok=True)
    path = folder / "eval" / f"metrics{suffix}.json"
    path.write_text(json.dumps(measured, indent=2) + "\n")
    rows = metrics.per_class(probabilities, labels, **options)
    _write_csv(folder / "eval" / f"per_class{suffix}.csv", rows)
    drawn = pictures.evaluation(probabilities, labels, class_names)
    drawn = {f"{name}{suffix}": picture for name, picture in drawn.items()}
    pictures.save(folder / "plots", drawn)
    chosen = collected.shown
    shown = pictures.predictions(
        collected.images, probabilities[chosen], collected.targets[chosen], class_names
    )
    pictures.save(folder / "samples", {f"predictions{suffix}": shown})
    return measured


def write_predictions(
    folder: pathlib.Path,
    files: Sequence[pathlib.Path],
    answer: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    class_names: Sequence[str],
) -> pathlib.Path:
    """Answer for picture files, one at a time, and write predictions.csv.

    Args:
        folder: of the run; predictions.csv and samples/answers.png are written.
        files: pictures.
        answer: the function behind `serving_default`.
        class_names: one for each class.

    Returns:
        The path of predictions.csv.
    """
    rows, shown = [], []
    for file in files:
        answered = answer(tf.constant([file.read_bytes()]))
        probabilities = answered["probabilities"][0].numpy()
        name = answered["class_name"][0].numpy().decode()
        row = {"file": str(file), "class": name}
        row |= dict(zip(class_names, map(float, probabilities), strict=True))
        rows.append(row)
        if len(shown) < _SHOWN:
            shown.append((file, f"{name} {probabilities.max():.2f}"))
    path = folder / "predictions.csv"
    _write_csv(path, rows)
    files, titles = zip(*shown, strict=True)
    images = [np.asarray(PIL.Image.open(file).convert("RGB")) for file in files]
    pictures.save(folder / "samples", {"answers": drawing.grid(images, titles=titles)})
    return path


def _write_csv(path: pathlib.Path, rows: Sequence[dict]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
