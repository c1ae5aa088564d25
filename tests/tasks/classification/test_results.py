import csv
import json

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.tasks.classification import metrics, results

NAMES = ("ant", "bee", "cat")
LOGITS = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")
LABELS = np.random.default_rng(1).integers(0, 3, 50)


def batches(targets):
    """Yield pairs as inference does, in uneven batches."""
    images = np.zeros((50, 6, 6, 3), np.float32)
    images += np.arange(50)[:, np.newaxis, np.newaxis, np.newaxis] / 100
    for part in (slice(0, 20), slice(20, 40), slice(40, 50)):
        yield LOGITS[part], {"image": images[part], "classes": targets[part]}


def one_hot():
    return np.eye(3, dtype=np.float32)[LABELS]


def test_nothing_is_lost_between_batches():
    collected = results.collect(batches(one_hot()), 50, multi_label=False)
    assert collected.probabilities.shape == (50, 3)
    np.testing.assert_array_equal(collected.labels, LABELS)
    assert len(collected.images) == 32
    assert collected.shown[-1] == 49
    np.testing.assert_allclose(collected.images[:, 0, 0, 0] * 100, collected.shown)
    expected = metrics.brief(collected.probabilities, LABELS, multi_label=False)
    assert results.brief(collected) == expected
    assert expected["accuracy"] == np.mean(LOGITS.argmax(-1) == LABELS)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_report_is_written_and_read_back(tmp_path, multi_label):
    collected = results.collect(batches(one_hot()), 50, multi_label=multi_label)
    measured = results.report(tmp_path, collected, NAMES, split="test")
    assert json.loads((tmp_path / "eval" / "metrics.json").read_text()) == measured
    with open(tmp_path / "eval" / "per_class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list(NAMES)
    assert sum(int(row["support"]) for row in rows) == 50
    drawn = {path.name for path in (tmp_path / "plots").iterdir()}
    assert drawn == {"roc.png"} | (set() if multi_label else {"confusion_matrix.png"})


def test_another_split_does_not_overwrite_the_test_split(tmp_path):
    collected = results.collect(batches(one_hot()), 50, multi_label=False)
    results.report(tmp_path, collected, NAMES, split="validation")
    assert (tmp_path / "eval" / "metrics_validation.json").exists()
    assert not (tmp_path / "eval" / "metrics.json").exists()


def test_predictions_of_files_are_rows_of_probabilities(tmp_path):
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}, with a comma.png")
        PIL.Image.new("RGB", (5, 4), (number, 0, 0)).save(files[-1])

    def answer(image_bytes):
        probabilities = tf.constant([[0.1, 0.7, 0.2]])
        return {"probabilities": probabilities, "class_name": tf.constant(["bee"])}

    path = results.write_predictions(tmp_path, files, answer, NAMES)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [str(file) for file in files]
    assert float(rows[0]["bee"]) == pytest.approx(0.7)
    assert (tmp_path / "samples" / "answers.png").exists()
