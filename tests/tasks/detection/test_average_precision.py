import numpy as np
import pytest

from tfdl.data.sources import source
from tfdl.tasks.detection import average_precision, detections, matches, pooled

NAMES = ("ant", "bee", "cat")


def drawn(seed, num_pictures, *, jitter=3.0):
    """Draw pictures, and detections some of which are right; a class never occurs."""
    rng = np.random.default_rng(seed)
    truth, answers = [], []
    for _ in range(num_pictures):
        count = rng.integers(0, 5)
        corners = rng.uniform(0, 60, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(8, 40, (count, 2))], 1)
        labels = rng.integers(0, 2, count).astype(np.int32)
        truth.append(
            source.Objects(
                size=(100, 100),
                boxes=boxes.astype(np.float32),
                labels=labels,
                areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
                is_crowd=rng.uniform(size=count) < 0.1,
                is_difficult=np.zeros(count, bool),
                places=(),
            )
        )
        moved = np.repeat(boxes, 2, axis=0) + rng.normal(0, jitter, (2 * count, 4))
        scores = np.sort(rng.uniform(size=2 * count))[::-1]
        answers.append(
            detections.Detections(
                moved.astype(np.float32),
                scores.astype(np.float32),
                np.repeat(labels, 2),
            )
        )
    return truth, answers


def ranking(truth, answers):
    split = pooled.pool(truth, answers, class_names=NAMES)
    return average_precision.ranking(matches.match(split))


def by_hand(*, right, ignored=(), num_found, num_objects):
    """Rank the detections of one class at one threshold."""
    return average_precision.rank(
        labels=np.zeros(num_found, np.int64),
        pictures=np.zeros(num_found, np.int64),
        right=[np.array(right, np.int64)],
        ignored=[np.array(ignored, np.int64)],
        object_labels=np.zeros(num_objects, np.int64),
        object_pictures=np.zeros(num_objects, np.int64),
        num_classes=1,
        num_pictures=1,
    )


def test_average_precision_by_hand():
    ranked = by_hand(right=[0, 2], num_found=3, num_objects=2)
    # Precision is 1 at 51 recalls up to a half, and 2 / 3 at the 50 above.
    expected = (51 + 50 * 2 / 3) / 101
    assert average_precision.of_classes(ranked)[0, 0] == pytest.approx(expected)


def test_what_is_ignored_is_as_if_it_were_not_there():
    ranked = by_hand(right=[0, 2], ignored=[1], num_found=3, num_objects=2)
    assert average_precision.of_classes(ranked)[0, 0] == pytest.approx(1)


def test_nothing_found_is_zero_and_nothing_known_is_no_number():
    nothing = average_precision.of_classes(
        by_hand(right=[], num_found=0, num_objects=1)
    )
    assert average_precision.mean(nothing) == 0
    unknown = by_hand(right=[], num_found=2, num_objects=0)
    assert np.isnan(average_precision.mean(average_precision.of_classes(unknown)))
    assert average_precision.intervals(unknown, seed=0) == {}


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_that_counts_twice_is_as_two_pictures(seed):
    truth, answers = drawn(seed, 25)
    weights = np.random.default_rng(seed).integers(0, 4, len(truth))
    numbers = np.repeat(np.arange(len(truth)), weights)
    several = ranking([truth[k] for k in numbers], [answers[k] for k in numbers])
    weighted = average_precision.of_classes(
        ranking(truth, answers), weights.astype(np.float64)
    )
    np.testing.assert_allclose(weighted, average_precision.of_classes(several))


def test_an_interval_holds_the_number_and_is_repeated():
    ranked = ranking(*drawn(7, 60))
    averages = average_precision.of_classes(ranked)
    first = average_precision.intervals(ranked, seed=3)
    for name, values in (("AP_interval", averages), ("AP50_interval", averages[0])):
        low, high = first[name]
        assert 0 < low < average_precision.mean(values) < high < 1
    assert average_precision.intervals(ranked, seed=3) == first
    assert average_precision.intervals(ranked, seed=4) != first


def test_more_pictures_make_an_interval_narrower():
    widths = [
        np.ptp(average_precision.intervals(ranking(*drawn(0, size)), seed=0)[name])
        for size in (40, 640)
        for name in ("AP_interval",)
    ]
    assert 2.5 < widths[0] / widths[1] < 6  # 4 in theory


def test_a_perfect_detector_has_no_doubt():
    truth, answers = drawn(1, 10, jitter=0.0)
    truth = [known for known in truth if not known.is_crowd.any()]
    answers = [
        detections.Detections(o.boxes, np.ones(len(o), np.float32), o.labels)
        for o in truth
    ]
    found = average_precision.intervals(ranking(truth, answers), seed=0)
    assert found == {"AP_interval": [1.0, 1.0], "AP50_interval": [1.0, 1.0]}
