import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.data import augment

SEEDS = [tf.constant([number, 3]) for number in range(150)]


def over_seeds(sample, **parameters):
    """Crop one sample with every seed."""
    seeds = tf.data.Dataset.from_tensor_slices(SEEDS)
    crop = seeds.map(lambda seed: augment.iou_crop(sample, seed=seed, **parameters))
    return list(crop)


def coordinates(height=60, width=80):
    """Return a picture whose pixels say where they are: (row, column, 0)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], axis=-1).astype(np.uint8)


def window_of(cropped):
    """Read the window off the pixels: (x_min, y_min, x_max, y_max)."""
    image = cropped["image"].numpy().astype(float)
    (top, left, _), (bottom, right, _) = image[0, 0], image[-1, -1]
    return np.array([left, top, right + 1, bottom + 1])


def slow_iou(one, other):
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    shared = np.prod(np.maximum(high - low, 0))
    return shared / (
        np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared
    )


def located(boxes):
    return {
        "image": tf.constant(coordinates()),
        "boxes": tf.constant(np.reshape(boxes, [-1, 4]), tf.float32),
        "labels": tf.range(len(boxes)),
    }


BOXES = np.array([[5.0, 8.0, 45.0, 40.0], [50.0, 30.0, 75.0, 58.0], [60, 2, 66, 9]])


def test_objects_stay_by_their_centre_and_are_cut():
    for cropped in over_seeds(located(BOXES)):
        window = window_of(cropped)
        centres = (BOXES[:, :2] + BOXES[:, 2:]) / 2
        inside = (centres >= window[:2]).all(axis=1) & (centres < window[2:]).all(1)
        np.testing.assert_array_equal(cropped["labels"], np.flatnonzero(inside))
        expected = np.clip(
            BOXES[inside], np.tile(window[:2], 2), np.tile(window[2:], 2)
        )
        np.testing.assert_allclose(
            cropped["boxes"], expected - np.tile(window[:2], 2), atol=1e-5
        )


def test_no_picture_loses_all_objects():
    assert all(len(cropped["boxes"]) for cropped in over_seeds(located(BOXES)))


def test_a_window_overlaps_an_object_as_demanded():
    # Two of three draws are the whole picture or any window.
    overlaps = []
    for cropped in over_seeds(located(BOXES[:1]), min_ious=(0.6,)):
        window = window_of(cropped)
        if window[2] - window[0] < 80 or window[3] - window[1] < 60:
            overlaps.append(slow_iou(window, BOXES[0]))
    share = np.mean(np.array(overlaps) >= 0.6)
    assert 0.4 < share < 0.8


def test_the_options_are_equally_likely():
    # A window never overlaps the small object by 0.9: then the whole picture stays.
    whole = [
        cropped["image"].shape == (60, 80, 3)
        for cropped in over_seeds(located(BOXES[2:]), min_ious=(0.9, 0.9))
    ]
    assert 0.6 < np.mean(whole) < 0.9  # three of four


def test_windows_have_sides_and_shapes_within_their_ranges():
    parameters = {"min_ious": (), "sides": (0.4, 0.7), "ratios": (0.8, 1.5)}
    crops = over_seeds({"image": tf.constant(coordinates())}, **parameters)
    sizes = {cropped["image"].shape[:2] for cropped in crops}
    sizes.remove((60, 80))
    assert len(sizes) > 20
    for height, width in sizes:
        assert 24 <= height <= 42
        assert 32 <= width <= 56
        assert 0.8 <= width / height <= 1.5


def test_a_picture_without_objects_is_cropped_or_whole():
    sample = located(np.zeros([0, 4]))
    crops = over_seeds(sample, min_ious=(0.5,))
    whole = np.mean([cropped["image"].shape == (60, 80, 3) for cropped in crops])
    assert 0.5 < whole < 0.8  # two of three
    assert all(cropped["boxes"].shape == (0, 4) for cropped in crops)


def test_a_picture_of_one_pixel_stays():
    sample = {"image": tf.ones([1, 1, 3], tf.uint8)}
    for seed in SEEDS[:9]:
        cropped = augment.iou_crop(sample, seed=seed)
        np.testing.assert_array_equal(cropped["image"], sample["image"])


def test_annotations_follow_the_picture(make_scene):
    scene = make_scene()
    for cropped in over_seeds(scene):
        image, semantic = cropped["image"].numpy(), cropped["semantic"].numpy()
        np.testing.assert_array_equal(image[..., 0], 50 * semantic)
        objects = [cropped[name].numpy() for name in ("boxes", "labels", "masks")]
        for box, label, mask in zip(*objects, strict=True):
            left, top, right, bottom = box.astype(int)
            assert (semantic[top:bottom, left:right] == label).all()
            np.testing.assert_array_equal(mask, semantic == label)
        assert cropped["label"] == 7


def test_the_same_seed_gives_the_same_crop_in_a_pipeline(make_scene, in_pipeline):
    scenes = [make_scene(seed=1), make_scene(30, 44, objects=0), make_scene(objects=1)]
    piped = in_pipeline(augment.iou_crop, scenes, SEEDS[:3])
    for scene, seed, result in zip(scenes, SEEDS[:3], piped, strict=True):
        expected = augment.iou_crop(scene, seed=seed)
        assert result.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(result[name], value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_ious": (0.5, 1.5)}, "min_ious=1.5"),
        ({"sides": (0.5, 1.5)}, "sides=1.5"),
        ({"sides": (0.5, 0.2)}, "smaller first"),
        ({"ratios": (0, 2)}, "positive"),
    ],
)
def test_parameters_are_checked(parameters, message):
    with pytest.raises(errors.UsageError, match=message):
        augment.iou_crop(located(BOXES), seed=SEEDS[0], **parameters)
