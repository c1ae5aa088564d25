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
    assert results.error(collected) == (1 - expected["accuracy"], 50)
    assert collected.features.size == collected.embedded.size == 0


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_worst_are_those_of_a_sort_of_everything(multi_label):
    collected = results.collect(batches(one_hot()), 50, multi_label=multi_label)
    losses = metrics.losses(
        collected.probabilities, collected.labels, multi_label=multi_label
    )
    expected = np.argsort(-losses, kind="stable")[:32]
    np.testing.assert_array_equal(collected.worst, expected)
    np.testing.assert_allclose(collected.worst_images[:, 0, 0, 0] * 100, expected)


def test_features_have_their_thumbnails():
    collected = results.collect(with_features(), 50, multi_label=False)
    np.testing.assert_array_equal(collected.embedded, np.arange(50))
    np.testing.assert_allclose(collected.features[:, 0], np.arange(50))
    expected = np.round(np.arange(50) / 100 * 255)
    np.testing.assert_allclose(collected.thumbnails[:, 0, 0, 0], expected)


def test_of_many_pictures_a_thousand_are_embedded():
    images = np.zeros((600, 2, 2, 1), np.float32)
    targets = np.eye(3, dtype=np.float32)[np.zeros(600, int)]
    batch = {"image": images, "classes": targets}
    logits, features = np.zeros((600, 3), np.float32), np.ones((600, 2), np.float32)
    pairs = [((logits, features), batch)] * 2
    collected = results.collect(pairs, 1200, multi_label=False)
    assert len(collected.embedded) == len(collected.features) == 1000
    assert len(collected.thumbnails) == 1000
    assert len(collected.images) == len(collected.worst_images) == 32


def with_features():
    first = 0
    for logits, batch in batches(one_hot()):
        numbers = np.arange(first, first + len(logits), dtype=np.float32)
        yield (logits, np.stack([numbers, -numbers], axis=1)), batch
        first += len(logits)


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_report_holds_all_that_is_written(multi_label):
    collected = results.collect(with_features(), 50, multi_label=multi_label)
    found = results.report(collected, NAMES)
    assert found["metrics"]["num_examples"] == 50
    assert [row["class"] for row in found["per_class"]] == list(NAMES)
    assert sum(row["support"] for row in found["per_class"]) == 50
    assert found["samples"].keys() == {"predictions", "worst_mistakes"}
    matrices = {"confusion_matrix", "confusion_matrix_normalized"}
    assert {"roc", "calibration"} <= found["plots"].keys()
    assert (matrices <= found["plots"].keys()) is not multi_label
    assert tuple(found["confusions"]) == NAMES
    rows = found["embedding"]["rows"]
    assert [row["class"] for row in rows] == [NAMES[label] for label in LABELS]
    assert rows[7]["answer"] == NAMES[LOGITS[7].argmax()]


def test_a_glance_is_part_of_the_report():
    collected = results.collect(batches(one_hot()), 50, multi_label=False)
    glance, whole = results.glance(collected, NAMES), results.report(collected, NAMES)
    assert glance.keys() == {"samples", "plots"}
    for kind, drawn in glance.items():
        assert drawn
        for name, picture in drawn.items():
            np.testing.assert_array_equal(picture, whole[kind][name])


def test_predictions_of_files_are_rows_of_probabilities(tmp_path):
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}, with a comma.png")
        PIL.Image.new("RGB", (5, 4), (number, 0, 0)).save(files[-1])

    def answer(image_bytes):
        probabilities = tf.constant([[0.1, 0.7, 0.2]])
        return {"probabilities": probabilities, "class_name": tf.constant(["bee"])}

    found = results.predictions(files, answer, NAMES, on_bad_data="error")
    assert [row["file"] for row in found["rows"]] == [str(file) for file in files]
    assert found["rows"][0]["bee"] == pytest.approx(0.7)
    assert found["samples"]["answers"].shape[-1] == 3
