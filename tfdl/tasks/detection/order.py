"""Are two lists of detections the same, but for what rounding decides?

Two ways of computing a score differ in its last digits. That may swap neighbours of the
list, and let in or leave out who is at a threshold.
"""

from collections.abc import Mapping

import numpy as np

from tfdl.ops import boxes
from tfdl.tasks.detection import postprocess

_DOUBT = 1e-3  # of a score or an overlap; rounding changes them by less than 1e-5
_SAME_PLACE = 1e-2  # pixels; rounding of float32 moves boxes by less

Answers = Mapping[str, np.ndarray]


def aligned(
    expected: Answers,
    found: Answers,
    tolerance: float,
    *,
    thresholds: postprocess.Thresholds,
) -> Answers:
    """Bring detections into the order of those that were expected.

    Where the lists of a picture hold the same but for doubtful members, the found list
    is rearranged and takes its doubtful members from the expected one. A list that
    differs otherwise stays as it is.

    Args:
        expected: as of `postprocess.postprocess`, tensors or arrays; other outputs are
            of each detection as well.
        found: likewise, of the same pictures.
        tolerance: most that a number may differ, as a share of the largest box; in a
            lower precision than float32 as much of a score or an overlap is in doubt.
        thresholds: what decided on the members.

    Returns:
        A dict like `found`.
    """
    expected, found = (
        {name: np.array(value) for name, value in answers.items()}
        for answers in (expected, found)
    )
    if any(expected[name].shape != found[name].shape for name in expected):
        return found
    doubt = max(_DOUBT, tolerance)
    same_place = max(_SAME_PLACE, tolerance * np.max(expected["boxes"], initial=0))
    for row in range(len(expected["scores"])):
        own, other = (
            {name: values[row] for name, values in answers.items()}
            for answers in (expected, found)
        )
        pairs = _paired(own, other, doubt=doubt, same_place=same_place)
        lost = _but(len(own["scores"]), pairs[:, 0], own)
        new = _but(len(other["scores"]), pairs[:, 1], other)
        if _are_doubtful(own, lost, other, new, thresholds, doubt=doubt):
            rearranged = {name: values.copy() for name, values in own.items()}
            for name in rearranged:
                if name != "num_detections":  # a number of the picture
                    rearranged[name][pairs[:, 0]] = other[name][pairs[:, 1]]
            for name, values in rearranged.items():
                found[name][row] = values
    return found


def _paired(own: Answers, other: Answers, *, doubt, same_place) -> np.ndarray:
    """Pair equal detections, each once -> int (pairs, 2)."""
    is_same = (own["labels"][:, None] == other["labels"]) & (
        own["labels"][:, None] >= 0
    )
    is_same &= np.abs(own["scores"][:, None] - other["scores"]) <= doubt
    apart = np.abs(own["boxes"][:, None] - other["boxes"]).max(axis=-1)
    is_same &= apart <= same_place
    pairs, taken = [], np.zeros(len(other["scores"]), bool)
    for index, row in enumerate(is_same):
        free = np.flatnonzero(row & ~taken)
        if len(free):
            best = free[np.argmin(apart[index, free])]
            taken[best] = True
            pairs.append((index, best))
    return np.array(pairs, np.int64).reshape(-1, 2)


def _but(count: int, paired: np.ndarray, answers: Answers) -> np.ndarray:
    """List the real detections that are not paired."""
    is_real = answers["labels"] >= 0
    is_real[paired] = False
    return np.flatnonzero(is_real[:count])


def _are_doubtful(own, lost, other, new, thresholds, *, doubt) -> bool:
    """Tell whether everything unpaired is at a threshold, or beside what is."""
    rest = {
        name: np.concatenate([own[name][lost], other[name][new]])
        for name in ("boxes", "scores", "labels")
    }
    cut = _least_score(own, thresholds)
    is_doubtful = rest["scores"] <= cut + doubt
    for answers in (own, other):
        overlaps = np.array(boxes.iou(rest["boxes"], answers["boxes"]))
        is_rival = rest["labels"][:, None] == answers["labels"]
        at_limit = np.abs(overlaps - thresholds.iou_threshold) <= doubt
        is_doubtful |= (is_rival & at_limit).any(axis=-1)
    # Who is let in may push others out that it overlaps with.
    overlaps = np.array(boxes.iou(rest["boxes"], rest["boxes"]))
    is_rival = rest["labels"][:, None] == rest["labels"]
    near = is_rival & (overlaps > thresholds.iou_threshold - doubt)
    for _ in range(len(rest["scores"])):
        is_doubtful |= (near & is_doubtful).any(axis=-1)
    return bool(is_doubtful.all())


def _least_score(answers: Answers, thresholds) -> float:
    """Return the score from which on the list would have ended anyway."""
    if (answers["labels"] >= 0).all():
        return float(answers["scores"].min())
    return thresholds.score_threshold
