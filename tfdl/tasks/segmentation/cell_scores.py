"""How well are touching cells kept apart?

A gap of one pixel in a border changes hardly any pixel and merges two cells. The scores
of the ISBI challenge for membranes in electron microscopy compare cells in place of
pixels: of two pixels in one cell, are they in one cell in the other map, too?
"""

from collections.abc import Sequence

import numpy as np

from tfdl.data.augment import annotations
from tfdl.ops import intervals
from tfdl.tasks.segmentation import regions


def rand_scores(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """Compare the cells of two maps over the pixels that truly are in a cell.

    Cells are the connected regions of all classes but 0, the membranes. Over all pairs
    of pixels that truly are in a cell: "rand_merge" is the share that is in one true
    cell, of the pairs in one predicted region, and is low where cells are merged;
    "rand_split" is the share in one predicted region, of the pairs in one true cell,
    and is low where cells are split; "rand_f_score" is their harmonic mean, 1 for maps
    that agree.

    Deviations from the challenge: its script thins predicted membranes first, counts
    every pixel of theirs as a region of its own in place of one for all, and takes the
    best of many thresholds on the probability. This equals scikit-image's
    `adapted_rand_error`.

    Args:
        labels: integer (height, width), 0 for membranes, 255 for ignored.
        predictions: integer (height, width), 0 for membranes; any number where it is
            ignored.

    Returns:
        Three shares in [0, 1]; nothing where the truth has not two pixels of a cell.

    Reference:
        Arganda-Carreras et al., "Crowdsourcing the creation of image segmentation
        algorithms for connectomics", 2015, the section on foreground-restricted Rand
        scoring.
    """
    is_ignored = np.asarray(labels) == annotations.SEMANTIC_PADDING
    true, found = (
        np.asarray(regions.connected(np.where(is_ignored, 0, some)))
        for some in (labels, predictions)
    )
    in_cell = true > 0
    true, found = true[in_cell].astype(np.int64), found[in_cell]
    both = true * (found.max(initial=0) + 1) + found
    in_both, in_true, in_found = map(_pairs, (both, true, found))
    if not in_true:
        return {}
    return {
        "rand_f_score": 2 * in_both / (in_true + in_found),
        "rand_merge": in_both / in_found if in_found else 1.0,
        "rand_split": in_both / in_true,
    }


def evaluate(
    scores: Sequence[dict[str, float]], *, seed: int = 0
) -> dict[str, float | list]:
    """Average over pictures.

    Args:
        scores: `rand_scores` of each; those without cells are left out.
        seed: of the bootstrap.

    Returns:
        The names of `rand_scores`, and of each "<name>_interval", [low, high] of 95 %;
        nothing where no picture has cells.
    """
    rows = [row for row in scores if row]
    measured = {}
    for name in rows[0] if rows else ():
        values = np.array([row[name] for row in rows])
        measured[name] = float(values.mean())
        measured[f"{name}_interval"] = list(
            intervals.bootstrap_interval(values, rng=np.random.default_rng(seed))
        )
    return measured


def _pairs(numbers):
    """Count the ordered pairs of different pixels with the same number."""
    _, sizes = np.unique(numbers, return_counts=True)
    return int(np.sum(sizes * (sizes - 1)))
