"""From the square back into the picture, for boxes and masks, and onto maps."""

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.ops import masks as masks_of
from tfdl.tasks.detection import data, mask_answers

SIZE = 64  # of the square


def found(boxes, *, scores=None):
    """Make answers of one picture in the square, masks full but for a corner."""
    boxes = np.array([boxes], np.float32).reshape(1, -1, 4)
    count = boxes.shape[1]
    masks = np.ones((1, count, 28, 28), np.float32)
    masks[..., 14:, 14:] = 0
    scores = np.linspace(0.9, 0.8, count) if scores is None else scores
    return {
        "boxes": tf.constant(boxes),
        "scores": tf.constant(np.array([scores], np.float32)),
        "labels": tf.zeros([1, count], tf.int32),
        "num_detections": tf.constant([count], tf.int32),
        "masks": tf.constant(masks),
    }


def laid(answers, size):
    """Lay the masks of a picture's answers into it, bool (found, height, width)."""
    window = np.array([0, 0, size[1], size[0]], np.float32)
    seen = masks_of.resample(answers["masks"][0], answers["boxes"][0], window, size)
    return np.array(seen) >= 0.5


def test_squares_are_answered_as_they_are():
    outputs = found([[3, 4, 20, 30]])
    answers = mask_answers.postprocess(outputs, None, image_size=SIZE)
    for name in outputs:
        np.testing.assert_array_equal(answers[name], outputs[name])


@pytest.mark.parametrize("size", [(32, 64), (100, 50), (64, 64), (1, 1)])
def test_masks_lie_in_the_picture_where_they_lay_in_the_square(size):
    sizes = tf.constant([size])
    own = np.array([[[0, 0, size[1], size[0]]]], np.float32) * 0.8
    square = data.into_square(tf.constant(own), sizes, image_size=SIZE)
    outputs = found(square.numpy()[0])
    answers = mask_answers.postprocess(outputs, sizes, image_size=SIZE)
    np.testing.assert_allclose(answers["boxes"], own, atol=1e-4)
    np.testing.assert_allclose(answers["masks"], outputs["masks"], atol=1e-3)


def test_what_is_cut_off_a_box_is_cut_off_its_mask():
    """The picture is the middle of the square, the box reaches into what is grey."""
    size = (32, 64)  # rows 16 to 48 of the square
    outputs = found([[10, 0, 40, 64]])
    answers = mask_answers.postprocess(outputs, tf.constant([size]), image_size=SIZE)
    np.testing.assert_allclose(answers["boxes"][0, 0], [10, 0, 40, 32], atol=1e-4)
    window = np.array([0, 16, 64, 48], np.float32)  # of the square
    expected = masks_of.resample(outputs["masks"][0], outputs["boxes"][0], window, size)
    differs = laid(answers, size)[0] != (np.array(expected)[0] >= 0.5)
    assert differs.mean() < 0.02  # of a mask with other cells


def test_padding_stays_empty():
    outputs = found([[3, 4, 20, 30], [0, 0, 0, 0]])
    outputs["labels"] = tf.constant([[0, -1]])
    answers = mask_answers.postprocess(
        outputs, tf.constant([(20, 90)]), image_size=SIZE
    )
    assert not np.any(answers["boxes"][0, 1])
    assert not np.any(answers["masks"][0, 1])


def test_the_surest_is_painted_on_top_and_the_unsure_not_at_all():
    outputs = found(
        [[0, 0, 20, 20], [10, 10, 30, 30], [40, 40, 60, 60]], scores=[0.9, 0.6, 0.4]
    )
    one = {name: values[0] for name, values in outputs.items()}
    painted = mask_answers.painted(one, tf.constant([64, 64])).numpy()
    first, second, _ = laid(outputs, (64, 64))
    assert painted.dtype == np.uint16
    np.testing.assert_array_equal(painted == 1, first)
    np.testing.assert_array_equal(painted == 2, second & ~first)
    assert painted.max() == 2


def test_no_detection_paints_an_empty_map():
    one = {name: values[0] for name, values in found(np.zeros((0, 4))).items()}
    assert not np.any(mask_answers.painted(one, tf.constant([5, 7])))


def test_files_are_answered_with_a_map_of_their_own_size():
    def infer(images):
        outputs = found([[8, 8, 56, 40]])
        batch = tf.shape(images)[0]
        return {
            name: tf.repeat(values, batch, axis=0) for name, values in outputs.items()
        }

    built = mask_answers.signatures(infer, image_size=SIZE)
    files, sizes = [], [(31, 57), (200, 20)]
    for size in sizes:
        written = io.BytesIO()
        PIL.Image.new("RGB", size[::-1]).save(written, "PNG")
        files.append(written.getvalue())
    answers = built["serving_default"](tf.constant(files))
    for row, size in enumerate(sizes):
        drawn = tf.io.decode_png(answers["instance_map_bytes"][row], dtype=tf.uint16)
        assert drawn.shape == (*size, 1)
        one = {name: values[row] for name, values in answers.items()}
        np.testing.assert_array_equal(
            drawn[..., 0], mask_answers.painted(one, tf.constant(size))
        )
    squares = built["serve_tensor"](tf.zeros([2, SIZE, SIZE, 3]))
    assert "instance_map_bytes" not in squares
    np.testing.assert_array_equal(squares["boxes"][0], [[8, 8, 56, 40]])
