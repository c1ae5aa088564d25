import numpy as np
import pytest

from tfdl.data.sources import source
from tfdl.tasks.detection import detections, matches, pooled

NAMES = ("ant", "bee")


def split(truth, answers):
    """Pool one picture; rows of truth are box, label, crowd; of answers box, score."""
    boxes = np.array([row[0] for row in truth], np.float32).reshape(-1, 4)
    known = source.Objects(
        size=(100, 100),
        boxes=boxes,
        labels=np.array([row[1] for row in truth], np.int32),
        areas=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
        is_crowd=np.array([row[2] for row in truth], bool),
        is_difficult=np.zeros(len(truth), bool),
        places=(),
    )
    found = detections.Detections(
        np.array([row[0] for row in answers], np.float32).reshape(-1, 4),
        np.array([row[1] for row in answers], np.float32),
        np.array([row[2] for row in answers], np.int32),
    )
    return pooled.pool([known], [found], class_names=NAMES)


def test_the_surest_chooses_first_and_a_second_is_wrong():
    box = [0, 0, 10, 10]
    matched = matches.match(
        split([(box, 0, False)], [(box, 0.5, 0), ([0, 0, 10, 9], 0.9, 0)])
    )
    # An IoU of 0.9 counts up to the ninth threshold; above it the other may choose.
    np.testing.assert_array_equal(matched.objects[:, 0], [0] * 9 + [-1])
    np.testing.assert_array_equal(matched.objects[:, 1], [-1] * 9 + [0])
    assert not matched.is_ignored.any()
    assert matched.is_found().tolist() == [True]


def test_another_class_is_never_found():
    box = [0, 0, 10, 10]
    matched = matches.match(split([(box, 0, False)], [(box, 0.5, 1)]))
    assert (matched.objects == matches.NOTHING).all()
    assert matched.num_objects.tolist() == [1, 0]
    assert not matched.is_found().any()


def test_a_crowd_takes_many_but_only_what_finds_no_object():
    crowd, box = [0, 0, 100, 100], [0, 0, 10, 10]
    matched = matches.match(
        split(
            [(crowd, 0, True), (box, 0, False)],
            [(box, 0.9, 0), (box, 0.8, 0), ([50, 50, 60, 60], 0.7, 0)],
        )
    )
    np.testing.assert_array_equal(matched.objects[0], [1, 0, 0])
    np.testing.assert_array_equal(matched.is_right[0], [True, False, False])
    np.testing.assert_array_equal(matched.is_ignored[0], [False, True, True])
    assert matched.num_objects.tolist() == [1, 0]


def test_beyond_a_hundred_of_a_class_nothing_counts():
    box = [0, 0, 10, 10]
    far = [(([50, 50, 60, 60]), 0.9, 0)] * 100
    matched = matches.match(split([(box, 0, False)], [*far, (box, 0.5, 0)]))
    assert not matched.is_right.any()
    np.testing.assert_array_equal(np.flatnonzero(matched.is_ignored[0]), [100])


@pytest.mark.parametrize("seed", range(5))
def test_choices_equal_a_slow_loop(seed):
    rng = np.random.default_rng(seed)
    corners = np.rint(rng.uniform(0, 30, (12, 2)))
    boxes = np.concatenate([corners, corners + np.rint(rng.uniform(8, 16, (12, 2)))], 1)
    labels, crowds = rng.integers(0, 2, 12), rng.uniform(size=12) < 0.2
    moved = np.repeat(boxes, 3, axis=0) + rng.integers(-2, 3, (36, 4))
    scores = rng.permutation(36) / 36
    truth = list(zip(boxes, labels, crowds, strict=True))
    answers = list(zip(moved, scores, np.repeat(labels, 3), strict=True))
    matched = matches.match(split(truth, answers))
    for place, threshold in enumerate(matches.THRESHOLDS):
        expected = slowly(matched.pooled, threshold)
        np.testing.assert_array_equal(matched.objects[place], expected)


def slowly(pool, threshold):
    """Match by COCO's loop over detections and objects."""
    chosen, taken = np.full(len(pool.found.scores), -1), set()
    order = sorted(range(len(pool.truth.labels)), key=lambda k: pool.truth.is_crowd[k])
    numbers, objects, iou = pooled.overlaps(pool, least=0, same_class=True)
    known = dict(zip(zip(numbers, objects, strict=True), iou, strict=True))
    for number in range(len(chosen)):
        best, least = -1, threshold
        for index in order:
            is_crowd = pool.truth.is_crowd[index]
            if index in taken and not is_crowd:
                continue
            if best > -1 and not pool.truth.is_crowd[best] and is_crowd:
                break
            if known.get((number, index), -1) < least:
                continue
            best, least = index, known[number, index]
        chosen[number] = best
        taken.add(best)
    return chosen


def test_nothing_anywhere():
    matched = matches.match(split([], []))
    assert matched.objects.shape == (10, 0)
    assert matched.num_objects.tolist() == [0, 0]
