import warnings

import numpy as np
import pytest
from scipy import ndimage
from skimage import segmentation

from tfdl.tasks.segmentation import boundaries


def smooth_map(*, seed, shape=(48, 64), num_classes=4, noise=0.0, ignored=0.0):
    """Regions with round borders; noise moves them."""
    rng = np.random.default_rng(seed)
    planes = rng.normal(size=(num_classes, *shape))
    planes = np.stack([ndimage.gaussian_filter(plane, 5) for plane in planes])
    moved = np.random.default_rng(seed + 1).normal(size=planes.shape)
    moved = np.stack([ndimage.gaussian_filter(plane, 5) for plane in moved])
    labels = (planes + noise * moved).argmax(axis=0).astype(np.uint8)
    labels[: int(ignored * shape[0])] = 255
    return labels


def oracle(labels, predictions, *, num_classes, reach):
    """Boundary F1 by scikit-image's outlines and scipy's distances."""
    predictions = np.where(labels == 255, 255, predictions)
    scores = []
    for index in range(num_classes):
        outlines = []
        for some in (labels, predictions):
            # What is ignored is no other class: it is filled up before.
            valid = some != 255
            inside = segmentation.find_boundaries(some == index, 1, mode="inner")
            of_ignored = ndimage.binary_dilation(~valid) & valid
            if of_ignored.any():
                inside = np.zeros_like(valid)
                for row, column in zip(*np.nonzero(some == index), strict=True):
                    for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                        place = row + down, column + right
                        if all(
                            0 <= a < b for a, b in zip(place, some.shape, strict=True)
                        ):
                            inside[row, column] |= some[place] not in (index, 255)
            outlines.append(inside)
        if not any(outline.any() for outline in outlines):
            scores.append(np.nan)
            continue
        shares = []
        for own, other in (outlines, outlines[::-1]):
            if not own.any() or not other.any():
                shares.append(0.0)
                continue
            distances = ndimage.distance_transform_edt(~other)
            shares.append(np.mean(distances[own] <= reach))
        total = sum(shares)
        scores.append(2 * shares[0] * shares[1] / total if total else 0.0)
    return scores


def measure(labels, predictions, reach, num_classes=4):
    tolerance = reach / np.hypot(*np.shape(labels))
    return boundaries.f_scores(
        labels, predictions, num_classes=num_classes, tolerance=tolerance * (1 + 1e-9)
    )


def test_scores_are_hand_computed():
    labels = np.zeros((6, 8), np.uint8)
    labels[:, 4:] = 1
    predictions = np.zeros_like(labels)
    predictions[:, 6:] = 1
    # Straight outlines, two pixels apart.
    np.testing.assert_array_equal(measure(labels, predictions, 2, 2), [1, 1])
    np.testing.assert_array_equal(measure(labels, predictions, 1.9, 2), [0, 0])
    # One of six rows is right. The step below it adds a pixel to what is found of class
    # 0, to 7, and one to what is found of class 1.
    predictions[0, 4:] = 1
    exact = 2 * (1 / 7) * (1 / 6) / (1 / 7 + 1 / 6)
    found = measure(labels, predictions, 0, 2)
    np.testing.assert_allclose(found, [exact, exact])
    # Within a pixel, class 0 also has the second row: of the step, and of the truth.
    near = 2 * (2 / 7) * (2 / 6) / (2 / 7 + 2 / 6)
    assert measure(labels, predictions, 1, 2)[0] == pytest.approx(near)


@pytest.mark.parametrize("reach", [0, 1, 1.5, 2.3, 5])
def test_scores_equal_distances_of_scipy(reach):
    for seed in range(3):
        labels = smooth_map(seed=seed)
        predictions = smooth_map(seed=seed, noise=0.3)
        expected = oracle(labels, predictions, num_classes=4, reach=reach)
        found = measure(labels, predictions, reach)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        assert 0 < np.nanmean(found) < 1


def test_what_is_ignored_has_no_outline():
    labels = smooth_map(seed=5, ignored=0.4)
    predictions = smooth_map(seed=5, noise=0.3)
    expected = oracle(labels, predictions, num_classes=4, reach=2)
    found = measure(labels, predictions, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    other = np.where(labels == 255, 3 - predictions, predictions)
    np.testing.assert_array_equal(found, measure(labels, other, 2))


def test_right_maps_score_one_and_absent_classes_nothing():
    labels = smooth_map(seed=1)
    found = boundaries.f_scores(labels, labels, num_classes=6)
    np.testing.assert_array_equal(found, [1, 1, 1, 1, np.nan, np.nan])


def test_a_class_that_is_invented_or_missed_scores_zero():
    labels = np.zeros((9, 9), np.uint8)
    predictions = labels.copy()
    predictions[3:6, 3:6] = 1
    for pair in ((labels, predictions), (predictions, labels)):
        found = boundaries.f_scores(*pair, num_classes=3)
        np.testing.assert_array_equal(found, [0, 0, np.nan])


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (1, 4)])
def test_maps_without_outlines_say_nothing(value, shape):
    labels = np.full(shape, value, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = boundaries.f_scores(labels, np.zeros(shape, int), num_classes=2)
    assert np.isnan(found).all()


def test_the_tolerance_grows_with_the_picture():
    small, large = np.zeros((60, 80), np.uint8), np.zeros((300, 400), np.uint8)
    for labels in (small, large):
        labels[:, labels.shape[1] // 2 :] = 1
    # 0.75 % of the diagonals 100 and 500 are 0.75 and 3.75 pixels.
    moved = [np.roll(labels, 3, axis=1) for labels in (small, large)]
    for labels, predictions, is_met in zip((small, large), moved, (0, 1), strict=True):
        predictions[:, :3] = 0
        found = boundaries.f_scores(labels, predictions, num_classes=2)
        np.testing.assert_array_equal(found, [is_met, is_met])


def test_pictures_are_averaged_over_their_classes_first():
    scores = np.array(
        [[1, 0.5, np.nan], [np.nan, np.nan, np.nan], [0.25, np.nan, np.nan]]
    )
    measured = boundaries.evaluate(scores, seed=1)
    assert measured["boundary_f1"] == pytest.approx((0.75 + 0.25) / 2)
    assert measured["boundary_f1_interval"] == [0.25, 0.75]
    assert measured == boundaries.evaluate(scores, seed=1)


def test_no_outline_anywhere_is_no_number():
    assert boundaries.evaluate(np.full((3, 2), np.nan)) == {}
    assert boundaries.evaluate(np.zeros((0, 2))) == {}
