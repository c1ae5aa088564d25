import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.ops import nms

SQUARES = [[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [30.0, 30.0, 40.0, 40.0]]


def random_case(seed, *, batch=2, count=60, classes=3, levels=None):
    """Draw boxes that overlap a lot; `levels` few scores make many of them equal."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 40, (batch, count, 2))
    sides = rng.integers(0, 30, (batch, count, 2))  # some without area
    boxes = np.concatenate([corners, corners + sides], axis=2)
    scores = rng.uniform(0, 1, (batch, count, classes))
    if levels:
        scores = np.floor(scores * levels) / levels
    return boxes.astype(np.float32), scores.astype(np.float32)


def slow_iou(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    union = sum(areas) - shared
    return shared / union if union else 0.0


def slow(boxes, scores, *, decay, threshold, limit, candidates=1000, aware=True):
    """Repeat: take the best of one picture, and let it lower the others."""
    pairs = [
        (-float(score), box, label)
        for (box, label), score in np.ndenumerate(scores)
        if score > threshold
    ]
    alive = [[-score, box, label] for score, box, label in sorted(pairs)[:candidates]]
    found = []
    while alive and len(found) < limit:
        best = max(alive, key=lambda one: one[0])  # the first of equals
        found.append(tuple(best))
        alive.remove(best)
        for other in alive:
            if best[2] == other[2] or not aware:
                other[0] *= decay(slow_iou(boxes[best[1]], boxes[other[1]]))
        alive = [one for one in alive if one[0] > threshold]
    return found


def assert_equals_slow(result, boxes, scores, **options):
    for row in range(len(boxes)):
        expected = slow(boxes[row], scores[row], **options)
        count = len(expected)
        assert result["num_detections"][row] == count
        filled = {name: result[name][row].numpy() for name in ("boxes", "scores")}
        labels = result["labels"][row].numpy()
        np.testing.assert_allclose(
            filled["scores"][:count], [one[0] for one in expected], rtol=1e-5
        )
        places = [one[1] for one in expected]
        np.testing.assert_array_equal(filled["boxes"][:count], boxes[row][places])
        np.testing.assert_array_equal(labels[:count], [one[2] for one in expected])
        assert not filled["boxes"][count:].any()
        assert not filled["scores"][count:].any()
        assert (labels[count:] == -1).all()


def suppressed(boxes, scores, **options):
    defaults = {"score_threshold": 0.1, "iou_threshold": 0.5, "max_detections": 10}
    return nms.suppress(boxes, scores, **(defaults | options))


def test_the_surer_of_two_overlapping_boxes_remains():
    # The first two share 90 of 110.
    scores = tf.constant([[[0.6], [0.8], [0.7]]])
    found = suppressed(tf.constant([SQUARES]), scores, max_detections=4)
    np.testing.assert_array_equal(found["num_detections"], [2])
    np.testing.assert_allclose(found["scores"], [[0.8, 0.7, 0, 0]])
    np.testing.assert_array_equal(found["labels"], [[0, 0, -1, -1]])
    np.testing.assert_array_equal(found["boxes"][0, :2], SQUARES[1:])
    np.testing.assert_array_equal(found["boxes"][0, 2:], np.zeros([2, 4]))
    assert found["labels"].dtype == found["num_detections"].dtype == tf.int32


def test_classes_leave_each_other_alone_if_told():
    scores = tf.constant([[[0.6, 0.0], [0.0, 0.8], [0.0, 0.0]]])
    boxes = tf.constant([SQUARES])
    np.testing.assert_array_equal(suppressed(boxes, scores)["num_detections"], [2])
    found = suppressed(boxes, scores, class_aware=False)
    np.testing.assert_array_equal(found["num_detections"], [1])
    assert found["labels"][0, 0] == 1


def test_a_box_can_be_two_things():
    scores = tf.constant([[[0.6, 0.8], [0.0, 0.0], [0.0, 0.0]]])
    found = suppressed(tf.constant([SQUARES]), scores)
    np.testing.assert_array_equal(found["labels"][0, :3], [1, 0, -1])
    np.testing.assert_array_equal(found["boxes"][0, :2], [SQUARES[0], SQUARES[0]])


@pytest.mark.parametrize("aware", [True, False])
@pytest.mark.parametrize("levels", [None, 5])
@pytest.mark.parametrize("candidates", [1000, 40])
def test_suppression_equals_a_slow_one(aware, levels, candidates):
    for seed in range(3):
        boxes, scores = random_case(seed, levels=levels)
        found = suppressed(
            boxes, scores, class_aware=aware, candidates=candidates, max_detections=50
        )
        assert_equals_slow(
            found,
            boxes,
            scores,
            decay=lambda overlap: float(overlap <= 0.5),
            threshold=0.1,
            limit=50,
            candidates=candidates,
            aware=aware,
        )


def test_suppression_equals_tensorflows():
    for seed in range(5):
        boxes, scores = random_case(seed, count=200)
        theirs = tf.image.combined_non_max_suppression(
            boxes[:, :, None],
            scores,
            max_output_size_per_class=30,
            max_total_size=30,
            iou_threshold=0.4,
            score_threshold=0.2,
            clip_boxes=False,
        )
        ours = suppressed(
            boxes, scores, max_detections=30, score_threshold=0.2, iou_threshold=0.4
        )
        for value, name in zip(theirs, ["boxes", "scores", "labels"], strict=False):
            np.testing.assert_array_equal(ours[name], value)


@pytest.mark.parametrize("method", ["linear", "gaussian"])
@pytest.mark.parametrize("aware", [True, False])
def test_soft_suppression_equals_a_slow_one(method, aware):
    decays = {
        "linear": lambda overlap: 1 - overlap if overlap > 0.3 else 1.0,
        "gaussian": lambda overlap: np.exp(-(overlap**2) / 0.5),
    }
    for seed in range(3):
        boxes, scores = random_case(seed)
        found = nms.soft(
            boxes,
            scores,
            score_threshold=0.1,
            method=method,
            max_detections=50,
            class_aware=aware,
        )
        assert_equals_slow(
            found,
            boxes,
            scores,
            decay=decays[method],
            threshold=0.1,
            limit=50,
            aware=aware,
        )


def test_soft_suppression_lowers_the_score_by_hand():
    scores = tf.constant([[[0.6], [0.8], [0.7]]])
    found = nms.soft(
        tf.constant([SQUARES]), scores, score_threshold=0.01, max_detections=3
    )
    lowered = 0.6 * np.exp(-((90 / 110) ** 2) / 0.5)
    np.testing.assert_allclose(found["scores"], [[0.8, 0.7, lowered]], rtol=1e-6)


def test_thresholds_can_differ_between_pictures():
    boxes, scores = random_case(0, batch=3)
    each, limits = [0.1, 0.5, 0.9], [0.2, 0.5, 0.8]
    both = suppressed(
        boxes,
        scores,
        score_threshold=tf.constant(each),
        iou_threshold=tf.constant(limits),
    )
    for row in range(3):
        alone = suppressed(
            boxes[row : row + 1],
            scores[row : row + 1],
            score_threshold=each[row],
            iou_threshold=limits[row],
        )
        for name, value in alone.items():
            np.testing.assert_array_equal(both[name][row], value[0])


def test_a_score_must_be_above_the_threshold():
    scores = tf.fill([1, 3, 1], 0.5)
    boxes = tf.constant([SQUARES])
    found = suppressed(boxes, scores, score_threshold=0.5)
    np.testing.assert_array_equal(found["num_detections"], [0])
    np.testing.assert_array_equal(found["labels"], np.full([1, 10], -1))


def test_equal_scores_are_ordered_by_candidate_then_by_class():
    apart = tf.constant([[[20.0 * n, 0.0, 20.0 * n + 9, 9.0] for n in range(6)]])
    scores = tf.constant([[[0.5, 0.5]] * 5 + [[0.9, 0.5]]])
    # Four of the six boxes take part, the last one as the best.
    found = suppressed(apart, scores, candidates=4, max_detections=5)
    np.testing.assert_array_equal(found["labels"], [[0, 0, 1, 0, -1]])
    np.testing.assert_array_equal(found["boxes"][0, :4, 0], [100, 0, 0, 20])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_boxes_than_detections_are_padded(count):
    boxes = tf.constant([SQUARES])[:, :count]
    scores = tf.fill([1, count, 2], 0.7)
    found = suppressed(boxes, scores, max_detections=9, class_aware=False)
    assert found["boxes"].shape == (1, 9, 4)
    np.testing.assert_array_equal(found["num_detections"], [min(count, 2)])


def test_a_detection_never_overlaps_a_surer_one():
    boxes, scores = random_case(7, batch=1, count=300, classes=1)
    found = suppressed(boxes, scores, max_detections=100)
    kept = found["boxes"][0, : found["num_detections"][0]].numpy()
    pairs = itertools.combinations(kept, 2)
    assert max(slow_iou(first, second) for first, second in pairs) <= 0.5


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graphs_that_know_no_batch_size_give_the_same(jit_compile):
    boxes, scores = random_case(1)
    signature = [
        tf.TensorSpec([None, 60, 4]),
        tf.TensorSpec([None, 60, 3]),
        tf.TensorSpec([None]),
    ]

    @tf.function(input_signature=signature, jit_compile=jit_compile)
    def traced(boxes, scores, threshold):
        return suppressed(boxes, scores, score_threshold=threshold, candidates=50)

    expected = suppressed(boxes, scores, score_threshold=0.3, candidates=50)
    for name, value in traced(boxes, scores, [0.3, 0.3]).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-6)


def test_scores_of_half_precision_are_taken():
    boxes, scores = random_case(2)
    found = suppressed(boxes, tf.cast(scores, tf.bfloat16))
    assert found["scores"].dtype == tf.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_detections": 0}, "`max_detections` must be at least 1"),
        ({"candidates": 0}, "`candidates` must be at least 1"),
    ],
)
def test_sizes_must_be_positive(options, message):
    with pytest.raises(errors.UsageError, match=message):
        suppressed(*random_case(0), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "hard"}, "'hard'"), ({"sigma": 0}, "sigma=0")],
)
def test_soft_parameters_are_checked(options, message):
    with pytest.raises(errors.UsageError, match=message):
        nms.soft(*random_case(0), score_threshold=0.1, max_detections=5, **options)


@pytest.mark.parametrize("missing", [0, 8])
def test_boxes_of_each_class_are_those_of_as_many_candidates(missing):
    """A candidate with three boxes is three, each sure of its own class alone."""
    rng = np.random.default_rng(4)
    low = rng.uniform(0, 60, (2, 12, 3, 2))
    boxes = np.concatenate([low, low + rng.uniform(5, 40, low.shape)], -1)
    scores = rng.random((2, 12, 3))
    apart = scores[..., None] * np.eye(3)
    options = {
        "score_threshold": 0.1,
        "iou_threshold": 0.4,
        "max_detections": 36 + missing,
    }
    found = nms.suppress(boxes, scores, **options)
    expected = nms.suppress(boxes.reshape(2, 36, 4), apart.reshape(2, 36, 3), **options)
    for name, each in found.items():
        np.testing.assert_allclose(each, expected[name], rtol=1e-6)
    assert found["num_detections"].numpy().min() > 3
