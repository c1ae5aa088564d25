import numpy as np
import pytest

from tfdl import drawing
from tfdl.tasks.segmentation import metrics, pictures

NAMES = ("sky", "road", "car")
WRONG = (213, 94, 0)
PALE = 230


def scene(*, size=(60, 80)):
    """A picture of sky over road, with a car, and a strip that is ignored."""
    labels = np.zeros(size, np.uint8)
    labels[size[0] // 2 :] = 1
    labels[35:45, 20:50] = 2
    labels[:, -10:] = 255
    predictions = np.where(labels == 2, 1, labels)
    predictions[labels == 255] = 0
    image = np.full((*size, 3), 128, np.uint8)
    return image, labels, predictions


def share(drawn, colour):
    return (drawn == np.array(colour)).all(axis=-1).mean()


def tinted(label):
    """The colour of a class over the grey of `scene`."""
    return np.rint(128 + 0.55 * (drawing.label_colours(4)[label - 1] - 128.0))


def test_a_label_map_has_the_colours_of_the_overlay():
    image, labels, _ = scene()
    drawn = pictures.coloured(labels)
    assert drawn.shape == (60, 80, 3)
    for index in (1, 2):
        colour = drawing.label_colours(2)[index - 1]
        assert share(drawn, colour) == pytest.approx(np.mean(labels == index))
    assert share(drawn, (0, 0, 0)) == pytest.approx(np.mean(labels == 0))
    assert share(drawn, (255, 255, 255)) == pytest.approx(np.mean(labels == 255))
    overlay = drawing.semantic(image, labels, class_names=NAMES)[: 6 * 60, : 6 * 80]
    for index in (1, 2):
        own = share(overlay, tinted(index))
        assert own == pytest.approx(np.mean(labels == index))


def test_every_class_number_has_a_colour():
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    colours = np.unique(pictures.coloured(every).reshape(-1, 3), axis=0)
    assert len(colours) == 256


def test_an_answer_names_the_shares_of_what_occurs(monkeypatch):
    image, labels, _ = scene()
    given = {}

    def semantic(image, semantic_map, *, class_names):
        given.update(enumerate(class_names))
        return image

    monkeypatch.setattr(drawing, "semantic", semantic)
    pictures.answer(image, labels, NAMES)
    # Of 70 of 80 columns, half is sky; the car takes 300 of 4,200 pixels.
    assert given == {0: "sky 50.0%", 1: "road 42.9%", 2: "car 7.1%"}
    pictures.answer(image, np.full((60, 80), 255, np.uint8), NAMES)
    assert given == {0: "sky 0.0%", 1: "road 0.0%", 2: "car 0.0%"}


def test_an_answer_is_drawn_over_its_picture_with_a_legend():
    image, labels, _ = scene()
    drawn = pictures.answer(image, labels, NAMES)
    assert drawn.dtype == np.uint8
    assert drawn.shape[0] > 360
    assert drawn.shape[1:] == (480, 3)
    legend = drawn[360:]
    assert share(legend, drawing.label_colours(2)[1]) > 0.005
    without_car = pictures.answer(image, np.where(labels == 2, 1, labels), NAMES)
    assert share(without_car[360:], drawing.label_colours(2)[1]) == 0


def test_errors_are_the_pixels_that_differ():
    image, labels, predictions = scene()
    drawn = pictures.errors(image, labels, predictions)
    is_wrong = (drawn == WRONG).all(axis=-1)
    np.testing.assert_array_equal(is_wrong, labels == 2)
    is_pale = (drawn == PALE).all(axis=-1)
    np.testing.assert_array_equal(is_pale, labels == 255)
    np.testing.assert_array_equal(drawn[~is_wrong & ~is_pale], 64 + 128 // 2)


def test_errors_are_drawn_over_grey_pictures():
    image, labels, predictions = scene()
    expected = pictures.errors(image, labels, predictions)
    found = pictures.errors(image[:, :, :1], labels, predictions)
    np.testing.assert_array_equal(found, expected)


def test_truth_stands_beside_the_answer_and_its_errors():
    image, labels, predictions = scene()
    drawn = pictures.comparisons([image], [labels], [predictions], NAMES)
    truth, answer, errors = np.array_split(drawn, 3, axis=1)
    assert share(truth, tinted(2)) > 0.01
    assert share(answer, tinted(2)) == 0
    assert share(errors, WRONG) > 0.01
    for tile in (truth, answer):
        assert share(tile, WRONG) < 0.001  # a swatch of the legend
    # All three begin and end at the same height, that of what is ignored on the right.
    overlaid = np.rint(128 + 0.55 * 127)
    marks = zip((truth, answer, errors), (overlaid, overlaid, PALE), strict=True)
    ends = []
    for tile, colour in marks:
        rows = np.flatnonzero((tile == colour).all(axis=-1).sum(axis=1) > 20)
        ends.append((rows[0], rows[-1]))
    assert np.ptp(ends, axis=0).max() <= 1
    assert ends[0][1] - ends[0][0] == pytest.approx(392 * 60 / 80, abs=3)


def test_titles_tell_the_numbers(monkeypatch):
    image, labels, predictions = scene()
    ignored = np.full_like(labels, 255)
    told = []
    monkeypatch.setattr(
        drawing, "grid", lambda tiles, *, titles, columns: told.extend(titles)
    )
    pictures.comparisons(
        [image] * 3, [labels, labels, ignored], [predictions, labels, labels], NAMES
    )
    # Sky is right, road 1800 of 2100, the car is lost: (1 + 6 / 7 + 0) / 3.
    assert told == [
        *("truth", "answer, mean IoU 0.619", "7.14% wrong"),
        *("truth", "answer, mean IoU 1.000", "0.00% wrong"),
        *("truth", "answer, all is ignored", "nothing to be wrong"),
    ]


@pytest.mark.parametrize("size", [(60, 80), (80, 60), (520, 200), (1, 1)])
def test_pictures_of_any_size_are_compared(size):
    image = np.full((*size, 3), 128, np.uint8)
    labels = np.zeros(size, np.uint8)
    drawn = pictures.comparisons([image], [labels], [labels + 1], NAMES)
    assert drawn.shape[1:] == (1200, 3)
    assert drawn.dtype == np.uint8


def test_a_batch_shows_sixteen_pictures():
    image, labels, _ = scene()
    images = np.stack([image / np.float32(255)] * 20)
    drawn = pictures.batch(images, np.stack([labels] * 20), NAMES)
    sixteen = pictures.batch(images[:16], np.stack([labels] * 16), NAMES)
    np.testing.assert_array_equal(drawn, sixteen)
    assert share(drawn, tinted(2)) > 0.01
    grey = pictures.batch(images[..., :1], np.stack([labels] * 20), NAMES)
    np.testing.assert_array_equal(grey, drawn)


def test_every_chart_is_drawn():
    _, labels, predictions = scene()
    matrix = metrics.confusion_matrix(labels, predictions, num_classes=3)
    charts = pictures.charts(matrix[None], NAMES)
    assert set(charts) == {"iou", "confusion_matrix", "confusion_matrix_normalized"}
    assert all(chart.shape[1:] == (1200, 3) for chart in charts.values())
    assert (charts["confusion_matrix"] != charts["confusion_matrix_normalized"]).any()


def test_charts_of_nothing_but_ignored_have_no_bars():
    charts = pictures.charts(np.zeros((2, 3, 3), int), NAMES)
    assert set(charts) == {"confusion_matrix", "confusion_matrix_normalized"}


def test_bars_begin_with_the_worst_class_and_end_where_they_are_too_many(monkeypatch):
    given = []
    monkeypatch.setattr(
        drawing,
        "bars",
        lambda values, *, notes, title, x_label: given.append((values, notes, title)),
    )
    right = np.arange(60) + 1
    matrix = np.diag(right)
    matrix[:, 59] += 60
    pictures.charts(matrix[None], [f"class {index}" for index in range(60)])
    ((values, notes, title),) = given
    assert list(values)[:2] == ["class 0", "class 1"]
    assert len(values) == len(notes) == 40
    assert list(values.values()) == sorted(values.values())
    assert values["class 0"] == pytest.approx(1 / 61)
    assert notes["class 0"].startswith("0.016, 1.1% of")
    assert title.startswith("IoU of 60 classes, the worst 40")
