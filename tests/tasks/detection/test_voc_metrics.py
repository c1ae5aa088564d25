import numpy as np
import pytest

from tfdl.data.sources import source
from tfdl.tasks.detection import detections, pooled, voc_metrics

NAMES = ("ant", "bee", "cat")


def known(boxes, labels, *, is_difficult=(), is_crowd=()):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    flags = np.zeros((2, len(labels)), bool)
    flags[0, list(is_difficult)], flags[1, list(is_crowd)] = True, True
    return source.Objects(
        size=(100, 100),
        boxes=boxes,
        labels=np.array(labels, np.int32),
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        is_crowd=flags[1],
        is_difficult=flags[0],
        places=(),
    )


def found(boxes, scores, labels):
    return detections.Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int32),
    )


def measure(truth, answers):
    return voc_metrics.evaluate(pooled.pool(truth, answers, class_names=NAMES))


BOX, FAR = [0, 0, 10, 10], [50, 50, 60, 60]


def test_both_averages_by_hand():
    truth = [known([BOX, FAR], [0, 0])]
    answers = [found([BOX, [20, 20, 30, 30], FAR], [0.9, 0.8, 0.7], [0, 0, 0])]
    numbers = measure(truth, answers)
    # Precision is 1 up to a recall of a half, 2 / 3 above.
    assert numbers["voc07_AP50"] == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert numbers["voc10_AP50"] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_difficult_objects_and_crowds_are_neither_missed_nor_wrongly_found():
    for ignored in ({"is_difficult": [1]}, {"is_crowd": [1]}):
        truth = [known([BOX, FAR], [0, 0], **ignored)]
        with_it = found([FAR, FAR, BOX], [0.9, 0.8, 0.7], [0, 0, 0])
        assert measure(truth, [with_it])["voc10_AP50"] == 1
        without = found([BOX], [0.7], [0])
        assert measure(truth, [without])["voc07_AP50"] == 1


def test_an_iou_of_a_half_is_enough():
    truth = [known([BOX], [0])]
    assert measure(truth, [found([[0, 0, 10, 5]], [1], [0])])["voc10_AP50"] == 1
    assert measure(truth, [found([[0, 0, 10, 4.9]], [1], [0])])["voc10_AP50"] == 0


def test_a_second_detection_is_wrong_though_another_object_is_near():
    truth = [known([BOX, [3, 0, 13, 10]], [0, 0])]
    answers = [found([BOX, [1, 0, 11, 10]], [0.9, 0.8], [0, 0])]
    assert measure(truth, answers)["voc10_AP50"] == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(5))
def test_random_cases_equal_the_loop_of_the_development_kit(seed):
    rng = np.random.default_rng(seed)
    truth, answers = [], []
    for _ in range(20):
        count = rng.integers(0, 6)
        corners = np.rint(rng.uniform(0, 40, (count, 2)))
        boxes = np.concatenate([corners, corners + rng.integers(5, 30, (count, 2))], 1)
        labels = rng.integers(0, 2, count)
        difficult = np.flatnonzero(rng.uniform(size=count) < 0.2)
        truth.append(known(boxes, labels, is_difficult=difficult))
        moved = np.repeat(boxes, 2, axis=0) + rng.integers(-4, 5, (2 * count, 4))
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        scores = np.sort(rng.integers(0, 12, 2 * count) / 12)[::-1]
        answers.append(found(moved, scores, np.repeat(labels, 2)))
    averages = voc_metrics.of_classes(pooled.pool(truth, answers, class_names=NAMES))
    for label in (0, 1):
        expected = development_kit(truth, answers, label)
        measured = [averages[name][label] for name in ("voc07_AP50", "voc10_AP50")]
        np.testing.assert_allclose(measured, expected)
    assert np.isnan(averages["voc07_AP50"][2])


def development_kit(truth, answers, label):
    """Follow VOCevaldet.m, with its boxes that hold their last pixel."""
    rows = [
        (score, number, box - np.array([-1, -1, 0, 0]))
        for number, own in enumerate(answers)
        for box, score, of_class in zip(own.boxes, own.scores, own.labels, strict=True)
        if of_class == label
    ]
    rows.sort(key=lambda row: -row[0])
    taken, hits = set(), []
    for _, number, box in rows:
        best, place = -np.inf, None
        for index, other in enumerate(truth[number].boxes):
            if truth[number].labels[index] != label:
                continue
            other = other - np.array([-1, -1, 0, 0])
            width, height = (
                np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]) + 1
            )
            if width > 0 and height > 0:
                whole = sum(np.prod(b[2:] - b[:2] + 1) for b in (box, other))
                iou = width * height / (whole - width * height)
                if iou > best:
                    best, place = iou, index
        if best < 0.5:
            hits.append(False)
        elif not truth[number].is_difficult[place]:
            hits.append((number, place) not in taken)
            taken.add((number, place))
    return averages_of(hits, truth, label)


def averages_of(hits, truth, label):
    num_objects = sum(
        int(((own.labels == label) & ~own.is_difficult).sum()) for own in truth
    )
    recall = np.cumsum(hits) / num_objects
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    eleven = [max(precision[recall >= at], default=0) for at in np.linspace(0, 1, 11)]
    recall, precision = np.r_[0, recall, 1], np.r_[0, precision, 0]
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return np.mean(eleven), np.sum(np.diff(recall) * precision[1:])


def test_nothing_that_counts_is_no_number():
    nothing = found([], [], [])
    assert measure([known([], [])], [found([BOX], [1], [0])]) == {}
    assert measure([known([BOX], [0], is_difficult=[0])], [nothing]) == {}
    assert measure([known([BOX], [0])], [nothing])["voc07_AP50"] == 0
