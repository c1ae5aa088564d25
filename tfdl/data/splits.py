"""Keeps train, validation and test apart, and finds pictures that are in two."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from tfdl import errors
from tfdl.data.sources import source

# From what may lose a picture to what counts most.
ORDER = ("train", "train_dev", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Leak:
    """One picture that is in two splits.

    Attributes:
        splits: the two splits.
        names: what the picture is called in each.
    """

    splits: tuple[str, str]
    names: tuple[str, str]

    def __str__(self) -> str:
        return (
            f"{self.names[0]} of {self.splits[0]} is {self.names[1]} of "
            f"{self.splits[1]}"
        )


def complete(
    sources: dict[str, source.Source],
    *,
    validation_fraction: float,
    test_fraction: float,
    train_dev_fraction: float = 0.0,
) -> dict[str, source.Source]:
    """Hold out of train what the data set does not bring.

    Examples are held out class by class in the order of the digests of their pixels:
    the choice needs no seed, survives added files, and equal pictures stay together.

    Args:
        sources: {"train": Source} and perhaps "validation" and "test".
        validation_fraction: share of train to hold out where validation is missing.
        test_fraction: the same of test.
        train_dev_fraction: share of what is then left of train that is not trained on,
            to be told apart from validation where that comes from elsewhere; 0 is none.

    Returns:
        {"train", "validation", "test"}, and "train_dev" after train if it is wanted.

    Raises:
        DataError: a class has too few examples to hold any out.
    """
    sources = dict(sources)
    fractions = {"test": test_fraction, "validation": validation_fraction}
    if train_dev_fraction:
        fractions["train_dev"] = train_dev_fraction
    for split, fraction in fractions.items():
        if split not in sources:
            train, held_out = hold_out(sources["train"], fraction=fraction)
            sources |= {"train": train, split: held_out}
    return {split: sources[split] for split in ORDER if split in sources}


def hold_out(
    train: source.Source, *, fraction: float
) -> tuple[source.Source, source.Source]:
    """Split a share of every class off.

    Args:
        train: the examples.
        fraction: share of each class, in (0, 1).

    Returns:
        (what remains, what is held out), each in the original order.

    Raises:
        DataError: nothing would be held out, or nothing would remain.
    """
    groups = _classes(train.labels)
    held_out = np.zeros(len(train), bool)
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        members = members[np.argsort(train.digests[members], kind="stable")]
        count = min(round(fraction * len(members)), len(members) - 1)
        digests = train.digests[members]
        while count and digests[count] == digests[count - 1]:
            count -= 1  # equal pictures stay on one side, all of a class in train
        held_out[members[:count]] = True
    if held_out.all() or not held_out.any():
        raise errors.DataError(
            f"{len(train)} pictures are too few to hold {fraction:.0%} of them out",
            "add pictures, or lay validation and test out as folders",
        )
    return train.take(np.flatnonzero(~held_out)), train.take(np.flatnonzero(held_out))


def leaks(sources: dict[str, source.Source]) -> list[Leak]:
    """List the pictures that are, pixel by pixel the same, in two splits."""
    return [
        leak
        for first, second in itertools.combinations(sources, 2)
        for leak in _shared(sources[first], sources[second], splits=(first, second))
    ]


def apart(
    sources: dict[str, source.Source], *, on_bad_data: str, warn: Callable[[str], None]
) -> dict[str, source.Source]:
    """Make sure that no picture is in two splits.

    Args:
        sources: {"train", "validation", "test"}, perhaps "train_dev", in that `ORDER`.
        on_bad_data: "error" refuses leaks; "skip" keeps a picture in test rather than
            in validation, and in validation rather than in train.
        warn: takes one line that says how many were taken out.

    Raises:
        DataError: there are leaks and `on_bad_data` is "error", or nothing would remain
            of a split.
    """
    found = leaks(sources)
    if not found:
        return sources
    message = f"{len(found)} pictures are in two splits: {found[0]}"
    if on_bad_data == "error":
        raise errors.DataError(
            message, "remove them, or keep each in one split: --on-bad-data skip"
        )
    warn(f"{message}; each was kept in one")
    for first, second in itertools.combinations(sources, 2):
        leaked = np.isin(sources[first].digests, sources[second].digests)
        if leaked.all():
            raise errors.DataError(
                f"every picture of {first} is in {second} as well", f"replace {first}"
            )
        sources = sources | {first: sources[first].take(np.flatnonzero(~leaked))}
    return sources


def refuse_other_classes(names: Sequence[str], expected: Sequence[str] | None) -> None:
    """Refuse data whose classes are no longer those that a run was trained on.

    Args:
        names: of the classes of the data.
        expected: those of the run, or None where there is none yet.

    Raises:
        DataError: a name differs, or their order.
    """
    if expected is None or tuple(names) == tuple(expected):
        return
    pairs = itertools.zip_longest(names, expected, fillvalue="none")
    number, (name, other) = next((n, p) for n, p in enumerate(pairs) if p[0] != p[1])
    raise errors.DataError(
        f"the data are not of the run's classes: class {number} is {name} and was "
        f"{other} in training",
        "name data of the same classes, or train a new --run on these",
    )


def _shared(first: source.Source, second: source.Source, *, splits) -> list[Leak]:
    numbers = {digest: number for number, digest in enumerate(first.digests)}
    return [
        Leak(splits, (first.names[numbers[digest]], second.names[number]))
        for number, digest in enumerate(second.digests)
        if digest in numbers
    ]


def _classes(labels: np.ndarray) -> np.ndarray:
    """One group for each class, or one for all where examples have several."""
    return labels if labels.ndim == 1 else np.zeros(len(labels), np.int32)
