"""Gathers what a classifier says of a split, and measures and draws it."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import PIL.Image
import PIL.ImageOps
import tensorflow as tf

from tfdl import drawing
from tfdl.data import scan
from tfdl.tasks.classification import curves, metrics, pictures, postprocess

_SHOWN = 32  # pictures
_EMBEDDED = 1000  # pictures
_THUMBNAIL = 48  # pixels
_SEED = 0  # of the bootstrap


@dataclasses.dataclass(frozen=True)
class Collected:
    """A classifier's answers for a split, and some of its pictures.

    Attributes:
        probabilities: float32 (examples, classes).
        targets: float32 (examples, classes), one-hot or multi-hot.
        multi_label: whether classes do not exclude one another.
        shown: int (shown,), numbers of some examples from the whole of the split.
        images: float32 (shown, size, size, channels) in [0, 1], theirs.
        worst: int (worst,), numbers of the examples of the highest loss, that first.
        worst_images: float32 (worst, size, size, channels) in [0, 1], theirs.
        embedded: int (embedded,), numbers of more examples from the whole of the split.
        thumbnails: uint8 (embedded, 48, 48, 3), theirs.
        features: float32 (embedded, features), theirs; the three are empty where the
            model was not asked for features.
    """

    probabilities: np.ndarray
    targets: np.ndarray
    multi_label: bool
    shown: np.ndarray
    images: np.ndarray
    worst: np.ndarray
    worst_images: np.ndarray
    embedded: np.ndarray
    thumbnails: np.ndarray
    features: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Targets as the metrics take them: int (examples,), or multi-hot."""
        return _labels(self.targets, self.multi_label)


def collect(
    outputs: Iterable[tuple], num_examples: int, *, multi_label: bool
) -> Collected:
    """Gather batches; of the pictures, only those that are shown stay in memory.

    Args:
        outputs: pairs of logits, float32 (batch, classes), or of (logits, features,
            float32 (batch, features)), and the batch, a dict of "image" and "classes".
        num_examples: examples in all batches.
        multi_label: as in `postprocess.postprocess`.
    """
    shown, embedded = (_spread(num_examples, count) for count in (_SHOWN, _EMBEDDED))
    gathered = {name: [] for name in ("probabilities", "targets", "images")}
    features, thumbnails, worst, first = [], [], None, 0
    for output, batch in outputs:
        logits, own_features = output if isinstance(output, tuple) else (output, None)
        images, targets = batch["image"], batch["classes"]
        probabilities = np.asarray(
            postprocess.postprocess(logits, multi_label=multi_label)
        )
        gathered["probabilities"].append(probabilities)
        gathered["targets"].append(targets)
        gathered["images"].append(images[_here(shown, first, len(images))])
        if own_features is not None:
            here = _here(embedded, first, len(images))
            features.append(own_features[here])
            thumbnails.append(drawing.thumbnails(images[here], side=_THUMBNAIL))
        losses = metrics.losses(
            probabilities, _labels(targets, multi_label), multi_label=multi_label
        )
        numbers = first + np.arange(len(images))
        worst = _worst(worst, (losses, numbers, images))
        first += len(images)
    return Collected(
        **{name: np.concatenate(parts) for name, parts in gathered.items()},
        multi_label=multi_label,
        shown=shown,
        worst=worst[1],
        worst_images=worst[2],
        embedded=embedded if features else embedded[:0],
        thumbnails=np.concatenate(thumbnails or [np.zeros((0, 1, 1, 3), np.uint8)]),
        features=np.concatenate(features or [np.zeros((0, 1), np.float32)]),
    )


def brief(collected: Collected) -> dict[str, float]:
    """Measure loss and accuracy alone, for the end of an epoch."""
    return metrics.brief(
        collected.probabilities, collected.labels, multi_label=collected.multi_label
    )


def error(collected: Collected) -> tuple[float, int]:
    """Measure the share of pictures with something wrong -> (share, of how many)."""
    return 1 - brief(collected)["accuracy"], len(collected.targets)


def glance(collected: Collected, class_names: Sequence[str]) -> dict[str, dict]:
    """Draw what shows soonest how a model does.

    Args:
        collected: the answers.
        class_names: one for each class.

    Returns:
        "samples", answers from the whole of the split and the worst mistakes, and
        "plots", the confusion matrix; name -> uint8 (height, width, 3) in each.
    """

    def drawn(images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return pictures.predictions(
            images,
            collected.probabilities[numbers],
            collected.targets[numbers],
            class_names,
            multi_label=collected.multi_label,
        )

    return {
        "samples": {
            "predictions": drawn(collected.images, collected.shown),
            "worst_mistakes": drawn(collected.worst_images, collected.worst),
        },
        "plots": pictures.confusion_matrices(
            collected.probabilities, collected.labels, class_names
        ),
    }


def report(collected: Collected, class_names: Sequence[str]) -> dict:
    """Measure everything and draw it.

    Args:
        collected: the answers.
        class_names: one for each class.

    Returns:
        "metrics", see `metrics.evaluate`; "per_class", the rows of a table; "samples"
        and "plots", name -> uint8 (height, width, 3); "confusions", see
        `curves.confusions`; and "embedding", features with a thumbnail and a row for
        each, empty where the model was not asked for features.
    """
    probabilities, labels = collected.probabilities, collected.labels
    options = {"class_names": class_names, "multi_label": collected.multi_label}
    return {
        "metrics": metrics.evaluate(probabilities, labels, seed=_SEED, **options),
        "per_class": metrics.per_class(probabilities, labels, **options),
        "samples": glance(collected, class_names)["samples"],
        "plots": pictures.charts(probabilities, labels, class_names),
        "confusions": curves.confusions(probabilities, labels, class_names=class_names),
        "embedding": {
            "features": collected.features,
            "thumbnails": collected.thumbnails,
            "rows": _rows(collected, class_names),
        },
    }


def predictions(
    paths: Sequence[pathlib.Path],
    answer: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    class_names: Sequence[str],
    *,
    on_bad_data: str,
) -> dict:
    """Answer for picture files, one at a time.

    Args:
        paths: pictures, and folders of them.
        answer: the function behind `serving_default`.
        class_names: one for each class.
        on_bad_data: "error" or "skip", for broken pictures.

    Returns:
        "rows" of a table, the file, its class and all probabilities; and "samples", the
        first pictures with their answers, name -> uint8 (height, width, 3).

    Raises:
        DataError: a path is missing, there is no picture, or one is broken.
    """
    files = scan.usable_files(paths, on_bad_data=on_bad_data)
    rows, titles = [], []
    for file in files:
        answered = answer(tf.constant([file.read_bytes()]))
        probabilities = answered["probabilities"][0].numpy()
        name = answered["class_name"][0].numpy().decode()
        row = {"file": str(file), "class": name}
        row |= dict(zip(class_names, map(float, probabilities), strict=True))
        rows.append(row)
        titles.append(f"{name} {probabilities.max():.2f}")
    images = [_upright(file) for file in files[:_SHOWN]]
    drawn = drawing.grid(images, titles=titles[:_SHOWN])
    return {"rows": rows, "samples": {"answers": drawn}}


def _upright(file: pathlib.Path) -> np.ndarray:
    with PIL.Image.open(file) as picture:
        return np.asarray(PIL.ImageOps.exif_transpose(picture).convert("RGB"))


def _labels(targets: np.ndarray, multi_label: bool) -> np.ndarray:
    return targets.astype(np.int64) if multi_label else targets.argmax(axis=-1)


def _spread(num_examples: int, count: int) -> np.ndarray:
    """Choose numbers from the whole of the examples."""
    return np.linspace(0, num_examples - 1, min(count, num_examples)).astype(int)


def _here(chosen: np.ndarray, first: int, count: int) -> np.ndarray:
    """Say which of the chosen numbers a batch holds, counted from its first."""
    return chosen[(first <= chosen) & (chosen < first + count)] - first


def _worst(before: tuple | None, batch: tuple) -> tuple:
    """Keep what has the highest losses of (losses, numbers, images) and a batch."""
    if before is not None:
        batch = tuple(map(np.concatenate, zip(before, batch, strict=True)))
    kept = np.argsort(-batch[0], kind="stable")[:_SHOWN]
    return tuple(values[kept] for values in batch)


def _rows(collected: Collected, class_names: Sequence[str]) -> list[dict]:
    """Say of each embedded picture what it is and what it was taken for."""
    rows = []
    for number in collected.embedded:
        row = collected.probabilities[number]
        classes = np.flatnonzero(collected.targets[number])
        rows.append(
            {
                "class": ", ".join(class_names[index] for index in classes) or "none",
                "answer": class_names[row.argmax()],
                "probability": f"{row.max():.3f}",
                "number": number,
            }
        )
    return rows
