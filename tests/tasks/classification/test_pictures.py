import numpy as np
import PIL.Image
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


def test_a_wrong_prediction_says_what_is_true_in_red(titles):
    probabilities = np.float32([[0.9, 0.1, 0], [0.2, 0.8, 0]])
    targets = np.float32([[1, 0, 0], [0, 0, 1]])
    pictures.predictions(IMAGES[:2], probabilities, targets, NAMES)
    assert titles["titles"] == ["ant 0.90", "bee 0.80, is cat"]
    assert titles["title_colours"] == ["green", "red"]


def test_curves_are_drawn_from_the_table_of_metrics(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(
        "epoch,accuracy,loss,val_loss,val_accuracy\n1,0.5,1.0,1.1,0.4\n2,0.6,0.8,1.0,0.5\n"
    )
    drawn = pictures.training_curves(path)
    assert drawn.keys() == {"loss", "accuracy"}
    assert all(picture.shape[1] == 1200 for picture in drawn.values())


def test_evaluation_of_classes_has_a_confusion_matrix_and_of_labels_none():
    probabilities = np.float32([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])
    drawn = pictures.evaluation(probabilities, np.array([0, 1, 2]), NAMES)
    assert drawn.keys() == {"roc", "confusion_matrix"}
    labels = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]])
    assert pictures.evaluation(probabilities, labels, NAMES).keys() == {"roc"}


def test_saved_pictures_are_what_was_drawn(tmp_path):
    picture = (IMAGES[0] * 255).astype("uint8")
    pictures.save(tmp_path / "new", {"name": picture})
    with PIL.Image.open(tmp_path / "new" / "name.png") as opened:
        np.testing.assert_array_equal(np.asarray(opened), picture)
