import numpy as np

from tfdl import drawing
from tfdl.data.sources import source
from tfdl.tasks.detection import detections, error_types, matches, pictures, pooled

NAMES = ("ant", "bee")
IMAGE = np.full((96, 128, 3), 128, np.uint8)
KNOWN = source.Objects(
    size=(96, 128),
    boxes=np.array([[8, 24, 48, 64], [64, 24, 112, 80]], np.float32),
    labels=np.array([0, 1], np.int32),
    areas=np.array([1600, 2688], np.float32),
    is_crowd=np.zeros(2, bool),
    is_difficult=np.zeros(2, bool),
    places=(),
)
FOUND = detections.Detections(
    KNOWN.boxes + 2, np.array([0.9, 0.2], np.float32), KNOWN.labels
)


def has_colour(drawn, label):
    return (drawn == drawing.label_colours(2)[label]).all(axis=-1).any()


def batch(weights, count=3):
    images = np.full((count, 64, 64, 3), 0.5, np.float32)
    boxes = np.tile(
        np.array([[4, 30, 20, 50], [30, 30, 60, 60]], np.float32), (count, 1, 1)
    )
    labels = np.where(np.array(weights) > 0, [0, 1], -1)
    tiled = (np.tile(row, (count, 1)) for row in (labels, weights))
    return pictures.batch(images, boxes, *tiled, NAMES)


def test_a_batch_shows_objects_and_no_padding():
    both, first = batch([1, 1]), batch([1, 0])
    assert both.dtype == np.uint8
    assert has_colour(both, 0)
    assert has_colour(both, 1)
    assert has_colour(first, 0)
    assert not has_colour(first, 1)


def test_weights_of_a_mixture_are_written():
    assert (batch([1, 1]) != batch([1, 0.5])).any()


def test_of_a_large_batch_sixteen_pictures_are_drawn():
    assert batch([1, 1], count=40).shape == batch([1, 1], count=16).shape


def test_an_answer_leaves_out_what_is_unlikely():
    all_of_it = pictures.answer(IMAGE, FOUND, NAMES, score_threshold=0.1)
    assert has_colour(all_of_it, 0)
    assert has_colour(all_of_it, 1)
    surest = pictures.answer(IMAGE, FOUND, NAMES, score_threshold=0.5)
    assert has_colour(surest, 0)
    assert not has_colour(surest, 1)
    nothing = pictures.answer(IMAGE, FOUND, NAMES, score_threshold=0.95)
    np.testing.assert_array_equal(nothing, 128)


def test_truth_stands_beside_what_was_found():
    drawn = pictures.comparisons(
        [IMAGE], [KNOWN], [FOUND], NAMES, f_scores=[2 / 3], score_threshold=0.5
    )
    truth, found = np.array_split(drawn, 2, axis=1)
    assert has_colour(truth, 1)
    assert has_colour(found, 0)
    assert not has_colour(found, 1)


def test_every_chart_is_drawn_even_of_nothing():
    nothing = detections.Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    names = {"precision_recall", "f_score", "error_types"}
    names |= {"confusion_matrix", "confusion_matrix_normalized"}
    for found in (FOUND, nothing):
        split = pooled.pool([KNOWN], [found], class_names=NAMES)
        matched = matches.match(split)
        costs = error_types.measure(matched)
        charts = pictures.charts(matched, costs, score_threshold=0.5)
        assert set(charts) == names
        assert all(chart.shape[1:] == (1200, 3) for chart in charts.values())
