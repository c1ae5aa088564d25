import json

import numpy as np
import pytest

from tfdl.data.sources import source
from tfdl.tasks.detection import coco_metrics, detections, matches, metrics, pooled

NAMES = ("ant", "bee", "cat")


def drawn(seed, num_pictures, *, num_classes=2):
    rng = np.random.default_rng(seed)
    truth, answers = [], []
    for _ in range(num_pictures):
        count = int(rng.integers(0, 5))
        corners = rng.uniform(0, 60, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(8, 50, (count, 2))], 1)
        labels = rng.integers(0, num_classes, count).astype(np.int32)
        truth.append(
            source.Objects(
                size=(120, 120),
                boxes=boxes.astype(np.float32),
                labels=labels,
                areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1).astype(np.float32),
                is_crowd=rng.uniform(size=count) < 0.1,
                is_difficult=rng.uniform(size=count) < 0.1,
                places=(),
            )
        )
        moved = np.repeat(boxes, 2, axis=0) + rng.normal(0, 3, (2 * count, 4))
        scores = np.sort(rng.uniform(size=2 * count))[::-1]
        answers.append(
            detections.Detections(
                moved.astype(np.float32),
                scores.astype(np.float32),
                np.repeat(labels, 2),
            )
        )
    return truth, answers


def nothing(count):
    empty = np.zeros(0, np.float32)
    return [detections.Detections(np.zeros((0, 4)), empty, empty.astype(int))] * count


def test_brief_is_the_beginning_of_evaluate():
    truth, answers = drawn(0, 30)
    short = metrics.brief(truth, answers, class_names=NAMES)
    whole = metrics.evaluate(truth, answers, class_names=NAMES)
    assert set(short) == {"AP", "AP50"}
    for name, number in short.items():
        assert number == pytest.approx(whole[name], abs=1e-9)


def test_everything_that_one_number_can_say():
    truth, answers = drawn(1, 40)
    measured = metrics.evaluate(truth, answers, class_names=NAMES, seed=1)
    json.dumps(measured, allow_nan=False)
    assert measured["num_examples"] == 40
    assert measured["num_objects"] == sum(int((~own.is_crowd).sum()) for own in truth)
    for name in ("AP", "AP50"):
        low, high = measured[f"{name}_interval"]
        assert low < measured[name] < high
    for name in ("AP_small", "AR_100", "voc07_AP50", "voc10_AP50", "best_threshold"):
        assert 0 < measured[name] < 1
    assert "AP_large" not in measured  # no object is
    assert metrics.evaluate(truth, answers, class_names=NAMES, seed=1) == measured


def test_a_difficult_object_counts_for_coco_alone():
    known = source.Objects(
        size=(100, 100),
        boxes=np.array([[0, 0, 10, 10], [50, 50, 60, 60]], np.float32),
        labels=np.zeros(2, np.int32),
        areas=np.full(2, 100, np.float32),
        is_crowd=np.zeros(2, bool),
        is_difficult=np.array([False, True]),
        places=(),
    )
    found = detections.Detections(
        known.boxes[:1], np.ones(1, np.float32), known.labels[:1]
    )
    measured = metrics.evaluate([known], [found], class_names=NAMES)
    assert measured["voc07_AP50"] == measured["voc10_AP50"] == 1
    assert measured["AP50"] == pytest.approx(51 / 101)
    assert measured["num_objects"] == 2


def test_rows_of_classes_agree_with_the_whole():
    truth, answers = drawn(3, 40)
    split = pooled.pool(truth, answers, class_names=NAMES)
    coco = coco_metrics.evaluate(split)
    rows = metrics.per_class(matches.match(split), coco)
    assert [row["class"] for row in rows] == list(NAMES)
    assert all(list(row) == list(rows[0]) for row in rows)
    for name, overall in (("AP", "AP"), ("AP50", "AP50"), ("AR", "AR_100")):
        mean = np.mean([row[name] for row in rows[:2]])
        assert mean == pytest.approx(coco.overall[overall])
    for row in rows[:2]:
        harmonic = 2 / (1 / row["precision"] + 1 / row["recall"])
        assert row["best_f1"] == pytest.approx(harmonic)
    assert rows[2].pop("class") == "cat"
    assert rows[2].pop("objects") == 0
    assert set(rows[2].values()) == {None}


def test_nothing_found_is_zero():
    truth, _ = drawn(4, 10)
    assert metrics.brief(truth, nothing(10), class_names=NAMES) == {"AP": 0, "AP50": 0}
    measured = metrics.evaluate(truth, nothing(10), class_names=NAMES)
    assert measured["AP"] == measured["voc07_AP50"] == 0
    assert measured["AP_interval"] == [0, 0]


def test_without_objects_there_is_little_to_say():
    empty = [
        source.Objects(
            size=(9, 9),
            boxes=np.zeros((0, 4), np.float32),
            labels=np.zeros(0, np.int32),
            areas=np.zeros(0, np.float32),
            is_crowd=np.zeros(0, bool),
            is_difficult=np.zeros(0, bool),
            places=(),
        )
    ]
    measured = metrics.evaluate(empty, nothing(1), class_names=NAMES)
    assert set(measured) == {"best_threshold", "num_examples", "num_objects"}
    found = metrics.brief(empty, nothing(1), class_names=NAMES)
    assert found == {"AP": 0, "AP50": 0}
