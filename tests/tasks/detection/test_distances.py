"""Boxes as four distances: the grid by hand, decoding by hand, and a round trip."""

import numpy as np
import tensorflow as tf
from keras import ops
from keras_cv.src.models.object_detection.yolo_v8 import yolo_v8_detector

from tfdl.tasks.detection import distances

STRIDES = (8, 16, 32)


def _one_hot_logits(numbers):
    """Logits that are sure of whole numbers, (..., sides) -> (..., sides * bins)."""
    certain = np.eye(distances.BINS, dtype=np.float32)[numbers] * 200
    return certain.reshape(*certain.shape[:-2], -1)


def test_a_picture_of_640_has_8400_candidates():
    known = distances.candidates((640, 640), strides=STRIDES)
    assert len(known) == 80 * 80 + 40 * 40 + 20 * 20 == 8400


def test_candidates_are_ordered_by_level_row_and_column():
    known = distances.candidates((32, 64), strides=STRIDES)
    assert len(known) == 4 * 8 + 2 * 4 + 1 * 2
    np.testing.assert_array_equal(known.centres[:2], [[4, 4], [12, 4]])
    np.testing.assert_array_equal(known.centres[8], [4, 12])
    np.testing.assert_array_equal(known.centres[32], [8, 8])
    np.testing.assert_array_equal(known.centres[-1], [48, 16])
    counts = [int((known.strides == stride).sum()) for stride in STRIDES]
    assert counts == [32, 8, 2]


def test_candidates_are_those_of_keras_cv():
    """Theirs are in strides."""
    known = distances.candidates((64, 96), strides=STRIDES)
    centres, strides = yolo_v8_detector.get_anchors((64, 96))
    np.testing.assert_array_equal(known.strides[:, 0], strides)
    np.testing.assert_allclose(known.centres, centres * strides[:, None])


def test_a_box_is_decoded_by_hand():
    """The centre (12, 4) of stride 8 with distances 1, 2, 3 and 0.5."""
    known = distances.candidates((32, 64), strides=STRIDES)
    logits = np.zeros((1, len(known), 4 * 16), np.float32)
    logits[0, 1] = _one_hot_logits([1, 2, 3, 0])
    logits[0, 1, 48:50] = 200  # the bottom: 0 and 1 alike
    box = distances.decode(logits, known)[0, 1]
    np.testing.assert_allclose(box, [12 - 8, 4 - 16, 12 + 24, 4 + 4], atol=1e-5)


def test_equal_bins_make_squares_of_15_strides():
    known = distances.candidates((32, 32), strides=STRIDES)
    boxes = ops.convert_to_numpy(distances.decode(np.zeros((1, 21, 64)), known))
    np.testing.assert_allclose(
        boxes[0, :, 2:] - boxes[0, :, :2],
        np.broadcast_to(15 * known.strides, (21, 2)),
        rtol=1e-6,
    )


def test_boxes_are_those_of_keras_cv():
    known = distances.candidates((64, 64), strides=STRIDES)
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (2, len(known), 64)).astype(np.float32)
    reach = yolo_v8_detector.decode_regression_to_boxes(logits)
    centres = known.centres / known.strides
    expected = yolo_v8_detector.dist2bbox(reach, centres) * known.strides
    np.testing.assert_allclose(
        distances.decode(logits, known), expected, rtol=1e-4, atol=1e-3
    )


def test_encoding_undoes_decoding():
    known = distances.candidates((64, 64), strides=STRIDES)
    numbers = np.random.default_rng(1).integers(0, 16, (2, len(known), 4))
    boxes = distances.decode(_one_hot_logits(numbers), known)
    np.testing.assert_allclose(distances.encode(boxes, known), numbers, atol=1e-4)


def test_sides_are_taken_apart_with_the_left_first():
    logits = np.arange(64, dtype=np.float32)[None, None]
    sides = distances.by_side(logits)
    np.testing.assert_array_equal(sides[0, 0, 0], np.arange(16))


def test_it_works_in_a_graph_of_unknown_batch_size():
    known = distances.candidates((32, 32), strides=STRIDES)

    @tf.function(input_signature=[tf.TensorSpec([None, 21, 64])])
    def decode(logits):
        return distances.decode(logits, known)

    assert decode(tf.zeros((3, 21, 64))).shape == (3, 21, 4)
