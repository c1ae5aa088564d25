"""Which few box shapes resemble those of a data set best?"""

import numpy as np

from tfdl import errors

_MOST_ROUNDS = 300  # k-means ends by itself long before


def fit_anchors(sizes: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Find k shapes by k-means, where distance is 1 - IoU of centred boxes.

    Args:
        sizes: float (boxes, 2), width and height of each, positive, in pixels of the
            network's input.
        k: number of shapes.
        seed: of the first guess; the same gives the same shapes.

    Returns:
        float32 (k, 2), width and height, in the order of their areas.

    Raises:
        DataError: there are fewer than k different sizes, or one is not positive.

    Deviations from the paper: the first shapes are drawn far from each other, as
    k-means++ does, which makes the result depend less on the seed.

    Reference:
        Redmon and Farhadi, "YOLO9000: Better, Faster, Stronger", 2017, section 2,
        "Dimension Clusters".
    """
    sizes = np.asarray(sizes, np.float64)
    _check(sizes, k)
    anchors = _first_guess(sizes, k, np.random.default_rng(seed))
    nearest = None
    for _ in range(_MOST_ROUNDS):
        previous, nearest = nearest, shape_iou(sizes, anchors).argmax(axis=1)
        if np.array_equal(nearest, previous):
            break
        for number in set(nearest):
            anchors[number] = sizes[nearest == number].mean(axis=0)
    return anchors[np.argsort(anchors.prod(axis=1), kind="stable")].astype(np.float32)


def shape_iou(sizes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compare boxes as if all had the same centre.

    Args:
        sizes: float (boxes, 2), width and height.
        others: float (others, 2).

    Returns:
        float (boxes, others) in [0, 1].
    """
    shared = np.minimum(sizes[:, None], others[None]).prod(axis=2)
    areas, other_areas = sizes.prod(axis=1), others.prod(axis=1)
    return shared / (areas[:, None] + other_areas[None] - shared)


def _check(sizes, k):
    num_different = len(np.unique(sizes, axis=0))
    if num_different < k:
        raise errors.DataError(
            f"{k} anchors need as many boxes of different sizes. Received "
            f"{num_different}.",
            "Annotate more objects, or keep the published anchors.",
        )
    if not (sizes > 0).all():
        raise errors.DataError(
            f"Sizes of boxes must be positive. Received {sizes.min():g}.",
            "Leave boxes without area out.",
        )


def _first_guess(sizes, k, rng):
    """Draw shapes of the data, each with a chance that grows with its distance."""
    anchors = sizes[[rng.integers(len(sizes))]]
    while len(anchors) < k:
        distance = 1 - shape_iou(sizes, anchors).max(axis=1)
        chances = np.maximum(distance, 0) ** 2
        drawn = rng.choice(len(sizes), p=chances / chances.sum())
        anchors = np.concatenate([anchors, sizes[[drawn]]])
    return anchors
