import itertools

import numpy as np
import pytest
from scipy import ndimage
from skimage import metrics as oracle

from tfdl.tasks.segmentation import cell_scores


def draw_cells(*, seed, shape=(64, 80), noise=0.0):
    """Cells between membranes of about two pixels; noise opens and shifts some."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 1, (25, 2)) * shape
    rows, columns = np.indices(shape)
    distances = np.hypot(rows - centres[:, :1, None], columns - centres[:, 1:, None])
    nearest = np.sort(distances, axis=0)
    width = 2 + noise * ndimage.gaussian_filter(rng.normal(size=shape), 3)
    return (nearest[1] - nearest[0] > width).astype(np.uint8)


def by_pairs(labels, predictions):
    """Count pairs of pixels one by one."""
    true, found = (ndimage.label(some)[0] for some in (labels, predictions))
    places = np.flatnonzero(true)
    in_true = in_found = in_both = 0
    for one, other in itertools.combinations(places, 2):
        is_true = true.flat[one] == true.flat[other]
        is_found = found.flat[one] == found.flat[other]
        in_true, in_found = in_true + is_true, in_found + is_found
        in_both += is_true and is_found
    return 2 * in_both / (in_true + in_found), in_both / in_found, in_both / in_true


def test_scores_are_hand_computed():
    labels = np.array([[1, 1, 0, 1, 1, 1]])
    split = np.array([[1, 1, 0, 1, 0, 1]])
    # Of 1 + 3 true pairs one remains; the membrane counts as a region of one pixel.
    assert cell_scores.rand_scores(labels, split) == {
        "rand_f_score": 2 * 1 / (4 + 1),
        "rand_merge": 1,
        "rand_split": 1 / 4,
    }
    merged = np.ones_like(labels)
    # All 10 pairs of five pixels are in one region, of which 4 are right.
    assert cell_scores.rand_scores(labels, merged) == {
        "rand_f_score": 2 * 4 / (4 + 10),
        "rand_merge": 4 / 10,
        "rand_split": 1,
    }


@pytest.mark.parametrize("seed", range(4))
def test_scores_equal_scikit_image(seed):
    labels, predictions = draw_cells(seed=seed), draw_cells(seed=seed, noise=15)
    error, first, second = oracle.adapted_rand_error(
        *(ndimage.label(some)[0] for some in (labels, predictions))
    )
    found = cell_scores.rand_scores(labels, predictions)
    assert found["rand_f_score"] == pytest.approx(1 - error, abs=1e-12)
    shares = (found["rand_merge"], found["rand_split"])
    assert sorted(shares) == pytest.approx(sorted((first, second)), abs=1e-12)
    assert 0.1 < error < 0.9


def test_scores_equal_all_pairs():
    labels = draw_cells(seed=9, shape=(14, 18))
    predictions = draw_cells(seed=9, shape=(14, 18), noise=15)
    found = cell_scores.rand_scores(labels, predictions)
    expected = by_pairs(labels, predictions)
    assert tuple(found.values()) == pytest.approx(expected)
    assert found["rand_split"] != pytest.approx(found["rand_merge"], abs=1e-3)


def test_a_gap_of_one_pixel_merges_two_cells():
    labels = np.ones((21, 21), np.uint8)
    labels[:, 10] = 0
    predictions = labels.copy()
    predictions[5, 10] = 1
    found = cell_scores.rand_scores(labels, predictions)
    assert found["rand_split"] == 1
    assert found["rand_merge"] == pytest.approx(0.5, abs=0.01)
    assert cell_scores.rand_scores(labels, labels)["rand_f_score"] == 1


def test_what_is_ignored_has_no_influence():
    labels, predictions = draw_cells(seed=1), draw_cells(seed=1, noise=15)
    labels[:20], labels[30:, :25] = 255, 255
    found = cell_scores.rand_scores(labels, predictions)
    other = np.where(labels == 255, 1 - predictions, predictions)
    assert cell_scores.rand_scores(labels, other) == found
    rest = np.where(labels == 255, 0, labels)
    beside = np.where(labels == 255, 0, predictions)
    assert cell_scores.rand_scores(rest, beside) == found


@pytest.mark.parametrize("value", [0, 255])
def test_without_cells_there_is_no_score(value):
    labels = np.full((4, 4), value, np.uint8)
    assert cell_scores.rand_scores(labels, np.ones((4, 4), int)) == {}


def test_cells_of_single_pixels_that_are_lost():
    labels = np.array([[1, 1, 0, 1]])
    checkered = np.array([[1, 0, 0, 0]])
    # Two pixels taken for membrane count as one region: a wrong pair, no right one.
    found = cell_scores.rand_scores(labels, checkered)
    assert found == {"rand_f_score": 0, "rand_merge": 0, "rand_split": 0}
    assert cell_scores.rand_scores(labels, np.array([[1, 0, 0, 2]])) == {
        "rand_f_score": 0,
        "rand_merge": 1,  # nothing is together, so nothing wrongly
        "rand_split": 0,
    }


def test_pictures_are_averaged():
    rows = [
        {"rand_f_score": 0.5, "rand_merge": 0.25},
        {},
        {"rand_f_score": 1.0, "rand_merge": 0.75},
    ]
    measured = cell_scores.evaluate(rows, seed=2)
    assert measured["rand_f_score"] == 0.75
    assert measured["rand_merge"] == 0.5
    assert measured["rand_f_score_interval"] == [0.5, 1]
    assert measured == cell_scores.evaluate(rows, seed=2)
    assert cell_scores.evaluate([{}, {}]) == cell_scores.evaluate([]) == {}
