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
        for index in range(NUM_CLASSES):
            threshold = table["best_threshold"][index]
            expected_f1 = oracle.f1_score(
                targets == index, probabilities[:, index] >= threshold
            )
            assert table["best_f1"][index] == pytest.approx(expected_f1)
            assert expected_f1 >= f1[index]
        assert table.keys() == expected.keys() | {"best_f1", "best_threshold"}
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
        extra = {"loss", "num_examples", "calibration_error"}
        extra |= {f"{name}_interval" for name in ("loss", "accuracy", "f1_macro")}
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

    def test_bounds_macro_f1_as_scikit_learn_of_every_resample(self):
        probabilities, targets = draw_classes(60)
        probabilities[:, 0] = 0  # a class that is never predicted, and may be absent
        draws = np.random.default_rng(5).integers(0, 60, (1000, 60))
        guesses = probabilities.argmax(axis=1)
        resampled = [
            oracle.f1_score(targets[chosen], guesses[chosen], average="macro")
            for chosen in draws[:200]
        ]
        pairs = np.stack([targets, guesses], axis=1)
        found = metrics._f1_of_pairs(pairs[draws[:200]], 1, num_classes=NUM_CLASSES)
        np.testing.assert_allclose(found, resampled, rtol=0, atol=1e-9)
        low, high = evaluate(probabilities, targets, seed=5)["f1_macro_interval"]
        assert low == pytest.approx(np.quantile(resampled, 0.025), abs=0.02)
        assert high == pytest.approx(np.quantile(resampled, 0.975), abs=0.02)

    def test_bounds_macro_f1_of_labels_as_scikit_learn(self):
        probabilities, targets = draw_labels(50)
        targets[:, 2] = 0
        draws = np.random.default_rng(5).integers(0, 50, (100, 50))
        outcomes, statistic = metrics._for_f1(probabilities, targets)
        expected = [
            oracle.f1_score(
                targets[chosen],
                probabilities[chosen] > 0.5,
                average="macro",
                zero_division=0,
            )
            for chosen in draws
        ]
        found = statistic(outcomes[draws], axis=1)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)

    @pytest.mark.parametrize("draw", [draw_classes, draw_labels])
    def test_has_the_mean_of_the_losses(self, draw):
        probabilities, targets = draw()
        multi_label = targets.ndim == 2
        losses = metrics.losses(probabilities, targets, multi_label=multi_label)
        measured = evaluate(probabilities, targets, multi_label=multi_label)
        assert losses.shape == (400,)
        assert measured["loss"] == pytest.approx(losses.mean())
        low, high = measured["loss_interval"]
        assert low < losses.mean() < high

    def test_of_a_broken_model_is_refused(self):
        probabilities, targets = draw_classes()
        probabilities[3, 1] = np.nan
        with pytest.raises(errors.DivergedError, match="1 of 400 pictures"):
            evaluate(probabilities, targets)

    def test_needs_a_name_for_each_class(self):
        probabilities, targets = draw_classes()
        with pytest.raises(errors.UsageError, match="must name 8 classes"):
            evaluate(probabilities, targets, class_names=["a"])
