import numpy as np
import pytest

from tfdl import drawing
from tfdl.tasks.classification import pictures

NAMES = ("ant", "bee", "cat")
IMAGES = np.random.default_rng(0).random((4, 8, 8, 3)).astype("float32")


@pytest.fixture
def titles(monkeypatch):
    """Catch what is written over the pictures."""
    caught = {}

    def grid(images, **options):
        caught.update(options)
        return np.zeros((10, 10, 3), np.uint8)

    monkeypatch.setattr(drawing, "grid", grid)
    return caught


def test_a_batch_names_classes_and_the_shares_of_mixtures(titles):
    targets = np.float32([[1, 0, 0], [0.25, 0.75, 0], [0, 1, 1], [0, 0, 0]])
    pictures.batch(IMAGES, targets, NAMES)
    assert titles["titles"] == ["ant", "ant 0.25, bee 0.75", "bee, cat", ""]


def test_a_wrong_prediction_says_what_the_truth_was_given_in_red(titles):
    probabilities = np.float32([[0.9, 0.1, 0], [0.15, 0.8, 0.05]])
    targets = np.float32([[1, 0, 0], [0, 0, 1]])
    pictures.predictions(IMAGES[:2], probabilities, targets, NAMES, multi_label=False)
    assert titles["titles"] == ["ant 0.90", "bee 0.80, is cat 0.05"]
    assert titles["title_colours"] == ["green", "red"]


def test_of_labels_the_one_that_is_most_wrong_is_named(titles):
    probabilities = np.float32(
        [[0.9, 0.7, 0.1], [0.9, 0.7, 0.1], [0.9, 0.7, 0.1], [0.1, 0.8, 0.2]]
    )
    targets = np.float32([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]])
    pictures.predictions(IMAGES, probabilities, targets, NAMES, multi_label=True)
    assert titles["titles"] == [
        "ant 0.90",
        "bee 0.70, is ant",
        "no cat 0.10, is ant, bee, cat",
        "bee 0.80, is none",
    ]
    assert titles["title_colours"] == ["green", "red", "red", "red"]


CURVES = {"roc", "precision_recall", "f_score", "calibration"}
MATRICES = {"confusion_matrix", "confusion_matrix_normalized"}


def test_charts_of_classes_have_confusion_matrices_and_of_labels_none():
    probabilities = np.float32([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    drawn = pictures.charts(probabilities, np.array([0, 1, 2]), NAMES)
    assert drawn.keys() == CURVES | MATRICES
    assert all(picture.shape[1:] == (1200, 3) for picture in drawn.values())
    labels = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]])
    assert pictures.charts(probabilities, labels, NAMES).keys() == CURVES


def test_charts_of_one_picture_are_drawn():
    drawn = pictures.charts(np.float32([[0.8, 0.1, 0.1]]), np.array([1]), NAMES)
    assert drawn.keys() == CURVES | MATRICES


def test_the_matrix_in_shares_is_another_picture():
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 1, 2]]
    drawn = pictures.confusion_matrices(probabilities, np.array([0, 1, 2, 2]), NAMES)
    counts, shares = (drawn[name] for name in sorted(MATRICES))
    assert (counts != shares).any()
