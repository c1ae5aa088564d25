import json
import warnings

import keras
import numpy as np
import pytest
from sklearn import metrics as oracle

from tfdl import errors
from tfdl.tasks.segmentation import metrics

NAMES = ("sky", "road", "car", "tree")


def draw(num_pictures=12, *, seed=0, classes=range(4), size=(11, 9), ignored=0.15):
    """Label maps and predictions that are right more often than not."""
    rng = np.random.default_rng(seed)
    shape = (num_pictures, *size)
    labels = rng.choice(classes, shape, p=None).astype(np.uint8)
    guesses = rng.choice(classes, shape).astype(np.uint8)
    # Some pictures are harder than others.
    is_right = rng.uniform(size=shape) < rng.uniform(0.4, 0.9, (num_pictures, 1, 1))
    predictions = np.where(is_right, labels, guesses)
    labels[rng.uniform(size=shape) < ignored] = 255
    return labels, predictions


def count(labels, predictions, *, num_classes=4):
    pairs = zip(labels, predictions, strict=True)
    return np.stack(
        [metrics.confusion_matrix(*pair, num_classes=num_classes) for pair in pairs]
    )


def slow_ious(labels, predictions, *, num_classes=4):
    """Compare sets of pixels, class by class; None for one that is not in the truth."""
    places = [place for place in np.ndindex(labels.shape) if labels[place] != 255]
    ious = []
    for index in range(num_classes):
        true = {place for place in places if labels[place] == index}
        found = {place for place in places if predictions[place] == index}
        ious.append(len(true & found) / len(true | found) if true else None)
    return ious


class TestConfusionMatrix:
    def test_leaves_ignored_pixels_out_by_hand(self):
        labels = np.array([[0, 1, 255], [2, 2, 255]], np.uint8)
        predictions = np.array([[0, 2, 1], [2, 0, 200]], np.uint8)
        matrix = metrics.confusion_matrix(labels, predictions, num_classes=3)
        np.testing.assert_array_equal(matrix, [[1, 0, 0], [0, 0, 1], [1, 0, 1]])

    def test_equals_scikit_learn(self):
        labels, predictions = draw()
        counted = labels != 255
        expected = oracle.confusion_matrix(labels[counted], predictions[counted])
        found = count(labels, predictions)
        np.testing.assert_array_equal(found.sum(axis=0), expected)
        assert found.dtype == np.int64

    def test_of_nothing_but_ignored_is_empty(self):
        ignored = np.full((3, 5), 255, np.uint8)
        matrix = metrics.confusion_matrix(ignored, ignored, num_classes=4)
        np.testing.assert_array_equal(matrix, np.zeros((4, 4)))

    def test_refuses_maps_of_two_sizes(self):
        with pytest.raises(errors.UsageError, match=r"\(2, 3\) and \(3, 2\)"):
            metrics.confusion_matrix(np.zeros((2, 3)), np.zeros((3, 2)), num_classes=2)

    @pytest.mark.parametrize("name", ["labels", "predictions"])
    def test_refuses_classes_out_of_range(self, name):
        maps = {"labels": np.zeros((2, 2), int), "predictions": np.zeros((2, 2), int)}
        maps[name][1, 1] = 4
        with pytest.raises(errors.UsageError, match=f"`{name}` must lie in"):
            metrics.confusion_matrix(**maps, num_classes=4)


class TestEvaluate:
    def test_is_right_by_hand(self):
        # 6 pixels of a, of which 4 are right; 3 of b, of which 1 is; 1 of c, not found.
        matrices = np.array(
            [[[4, 1, 0], [0, 0, 0], [0, 0, 0]], [[0, 1, 0], [2, 1, 0], [1, 0, 0]]]
        )
        measured = metrics.evaluate(matrices, class_names="abc")
        a, b = 4 / 9, 1 / 5
        expected = {
            "mean_iou": (a + b + 0) / 3,
            "mean_dice": (8 / 13 + 2 / 6 + 0) / 3,
            "mean_accuracy": (4 / 6 + 1 / 3 + 0) / 3,
            "pixel_accuracy": 5 / 10,
            "frequency_weighted_iou": 0.6 * a + 0.3 * b,
            "num_examples": 2,
            "num_pixels": 10,
        }
        for name, number in expected.items():
            assert measured.pop(name) == pytest.approx(number), name
        assert set(measured) == {"mean_iou_interval", "pixel_accuracy_interval"}

    def test_equals_scikit_learn(self):
        labels, predictions = draw()
        counted = labels != 255
        pair = labels[counted], predictions[counted]
        expected = {
            "mean_iou": oracle.jaccard_score(*pair, average="macro"),
            "mean_dice": oracle.f1_score(*pair, average="macro"),
            "mean_accuracy": oracle.balanced_accuracy_score(*pair),
            "pixel_accuracy": oracle.accuracy_score(*pair),
            "frequency_weighted_iou": oracle.jaccard_score(*pair, average="weighted"),
        }
        measured = metrics.evaluate(count(labels, predictions), class_names=NAMES)
        for name, number in expected.items():
            assert measured[name] == pytest.approx(number, abs=1e-9), name

    def test_equals_keras_where_all_classes_are_present(self):
        labels, predictions = draw()
        expected = keras.metrics.MeanIoU(num_classes=4, ignore_class=255)
        expected.update_state(labels, predictions)
        measured = metrics.evaluate(count(labels, predictions), class_names=NAMES)
        assert measured["mean_iou"] == pytest.approx(float(expected.result()), abs=1e-6)

    def test_leaves_out_classes_that_do_not_occur(self):
        labels, predictions = draw(classes=[0, 2])
        predictions[0, 0, 0] = 3  # is not there
        matrices = count(labels, predictions)
        measured = metrics.evaluate(matrices, class_names=NAMES)
        ious = slow_ious(labels, predictions)
        assert ious[1] is ious[3] is None
        assert measured["mean_iou"] == pytest.approx((ious[0] + ious[2]) / 2)
        accuracies = [
            np.mean(predictions[labels == index] == index) for index in (0, 2)
        ]
        assert measured["mean_accuracy"] == pytest.approx(np.mean(accuracies))
        low, high = measured["mean_iou_interval"]
        assert low < measured["mean_iou"] < high

    def test_of_right_maps_is_one(self):
        labels, _ = draw(classes=[1, 2])
        measured = metrics.evaluate(count(labels, labels), class_names=NAMES)
        for name in ("num_examples", "num_pixels"):
            measured.pop(name)
        intervals = [measured.pop(f"{name}_interval") for name in metrics._BOUNDED]
        assert intervals == [[1, 1], [1, 1]]
        assert set(measured.values()) == {1.0}

    def test_a_picture_of_nothing_but_ignored_changes_no_more_than_the_count(self):
        labels, predictions = draw()
        matrices = count(labels, predictions)
        with_empty = np.concatenate([matrices, np.zeros((3, 4, 4), int)])
        measured = metrics.evaluate(matrices, class_names=NAMES)
        again = metrics.evaluate(with_empty, class_names=NAMES)
        assert again.pop("num_examples") == 15
        assert measured.pop("num_examples") == 12
        assert again == measured

    def test_of_nothing_but_ignored_says_nothing(self):
        matrices = np.zeros((2, 4, 4), np.int64)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            measured = metrics.evaluate(matrices, class_names=NAMES)
        assert measured == {"num_examples": 2, "num_pixels": 0}

    def test_bounds_what_other_pictures_would_give(self):
        matrices = count(*draw(200))
        measured = metrics.evaluate(matrices[:40], class_names=NAMES, seed=3)
        assert metrics.evaluate(matrices[:40], class_names=NAMES, seed=3) == measured
        # The spread over samples of 40 of 200 pictures, drawn here one by one.
        rng = np.random.default_rng(0)
        for name in ("mean_iou", "pixel_accuracy"):
            low, high = measured[f"{name}_interval"]
            assert low < measured[name] < high
            others = [
                metrics.brief(matrices[rng.integers(200, size=40)])[name]
                for _ in range(300)
            ]
            spread = np.diff(np.quantile(others, [0.025, 0.975]))
            assert high - low == pytest.approx(spread, rel=0.3)

    def test_a_resample_is_measured_as_the_split_of_its_pictures(self):
        matrices = count(*draw(5, classes=[0, 1, 3]))
        chosen = np.random.default_rng(1).integers(5, size=(20, 5))
        statistic = metrics._of_sums(metrics._mean_iou)
        found = statistic(metrics._sums(matrices)[chosen], axis=1)
        expected = [metrics.brief(matrices[row])["mean_iou"] for row in chosen]
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_returns_flat_json(self):
        measured = metrics.evaluate(count(*draw()), class_names=NAMES)
        assert json.loads(json.dumps(measured, allow_nan=False)) == measured

    def test_counts_more_pixels_than_float32_could(self):
        matrices = np.array([[[2**30 + 1, 0], [1, 2**30]]] * 4)
        measured = metrics.evaluate(matrices, class_names="ab")
        assert measured["num_pixels"] == 4 * (2**31 + 2)
        assert 1 - measured["pixel_accuracy"] == pytest.approx(1 / (2**31 + 2))

    def test_needs_a_name_for_each_class(self):
        with pytest.raises(errors.UsageError, match="must name 4 classes"):
            metrics.evaluate(count(*draw()), class_names="ab")

    def test_needs_a_picture(self):
        with pytest.raises(errors.UsageError, match="at least one example"):
            metrics.evaluate(np.zeros((0, 4, 4), int), class_names=NAMES)


class TestBrief:
    def test_is_the_beginning_of_evaluate(self):
        matrices = count(*draw())
        measured = metrics.evaluate(matrices, class_names=NAMES)
        names = ("mean_iou", "pixel_accuracy")
        assert metrics.brief(matrices) == {name: measured[name] for name in names}

    def test_of_nothing_but_ignored_is_zero(self):
        found = metrics.brief(np.zeros((2, 4, 4), int))
        assert found == {"mean_iou": 0, "pixel_accuracy": 0}

    def test_needs_a_picture(self):
        with pytest.raises(errors.UsageError, match="at least one example"):
            metrics.brief(np.zeros((0, 4, 4), int))


class TestPerClass:
    def test_equals_slow_sets(self):
        labels, predictions = draw(4)
        rows = metrics.per_class(count(labels, predictions), class_names=NAMES)
        assert [row["class"] for row in rows] == list(NAMES)
        ious = slow_ious(labels, predictions)
        np.testing.assert_allclose([row["iou"] for row in rows], ious)
        # Dice and IoU are each other's function.
        dice = [2 * iou / (1 + iou) for iou in ious]
        np.testing.assert_allclose([row["dice"] for row in rows], dice)

    def test_equals_scikit_learn(self):
        labels, predictions = draw()
        counted = labels != 255
        precision, recall, f1, support = oracle.precision_recall_fscore_support(
            labels[counted], predictions[counted]
        )
        rows = metrics.per_class(count(labels, predictions), class_names=NAMES)
        expected = {
            "pixels": support,
            "share": support / support.sum(),
            "precision": precision,
            "accuracy": recall,
            "dice": f1,
        }
        for name, column in expected.items():
            np.testing.assert_allclose([row[name] for row in rows], column)

    def test_of_absent_classes_is_none(self):
        matrices = np.array([[[3, 0, 1], [0, 0, 0], [2, 0, 0]]])
        rows = metrics.per_class(matrices, class_names="abc")
        absent = {"class": "b", "pixels": 0, "share": 0.0}
        absent |= dict.fromkeys(("iou", "dice", "accuracy", "precision"))
        assert rows[1] == absent
        assert rows[2]["iou"] == rows[2]["precision"] == 0
        matrices[0, 0] = [4, 0, 0]
        rows = metrics.per_class(matrices, class_names="abc")
        assert rows[2]["precision"] is None  # never predicted
        assert rows[2]["iou"] == 0
        json.dumps(rows, allow_nan=False)


def test_each_picture_is_measured_alone():
    labels, predictions = draw(6)
    labels[2] = 255
    labels[3][labels[3] == 1] = 2
    found = metrics.picture_ious(count(labels, predictions))
    assert np.isnan(found[2])
    for index in (0, 1, 3, 4, 5):
        ious = slow_ious(labels[index], predictions[index])
        present = [iou for iou in ious if iou is not None]
        assert found[index] == pytest.approx(np.mean(present))
    assert metrics.picture_ious(np.zeros((0, 4, 4))).shape == (0,)
