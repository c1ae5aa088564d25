import numpy as np
import pytest

from tfdl import errors
from tfdl.tasks.classification import checks

NUM_CLASSES = 8


def test_what_fits_comes_back_as_arrays():
    probabilities, targets = checks.answers([[0.2, 0.8]], [1], multi_label=False)
    assert probabilities.shape == (1, 2)
    assert targets.dtype == np.int64


def test_a_softmax_in_low_precision_may_exceed_1():
    probabilities, _ = checks.answers([[1.004, 0.0]], [0], multi_label=False)
    assert probabilities.max() == 1.004


@pytest.mark.parametrize(
    "targets", [np.array([0, 2, 1]), np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]])]
)
def test_every_class_is_asked_against_the_rest(targets):
    probabilities = np.arange(9).reshape(3, 3) / 10
    for index, (scores, positives) in enumerate(
        checks.one_against_rest(probabilities, targets)
    ):
        np.testing.assert_array_equal(scores, probabilities[:, index])
        np.testing.assert_array_equal(positives, np.array([0, 2, 1]) == index)


def test_probabilities_that_are_not_finite_are_refused():
    probabilities = np.full((40, 2), 0.5)
    probabilities[3, 1] = np.nan
    with pytest.raises(errors.DivergedError, match="1 of 40 pictures"):
        checks.answers(probabilities, np.zeros(40), multi_label=False)


def test_no_examples_are_refused():
    with pytest.raises(errors.DataError, match="no examples"):
        checks.answers(np.zeros((0, NUM_CLASSES)), np.zeros(0), multi_label=False)


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
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    arguments = {"probabilities": np.full((2, 8), 0.125), "targets": [0, 1]}
    arguments |= {"multi_label": False} | changes
    with pytest.raises(errors.UsageError, match=message):
        checks.answers(**arguments)


def test_another_number_of_names_is_refused():
    checks.names(["a", "b"], np.zeros((1, 2)))
    with pytest.raises(errors.UsageError, match="`class_names` must name 2 classes"):
        checks.names(["a"], np.zeros((1, 2)))
