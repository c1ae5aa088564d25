import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfdl import errors
from tfdl.data.augment import annotations


def look(sample, origin, size, **kwargs):
    kwargs = {"fill": 0, "min_visibility": 0.1} | kwargs
    return annotations.window(sample, tf.constant(origin), tf.constant(size), **kwargs)


def test_a_window_inside_the_picture_is_a_slice(make_scene):
    scene = make_scene()
    seen = look(scene, [3, 5], [20, 30])
    np.testing.assert_array_equal(seen["image"], scene["image"][3:23, 5:35])
    np.testing.assert_array_equal(seen["semantic"], scene["semantic"][3:23, 5:35])


def test_a_window_beyond_the_picture_is_padded(make_scene):
    scene = make_scene(4, 6, objects=1)
    seen = look(scene, [-1, 4], [3, 5], fill=9)
    expected = np.full([3, 5, 3], 9)
    expected[1:, :2] = scene["image"][:2, 4:]
    np.testing.assert_array_equal(seen["image"], expected)
    assert (seen["semantic"].numpy()[0] == 255).all()
    assert (seen["semantic"].numpy()[:, 2:] == 255).all()
    assert (seen["masks"].numpy()[:, :, 2:] == 0).all()


@pytest.mark.parametrize("origin", [(-9, 0), (7, 0), (0, -30), (0, 30)])
def test_a_window_wholly_beyond_the_picture_is_empty(make_scene, origin):
    seen = look(make_scene(4, 6, objects=1), origin, [3, 5], fill=9)
    np.testing.assert_array_equal(seen["image"], np.full([3, 5, 3], 9))
    assert seen["boxes"].shape == (0, 4)
    assert seen["masks"].shape == (0, 3, 5)


def test_a_window_keeps_the_sizes_that_the_graph_knows(make_scene):
    scene = make_scene()
    del scene["masks"]

    @tf.function
    def static_shape(origin):
        seen = look(scene, origin, [20, 30])
        assert seen["image"].shape == (20, 30, 3)
        return seen["image"]

    assert static_shape([1, 2]).shape == (20, 30, 3)


def objects(box, mask=None):
    sample = {
        "image": tf.zeros([10, 10, 3], tf.uint8),
        "boxes": tf.constant([box]),
        "labels": tf.constant([5]),
    }
    return sample if mask is None else sample | {"masks": tf.constant(mask[None])}


@pytest.mark.parametrize(("min_visibility", "num_kept"), [(0.5, 1), (0.51, 0)])
def test_a_box_goes_when_too_little_of_it_is_left(min_visibility, num_kept):
    half_outside = objects([6.0, 2.0, 14.0, 4.0])
    result = annotations.keep_visible(half_outside, min_visibility=min_visibility)
    assert len(result["labels"]) == num_kept
    assert result["boxes"].numpy().tolist() == [[6, 2, 10, 4]] * num_kept


def test_a_box_without_area_goes_even_if_nothing_need_be_visible():
    result = annotations.keep_visible(objects([3.0, 3.0, 3.0, 9.0]), min_visibility=0)
    assert len(result["boxes"]) == 0


def test_an_object_goes_when_no_pixel_of_its_mask_is_left():
    nothing = np.zeros([10, 10], np.uint8)
    sample = objects([2.0, 2.0, 8.0, 8.0], nothing)
    result = annotations.keep_visible(sample, min_visibility=0.1)
    assert len(result["boxes"]) == len(result["masks"]) == 0


def test_a_cut_box_is_measured_anew_and_a_whole_one_is_not():
    # An L whose foot is at the right: cut there, the object is narrower.
    mask = np.zeros([10, 10], np.uint8)
    mask[2:8, 2:4] = 1
    whole = objects([2.5, 2.5, 4.0, 8.0], mask)
    kept = annotations.keep_visible(whole, min_visibility=0.1)
    np.testing.assert_array_equal(kept["boxes"], [[2.5, 2.5, 4, 8]])
    cut = objects([2.0, 2.0, 12.0, 8.0], mask)
    kept = annotations.keep_visible(cut, min_visibility=0.1)
    np.testing.assert_array_equal(kept["boxes"], [[2, 2, 4, 8]])


def test_a_share_outside_zero_to_one_is_refused(make_scene):
    with pytest.raises(errors.UsageError, match="min_visibility=2"):
        look(make_scene(), [0, 0], [4, 4], min_visibility=2)


def test_a_fill_that_is_no_level_is_refused(make_scene):
    with pytest.raises(errors.UsageError, match="fill=300"):
        look(make_scene(), [0, 0], [4, 4], fill=300)


@pytest.mark.parametrize("size", [(20, 31), (66, 80), (33, 47), (60, 20)])
def test_a_resized_picture_equals_pillows(noise, size):
    image = noise(33, 47)
    resized = annotations.resize({"image": image}, size, antialias=True)["image"]
    pillow = Image.fromarray(image.numpy()).resize(size[::-1], Image.BILINEAR)
    difference = resized.numpy().astype(int) - np.asarray(pillow)
    assert abs(difference).max() <= 1


def test_resizing_moves_boxes_masks_and_semantic_together(make_scene):
    scene = make_scene(40, 52)
    resized = annotations.resize(scene, (20, 104), antialias=True)
    expected = scene["boxes"].numpy() * [2, 0.5, 2, 0.5]
    np.testing.assert_array_equal(resized["boxes"], expected)
    # Nearest: of each two rows the second, whose centre lies behind the middle.
    rows = np.repeat(scene["semantic"].numpy()[1::2], 2, axis=1)
    np.testing.assert_array_equal(resized["semantic"], rows)
    np.testing.assert_array_equal(
        resized["masks"], np.repeat(scene["masks"].numpy()[:, 1::2], 2, axis=2)
    )


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
@pytest.mark.parametrize("antialias", [True, False])
def test_resizing_keeps_an_even_colour(level, antialias):
    even = {"image": tf.fill([31, 17, 1], tf.constant(level, tf.uint8))}
    for size in ((7, 40), (12, 9)):
        resized = annotations.resize(even, size, antialias=antialias)
        assert (resized["image"].numpy() == level).all()
