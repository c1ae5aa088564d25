"""What is wrong with a data set of classes, before anything is trained on it?"""

import collections
import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tfdl.data.sources import source
from tfdl.findings import Finding
from tfdl.layers import receptive_field
from tfdl.tasks.classification import classifier, feeding, pictures

_FEW = 20  # examples of a class
_UNEVEN = 10.0  # largest class / smallest class
_SHOWN = 3


def lint(
    sources: Mapping[str, source.Source | source.Stream], *, image_size: int
) -> list[Finding]:
    """Look at the sizes of splits and classes, at repeated and at small pictures.

    That splits share no picture has been seen to when they were read.

    Args:
        sources: {"train", "validation", "test"}.
        image_size: height and width that pictures are resized to, in pixels.
    """
    sizes = ", ".join(f"{len(found)} {split}" for split, found in sources.items())
    sizes += f" pictures of {len(sources['train'].class_names)} classes"
    if isinstance(sources["train"], source.Stream):
        sizes += "; a stream, read as it comes: what is in it is not known before"
        return [_data("splits", "warn", sizes)]
    return [
        _data("splits", "pass", f"{sizes}; none is in two"),
        _classes(sources),
        _repeated(sources["train"]),
        _small(sources["train"], image_size=image_size),
    ]


def set_up(
    splits: feeding.Splits,
    objective: classifier.Objective,
    build: Callable[[int, keras.Optimizer], keras.Model],
    *,
    image_size: int,
) -> dict[str, Any]:
    """Say what is to be checked before training, and against what.

    Args:
        splits: of the data set.
        objective: of the training.
        build: (number of classes, optimizer) -> compiled model.
        image_size: height and width of what the model takes, in pixels.

    Returns:
        The arguments of `tfdl.training.diagnostics.SetUp`.
    """
    names = splits.class_names
    return {
        "feed": splits.training,
        "held_out": splits.held_out,
        "build": functools.partial(build, len(names)),
        "found": lint(splits.sources, image_size=image_size),
        "pictures": {"train_batch": pictures.batch(*splits.first_batch(), names)},
        "start_losses": lambda batch: {"loss": objective.start_loss(len(names))},
        "least_loss": objective.least_loss,
        "describe": lambda model: [sight(model, object_size=image_size)],
    }


def sight(model: keras.Model, *, object_size: int) -> Finding:
    """Compare what a value of the last feature map sees with the size of objects.

    Args:
        model: a classifier of pictures.
        object_size: in pixels of the model's input.
    """
    field = receptive_field.of_last_map(model)
    size = min(field.size)
    reason = f"{size:.0f} pixels in {field.layer}, objects have {object_size}"
    if size >= object_size:
        return Finding("receptive field", "pass", reason)
    if any(isinstance(layer, keras.layers.Flatten) for layer in model.layers):
        return Finding("receptive field", "pass", f"{reason}; dense layers join them")
    return Finding(
        "receptive field",
        "warn",
        f"{reason}: no value sees a whole object; a deeper model or smaller "
        "--image-size would",
    )


def _classes(sources) -> Finding:
    """Count examples of each class, in each split."""
    names = sources["train"].class_names
    counts = {
        split: _counts(found.labels, len(names)) for split, found in sources.items()
    }
    for split, numbers in counts.items():
        missing = [
            name for name, count in zip(names, numbers, strict=True) if not count
        ]
        if missing:
            reason = f"{split} has no picture of {_listed(missing)}"
            return _data("classes", "fail" if split == "train" else "warn", reason)
    train = counts["train"]
    fewest, most = int(train.argmin()), int(train.argmax())
    reason = (
        f"from {train[fewest]} of {names[fewest]} to {train[most]} of {names[most]} in "
        "train"
    )
    if train[most] > _UNEVEN * train[fewest]:
        return _data("classes", "warn", f"{reason}: try --sampling balanced")
    if train[fewest] < _FEW:
        return _data("classes", "warn", f"{reason}: few to learn a class from")
    return _data("classes", "pass", reason)


def _repeated(train: source.Source) -> Finding:
    """Count pictures that occur several times in train, and those with two labels."""
    numbers = collections.defaultdict(list)
    for number, digest in enumerate(train.digests):
        numbers[digest].append(number)
    groups = [group for group in numbers.values() if len(group) > 1]
    torn = [g for g in groups if len(np.unique(train.labels[g], axis=0)) > 1]
    if torn:
        first = _listed([train.names[number] for number in torn[0]])
        reason = f"{len(torn)} pictures have two labels: {first} are the same"
        return _data("labels", "warn", reason)
    repeated = sum(len(group) - 1 for group in groups)
    if repeated:
        first = _listed([train.names[number] for number in groups[0]])
        reason = f"{repeated} pictures of train repeat others: {first} are the same"
        return _data("labels", "warn", reason)
    return _data("labels", "pass", "no picture occurs twice in train")


def _small(train: source.Source, *, image_size: int) -> Finding:
    """Count pictures that have fewer pixels than the model takes, grey or in colour."""
    is_small = train.pixels < image_size * image_size
    if not is_small.any():
        return _data(
            "sizes", "pass", f"every picture has {image_size}^2 pixels or more"
        )
    first = train.names[int(is_small.argmax())]
    return _data(
        "sizes",
        "warn",
        f"{is_small.sum()} pictures have fewer pixels than --image-size {image_size}, "
        f"such as {first}",
    )


def _counts(labels: np.ndarray, num_classes: int) -> np.ndarray:
    if labels.ndim == 2:
        return labels.sum(axis=0)
    return np.bincount(labels, minlength=num_classes)


def _data(name: str, verdict: str, reason: str) -> Finding:
    return Finding(name, verdict, reason, is_about_data=True)


def _listed(names) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
