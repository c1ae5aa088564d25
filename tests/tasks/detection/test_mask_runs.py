"""Runs against pycocotools, and overlaps of masks against pixels."""

import numpy as np
from pycocotools import mask as oracle

from tfdl.data.sources import source
from tfdl.tasks.detection import detections, mask_runs, pooled

SIZE = (30, 40)


def drawn(rng, count):
    masks = np.zeros((count, *SIZE), bool)
    for mask in masks:
        top, left = rng.integers(0, 20, 2)
        mask[top : top + rng.integers(4, 12), left : left + rng.integers(4, 20)] = True
        mask &= rng.uniform(size=SIZE) < 0.9
    return masks


def test_runs_are_those_of_pycocotools_and_come_back():
    masks = drawn(np.random.default_rng(0), 5)
    runs = mask_runs.encode(masks)
    for mask, own in zip(masks, runs, strict=True):
        expected = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))
        counts = own["counts"]
        counts = counts.encode() if isinstance(counts, str) else counts
        assert counts == expected["counts"]
        assert tuple(own["size"]) == SIZE
    np.testing.assert_array_equal(mask_runs.decode(runs, SIZE), masks)
    np.testing.assert_array_equal(mask_runs.areas(runs), masks.sum(axis=(1, 2)))


def test_none_are_none():
    assert mask_runs.encode(np.zeros((0, *SIZE), bool)) == []
    assert mask_runs.decode([], SIZE).shape == (0, *SIZE)
    assert mask_runs.areas([]).shape == (0,)
    nothing = np.zeros((0, 28, 28), np.float32), np.zeros((0, 4), np.float32)
    assert mask_runs.pasted(*nothing, SIZE) == []


def test_masks_are_pasted_into_their_boxes(monkeypatch):
    boxes = np.array([[3, 2, 23, 12], [0, 0, 40, 30], [5, 5, 6, 6]], np.float32)
    masks = np.ones((3, 28, 28), np.float32)
    masks[1, :, 14:] = 0
    expected = np.zeros((3, *SIZE), bool)
    expected[0, 2:12, 3:23] = expected[1, :, :20] = expected[2, 5, 5] = True
    together = mask_runs.pasted(masks, boxes, SIZE)
    np.testing.assert_array_equal(mask_runs.decode(together, SIZE), expected)
    monkeypatch.setattr(mask_runs, "_MOST_VALUES", 1)
    assert mask_runs.pasted(masks, boxes, SIZE) == together


def split(rng):
    """Draw three pictures; some objects are crowds, some detections are right."""
    objects, found, runs, truth = [], [], [], []
    for _ in range(3):
        known, own = drawn(rng, int(rng.integers(0, 5))), drawn(rng, 6)
        own[: len(known)] = known & (rng.uniform(size=known.shape) < 0.95)
        objects.append(
            source.Objects(
                size=SIZE,
                boxes=np.zeros((len(known), 4), np.float32),
                labels=rng.integers(0, 2, len(known)).astype(np.int32),
                areas=known.sum(axis=(1, 2)).astype(np.float32),
                is_crowd=rng.uniform(size=len(known)) < 0.3,
                is_difficult=np.zeros(len(known), bool),
                places=(),
            )
        )
        found.append(
            detections.Detections(
                np.zeros((6, 4), np.float32),
                np.sort(rng.uniform(size=6)).astype(np.float32)[::-1],
                rng.integers(0, 2, 6).astype(np.int32),
            )
        )
        runs.append(mask_runs.encode(own))
        truth.append(mask_runs.encode(known))
    return objects, found, runs, truth


def test_overlaps_are_those_of_the_pixels():
    for seed in range(5):
        objects, found, runs, truth = split(np.random.default_rng(seed))
        whole = pooled.pool(objects, found, class_names=("a", "b"))
        among = np.arange(1, len(whole.found.scores))
        numbers, known, iou = mask_runs.overlaps(
            whole, runs, truth, least=0.3, same_class=True, among=among
        )
        expected = {}
        every_run = [mask for own in runs for mask in own]
        every_truth = [mask for own in truth for mask in own]
        for number in among:
            mask = mask_runs.decode([every_run[whole.found.given[number]]], SIZE)[0]
            for index in range(len(every_truth)):
                if whole.truth.pictures[index] != whole.found.pictures[number]:
                    continue
                if whole.truth.labels[index] != whole.found.labels[number]:
                    continue
                other = mask_runs.decode([every_truth[index]], SIZE)[0]
                shared = np.sum(mask & other)
                is_crowd = whole.truth.is_crowd[index]
                union = np.sum(mask) if is_crowd else np.sum(mask | other)
                if shared / union >= 0.3:
                    expected[number, index] = shared / union
        pairs = list(zip(numbers.tolist(), known.tolist(), strict=True))
        assert pairs == sorted(expected)
        np.testing.assert_allclose(iou, [expected[pair] for pair in pairs])
