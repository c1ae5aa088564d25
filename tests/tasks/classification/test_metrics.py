import json

import keras
import numpy as np
import pytest
from sklearn import metrics as oracle

from tfdl import errors
from tfdl.tasks.classification import metrics

NUM_CLASSES = 8
NAMES = [f"class {index}" for index in range(NUM_CLASSES)]


def draw_classes(num_examples=400, num_occurring=NUM_CLASSES):
    """Rounded, and so tied, probabilities that are right more often than not."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, num_occurring, num_examples)
    logits = rng.normal(size=(num_examples, NUM_CLASSES))
    logits[np.arange(num_examples), targets] += 1.5
    # 64ths sum to 1 exactly.
    probabilities = np.stack(
        [rng.multinomial(64, row) for row in np.asarray(keras.ops.softmax(logits))]
    )
    return probabilities / 64, targets


def draw_labels(num_examples=400):
    rng = np.random.default_rng(0)
    targets = (rng.random((num_examples, NUM_CLASSES)) < 0.3).astype(np.int64)
    probabilities = 0.8 * rng.random((num_examples, NUM_CLASSES)) + 0.2 * targets
    return np.round(probabilities, 2), targets


def evaluate(probabilities, targets, **options):
    options = {"class_names": NAMES, "seed": 0, "multi_label": False} | options
    return metrics.evaluate(probabilities, targets, **options)


def tabulate(probabilities, targets, *, class_names=NAMES, multi_label=False):
    """Return the columns of `per_class`."""
    rows = metrics.per_class(
        probabilities, targets, class_names=class_names, multi_label=multi_label
    )
    return {key: [row[key] for row in rows] for key in rows[0]}


class TestClasses:
    def test_are_measured_by_hand(self):
        probabilities = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.5, 0.5, 0.0]]
        measured = evaluate(probabilities, [0, 1, 1], class_names=["a", "b", "c"])
        assert measured["num_examples"] == 3
        assert measured["accuracy"] == pytest.approx(2 / 3)
        assert measured["loss"] == pytest.approx(np.log(2))
        assert measured["precision_macro"] == pytest.approx((1 / 2 + 1) / 2)
        assert measured["recall_macro"] == pytest.approx((1 + 1 / 2) / 2)
        assert measured["f1_macro"] == pytest.approx(2 / 3)
        # a: 0.5 of 0.25 and of a tie; b: 0.5 and 0.5 of 0.25.
        assert measured["roc_auc_macro"] == pytest.approx((0.75 + 1) / 2)
        assert measured["calibration_error"] == pytest.approx(2 / 3 - 1 / 2)
        assert "top5_accuracy" not in measured

    def test_equal_scikit_learn(self):
        probabilities, targets = draw_classes()
        predictions = probabilities.argmax(axis=1)
        precision, recall, f1, _ = oracle.precision_recall_fscore_support(
            targets, predictions, average="macro"
        )
        expected = {
            "accuracy": oracle.accuracy_score(targets, predictions),
            "precision_macro": precision,
            "recall_macro": recall,
            "f1_macro": f1,
            "roc_auc_macro": oracle.roc_auc_score(
                targets, probabilities, multi_class="ovr", average="macro"
            ),
            # Among equal scores scikit-learn prefers the higher class.
            "top5_accuracy": oracle.top_k_accuracy_score(
                NUM_CLASSES - 1 - targets, probabilities[:, ::-1], k=5
            ),
        }
        measured = evaluate(probabilities, targets)
        for name, value in expected.items():
            assert measured[name] == pytest.approx(value, abs=1e-6), name

    def test_have_the_loss_of_keras(self):
        probabilities, targets = draw_classes()
        expected = keras.losses.SparseCategoricalCrossentropy()
        measured = metrics.brief(probabilities, targets, multi_label=False)
        assert measured["loss"] == pytest.approx(
            float(expected(targets, probabilities)), abs=1e-6
        )
        assert measured["accuracy"] == evaluate(probabilities, targets)["accuracy"]

    def test_have_the_table_of_scikit_learn(self):
        probabilities, targets = draw_classes()
        table = tabulate(probabilities, targets)
        precision, recall, f1, support = oracle.precision_recall_fscore_support(
            targets, probabilities.argmax(axis=1)
        )
        one_hot = np.eye(NUM_CLASSES)[targets]
        expected = {
            "support": support,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "roc_auc": oracle.roc_auc_score(one_hot, probabilities, average=None),
            "average_precision": oracle.average_precision_score(
                one_hot, probabilities, average=None
            ),
        }
        assert table.pop("class") == NAMES
        assert table.keys() == expected.keys()
        for name, column in expected.items():
            np.testing.assert_allclose(table[name], column, atol=1e-6, err_msg=name)

    def test_may_be_absent_from_the_split(self):
        probabilities, targets = draw_classes(num_occurring=6)
        probabilities[:, 7] = 0  # neither occurs nor is predicted; 6 is predicted
        table = tabulate(probabilities, targets)
        assert table["support"][6:] == [0, 0]
        assert table["f1"][6:] == [0, 0]
        assert table["roc_auc"][6:] == table["average_precision"][6:] == [None, None]

        measured = evaluate(probabilities, targets)
        predictions = probabilities.argmax(axis=1)
        assert 6 in predictions
        assert measured["f1_macro"] == pytest.approx(
            oracle.f1_score(targets, predictions, average="macro", zero_division=0)
        )
        assert measured["roc_auc_macro"] == pytest.approx(np.mean(table["roc_auc"][:6]))

    def test_may_be_one(self):
        measured = evaluate([[0.9, 0.1], [0.2, 0.8]], [0, 0], class_names=["a", "b"])
        assert measured["accuracy"] == 0.5
        assert "roc_auc_macro" not in measured

    def test_are_confused_as_the_argmax_says(self):
        probabilities, targets = draw_classes()
        np.testing.assert_array_equal(
            metrics.confusion_matrix(probabilities, targets),
            oracle.confusion_matrix(targets, probabilities.argmax(axis=1)),
        )


class TestLabels:
    def test_are_measured_by_hand(self):
        probabilities = [[0.9, 0.1], [0.8, 0.7], [0.4, 0.6]]
        targets = np.array([[1, 0], [0, 1], [1, 1]])
        measured = evaluate(
            probabilities, targets, class_names=["a", "b"], multi_label=True
        )
        assert measured["accuracy"] == pytest.approx(1 / 3)
        assert measured["label_accuracy"] == pytest.approx(4 / 6)
        assert measured["precision_micro"] == pytest.approx(3 / 4)
        assert measured["recall_micro"] == pytest.approx(3 / 4)
        assert measured["precision_macro"] == pytest.approx((1 / 2 + 1) / 2)
        # a ranks 1, 0, 1: (1 / 1 + 2 / 3) / 2; b is without fault.
        assert measured["mean_average_precision"] == pytest.approx((5 / 6 + 1) / 2)
        assert measured["roc_auc_macro"] == pytest.approx((1 / 2 + 1) / 2)

    def test_equal_scikit_learn(self):
        probabilities, targets = draw_labels()
        predictions = (probabilities > 0.5).astype(np.int64)
        expected = {
            "accuracy": oracle.accuracy_score(targets, predictions),
            "label_accuracy": 1 - oracle.hamming_loss(targets, predictions),
            "mean_average_precision": oracle.average_precision_score(
                targets, probabilities, average="macro"
            ),
            "roc_auc_macro": oracle.roc_auc_score(
                targets, probabilities, average="macro"
            ),
        }
        for average in ("micro", "macro"):
            rates = oracle.precision_recall_fscore_support(
                targets, predictions, average=average
            )
            for name, rate in zip(("precision", "recall", "f1"), rates, strict=False):
                expected[f"{name}_{average}"] = rate
        measured = evaluate(probabilities, targets, multi_label=True)
        for name, value in expected.items():
            assert measured[name] == pytest.approx(value, abs=1e-6), name
        extra = {"loss", "accuracy_interval", "num_examples"}
        assert measured.keys() == expected.keys() | extra

    def test_have_the_loss_of_keras(self):
        probabilities, targets = draw_labels()
        expected = keras.losses.BinaryCrossentropy()(targets, probabilities)
        measured = metrics.brief(probabilities, targets, multi_label=True)
        assert measured["loss"] == pytest.approx(float(expected), abs=1e-6)

    def test_have_the_table_of_scikit_learn(self):
        probabilities, targets = draw_labels()
        table = tabulate(probabilities, targets, multi_label=True)
        expected = oracle.precision_recall_fscore_support(targets, probabilities > 0.5)
        columns = ("precision", "recall", "f1", "support")
        for name, column in zip(columns, expected, strict=True):
            np.testing.assert_allclose(table[name], column, atol=1e-6, err_msg=name)

    def test_may_all_be_absent(self):
        probabilities, targets = draw_labels()
        measured = evaluate(probabilities, np.zeros_like(targets), multi_label=True)
        assert measured["recall_micro"] == measured["f1_macro"] == 0
        assert not {"roc_auc_macro", "mean_average_precision"} & measured.keys()

    def test_of_every_picture_have_no_roc(self):
        probabilities, targets = draw_labels()
        targets[:, 3] = 1
        table = tabulate(probabilities, targets, multi_label=True)
        assert table["roc_auc"][3] is None
        assert table["average_precision"][3] == pytest.approx(1)


class TestEvaluate:
    def test_bounds_the_accuracy_as_the_seed_says(self):
        probabilities, targets = draw_classes()
        first, again = (evaluate(probabilities, targets, seed=1) for _ in range(2))
        low, high = first["accuracy_interval"]
        assert first == again
        assert low < first["accuracy"] < high
        assert high - low == pytest.approx(0.1, abs=0.03)

    @pytest.mark.parametrize("draw", [draw_classes, draw_labels])
    def test_returns_flat_json(self, draw):
        probabilities, targets = draw()
        measured = evaluate(
            probabilities.astype(np.float32), targets, multi_label=targets.ndim == 2
        )
        assert json.loads(json.dumps(measured, allow_nan=False)) == measured

    @pytest.mark.parametrize("draw", [draw_classes, draw_labels])
    def test_agrees_with_the_drawn_curves(self, draw):
        probabilities, targets = draw()
        table = tabulate(probabilities, targets, multi_label=targets.ndim == 2)
        curves = metrics.roc_curves(probabilities, targets, class_names=NAMES)
        assert list(curves) == NAMES
        for (fpr, tpr, area), expected in zip(
            curves.values(), table["roc_auc"], strict=True
        ):
            assert area == expected
            assert fpr[0] == tpr[0] == 0
            assert fpr[-1] == tpr[-1] == 1

    def test_leaves_undrawn_the_curves_of_absent_classes(self):
        probabilities, targets = draw_classes(num_occurring=6)
        curves = metrics.roc_curves(probabilities, targets, class_names=NAMES)
        assert list(curves) == NAMES[:6]

    def test_refuses_probabilities_that_are_not_finite(self):
        probabilities, targets = draw_classes()
        probabilities[3, 1] = np.nan
        with pytest.raises(errors.DivergedError, match="1 of 400 pictures"):
            evaluate(probabilities, targets)

    def test_refuses_no_examples(self):
        with pytest.raises(errors.DataError, match="no examples"):
            evaluate(np.zeros((0, NUM_CLASSES)), np.zeros(0))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"probabilities": np.full((2, 8), 3.0)}, r"must lie in \[0, 1\]"),
            ({"targets": [0, 8]}, r"`targets` must lie in \[0, 7\]"),
            ({"targets": [0, -1]}, r"`targets` must lie in \[0, 7\]"),
            ({"targets": [0, 1, 2]}, r"and `targets` \(examples,\)"),
            ({"targets": np.eye(8)[:2]}, r"and `targets` \(examples,\)"),
            ({"multi_label": True}, r"and `targets` \(examples, classes\)"),
            (
                {"multi_label": True, "targets": np.full((2, 8), 2)},
                r"`targets` must lie in \[0, 1\]",
            ),
            ({"class_names": ["a"]}, "`class_names` must name 8 classes"),
        ],
    )
    def test_refuses_what_does_not_fit(self, changes, message):
        arguments = {"probabilities": np.full((2, 8), 0.125), "targets": [0, 1]}
        with pytest.raises(errors.UsageError, match=message):
            evaluate(**arguments | changes)
