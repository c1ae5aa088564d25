"""Are probabilities, targets and names what metrics take? And each class by itself."""

from collections.abc import Iterator, Sequence

import numpy as np

from tfdl import errors

_ROUNDING = 1e-2  # a softmax in low precision may exceed 1


def answers(
    probabilities: np.ndarray, targets: np.ndarray, *, multi_label: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Check answers against their targets.

    Args:
        probabilities: float (examples, classes) in [0, 1].
        targets: int (examples,), or multi-hot (examples, classes).
        multi_label: which of the two forms targets have.

    Returns:
        Both as arrays, targets as int64.

    Raises:
        DataError: no examples.
        DivergedError: a probability is not finite.
        UsageError: logits in place of probabilities, or targets of another form.
    """
    probabilities = np.asarray(probabilities)
    targets = np.asarray(targets, np.int64)
    _check_shapes(probabilities, targets, multi_label=multi_label)
    num_broken = np.sum(~np.isfinite(probabilities).all(axis=1))
    if num_broken:
        raise errors.DivergedError(
            f"The probabilities of {num_broken} of {len(targets)} pictures are not "
            "finite.",
            "Evaluate an earlier checkpoint, or train with a lower learning rate.",
        )
    if probabilities.min() < 0 or probabilities.max() > 1 + _ROUNDING:
        raise errors.UsageError(
            "`probabilities` must lie in [0, 1]. Received "
            f"{probabilities.min():.4g} to {probabilities.max():.4g}.",
            "Turn logits into probabilities by `postprocess`.",
        )
    highest = 1 if multi_label else probabilities.shape[1] - 1
    if targets.min() < 0 or targets.max() > highest:
        raise errors.UsageError(
            f"`targets` must lie in [0, {highest}]. Received {targets.min()} to "
            f"{targets.max()}.",
            "Leave out padding, and check that data and model have the same classes.",
        )
    return probabilities, targets


def names(class_names: Sequence[str], probabilities: np.ndarray) -> None:
    """Check that each class has a name.

    Raises:
        UsageError: there is another number of names than of classes.
    """
    num_classes = probabilities.shape[1]
    if len(class_names) != num_classes:
        raise errors.UsageError(
            f"`class_names` must name {num_classes} classes. Received "
            f"{len(class_names)} names.",
            "Evaluate on data with the classes of the training data.",
        )


def one_against_rest(
    probabilities: np.ndarray, targets: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Turn every class into a question of yes or no.

    Args:
        probabilities: float (examples, classes).
        targets: int (examples,), or multi-hot (examples, classes).

    Yields:
        Of each class its scores, float (examples,), and bool (examples,), who has it.
    """
    for index, scores in enumerate(probabilities.T):
        yield scores, targets == index if targets.ndim == 1 else targets[:, index] == 1


def _check_shapes(probabilities, targets, *, multi_label):
    expected = probabilities.shape[: 2 if multi_label else 1]
    if probabilities.ndim != 2 or targets.shape != expected:
        form = "(examples, classes)" if multi_label else "(examples,)"
        raise errors.UsageError(
            f"`probabilities` must be (examples, classes) and `targets` {form}. "
            f"Received {probabilities.shape} and {targets.shape}.",
            "Check `multi_label`.",
        )
    if len(targets) == 0:
        raise errors.DataError(
            "There are no examples to evaluate.", "Choose a split that is not empty."
        )
