"""Drawings as detectors are fed with them, and what it means to know them by heart."""

import numpy as np
import pytest

from tfdl.data import synthetic
from tfdl.ops import boxes as boxes_of

SIDE, ROOM = 128, 6  # pixels; places for objects
CELLS = 56  # of an outline's side


@pytest.fixture(scope="session")
def drawings():
    """Return a function: how many -> (images in [0, 1], padded objects)."""
    return _drawings


@pytest.fixture(scope="session")
def outlined_drawings():
    """Return a function: how many -> the same, the objects with their outlines."""
    return _outlined


@pytest.fixture(scope="session")
def check_learned():
    """Return a function that fails unless AP50 is 1.

    It takes what suppression left, and the objects. Each must be found once, and surer
    than anything else is.
    """
    return _check_learned


def _pad(arrays, fill):
    padded = np.full((len(arrays), ROOM, *arrays[0].shape[1:]), fill, arrays[0].dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded


def _samples(count):
    rng = np.random.default_rng(3)
    return [synthetic.draw(rng, image_size=SIDE, max_objects=4) for _ in range(count)]


def _drawings(count=4):
    samples = _samples(count)
    images = np.stack([sample["image"] for sample in samples]) / np.float32(255)
    labels = _pad([sample["labels"] for sample in samples], -1)
    return images, {
        "boxes": _pad([sample["boxes"] for sample in samples], 0),
        "labels": labels,
        "weights": np.float32(labels >= 0),
    }


def _outlined(count=4):
    images, objects = _drawings(count)
    outlines = [
        np.stack([_within(*pair) for pair in zip(s["masks"], s["boxes"], strict=True)])
        for s in _samples(count)
    ]
    return images, objects | {"outlines": _pad(outlines, 0)}


def _within(mask, box):
    """Look at a mask within its box, at the nearest pixels."""
    low, high = box[:2], box[2:]
    places = low + (np.arange(CELLS)[:, None] + 0.5) / CELLS * (high - low)
    columns, rows = places.astype(int).T
    return mask[np.ix_(rows, columns)].astype(np.float32)


def _check_learned(found, objects):
    scores = found["scores"].numpy()
    is_hit = np.zeros(scores.shape, bool)
    for picture, count in enumerate((objects["weights"] > 0).sum(axis=1)):
        overlap = boxes_of.iou(
            objects["boxes"][picture, :count], found["boxes"][picture]
        )
        labels = objects["labels"][picture, :count]
        is_same = labels[:, None] == found["labels"].numpy()[picture]
        matches = (overlap.numpy() >= 0.5) & is_same
        np.testing.assert_array_equal(matches.sum(axis=1), 1)
        is_hit[picture] = matches.any(axis=0)
    assert scores[is_hit].min() > scores[~is_hit].max()
