"""What a person looks at: batches, predictions, confusion and curves, as pictures."""

import csv
import pathlib
from collections.abc import Sequence

import numpy as np
import PIL.Image

from tfdl import drawing
from tfdl.tasks.classification import metrics

_SHOWN = 32


def batch(images: np.ndarray, targets: np.ndarray, class_names: Sequence[str]):
    """Draw the first pictures of a batch with their targets.

    Args:
        images: float32 (batch, height, width, channels) in [0, 1].
        targets: float32 (batch, classes), distributions or multi-hot.
        class_names: one for each class.

    Returns:
        uint8 (height, width, 3).
    """
    titles = [_target(row, class_names) for row in targets[:_SHOWN]]
    return drawing.grid(images[:_SHOWN], titles=titles)


def predictions(
    images: np.ndarray,
    probabilities: np.ndarray,
    targets: np.ndarray,
    class_names: Sequence[str],
) -> np.ndarray:
    """Draw pictures with their most probable class and, where it is wrong, the truth.

    Args:
        images: float32 (batch, height, width, channels) in [0, 1].
        probabilities: float32 (batch, classes).
        targets: float32 (batch, classes).
        class_names: one for each class.

    Returns:
        uint8 (height, width, 3).
    """
    titles, colours = [], []
    rows = zip(probabilities[:_SHOWN], targets[:_SHOWN], strict=True)
    for row, target in rows:
        guess = int(row.argmax())
        is_right = target[guess] > 0
        truth = "" if is_right else f", is {_target(target, class_names)}"
        titles.append(f"{class_names[guess]} {row[guess]:.2f}{truth}")
        colours.append("green" if is_right else "red")
    return drawing.grid(images[:_SHOWN], titles=titles, title_colours=colours)


def training(folder: pathlib.Path, batch_drawn: tuple, class_names: Sequence[str]):
    """Draw a training batch and the curves of a run into its folder.

    Args:
        folder: of the run; its metrics.csv is read.
        batch_drawn: images and targets, as in `batch`, or tensors of them.
        class_names: one for each class.
    """
    images, targets = (np.asarray(values) for values in batch_drawn)
    save(folder / "samples", {"train_batch": batch(images, targets, class_names)})
    save(folder / "plots", training_curves(folder / "metrics.csv"))


def training_curves(metrics_path: pathlib.Path) -> dict[str, np.ndarray]:
    """Draw loss and accuracy of a run's metrics.csv, train beside validation.

    Returns:
        {"loss": uint8 (height, width, 3), "accuracy": ...}.
    """
    with open(metrics_path, newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    drawn = {}
    for name in ("loss", "accuracy"):
        series = {
            label: (epochs, [float(row[key]) for row in rows])
            for label, key in (("train", name), ("validation", f"val_{name}"))
        }
        drawn[name] = drawing.curves(
            series, title=f"{name} during training", x_label="epoch", y_label=name
        )
    return drawn


def evaluation(
    probabilities: np.ndarray, targets: np.ndarray, class_names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Draw the ROC curves and, for exclusive classes, the confusion matrix.

    Args:
        probabilities: float32 (examples, classes).
        targets: int (examples,), or (examples, classes) multi-hot.
        class_names: one for each class.
    """
    drawn = {
        "roc": drawing.roc_curves(
            metrics.roc_curves(probabilities, targets, class_names=class_names)
        )
    }
    if targets.ndim == 1:
        matrix = metrics.confusion_matrix(probabilities, targets)
        drawn["confusion_matrix"] = drawing.confusion_matrix(matrix, class_names)
    return drawn


def save(folder: pathlib.Path, drawn: dict[str, np.ndarray]) -> None:
    """Write pictures as `<folder>/<name>.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in drawn.items():
        PIL.Image.fromarray(picture).save(folder / f"{name}.png")


def _target(row: np.ndarray, class_names: Sequence[str]) -> str:
    """Name the classes of a target, with shares where it is a mixture."""
    chosen = np.flatnonzero(row > 0)
    is_mixture = len(chosen) > 1 and np.isclose(row.sum(), 1)
    return ", ".join(
        f"{class_names[index]} {row[index]:.2f}" if is_mixture else class_names[index]
        for index in chosen
    )
