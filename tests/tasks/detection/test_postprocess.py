import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.tasks.detection import data, postprocess

SIZE = 32
THRESHOLDS = postprocess.Thresholds(
    score_threshold=0.3, iou_threshold=0.5, max_detections=4
)
CANDIDATES = [[0, 8, 16, 24], [1, 8, 16, 24], [20, 10, 40, 20]]
SCORES = [[0.9, 0.1], [0.8, 0.35], [0.2, 0.5]]


def outputs(count):
    return {
        "boxes": tf.tile(tf.constant([CANDIDATES], tf.float32), [count, 1, 1]),
        "scores": tf.tile(tf.constant([SCORES], tf.float32), [count, 1, 1]),
    }


def infer(images):
    return outputs(tf.shape(images)[0])


def png(height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    written = io.BytesIO()
    PIL.Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


def test_overlapping_boxes_of_a_class_are_one_in_pixels_of_the_picture():
    sizes = tf.constant([[32, 64], [16, 32]])
    found = postprocess.postprocess(outputs(2), sizes, THRESHOLDS, image_size=SIZE)
    assert found["num_detections"].numpy().tolist() == [3, 3]
    for row, scale in enumerate((2, 1)):
        assert found["labels"][row].numpy().tolist() == [0, 1, 1, -1]
        np.testing.assert_allclose(found["scores"][row], [0.9, 0.5, 0.35, 0])
        # the square has 8 grey rows above; the second box is cut to the picture
        wanted = np.array(
            [[0, 0, 16, 16], [20, 2, 32, 12], [1, 0, 16, 16], [0, 0, 0, 0]]
        )
        np.testing.assert_allclose(found["boxes"][row], scale * wanted, atol=1e-5)


def test_thresholds_may_come_with_each_picture():
    sizes = tf.constant([[32, 32], [32, 32]])
    found = postprocess.postprocess(
        outputs(2),
        sizes,
        THRESHOLDS,
        image_size=SIZE,
        score_threshold=tf.constant([0.6, 0.05]),
        iou_threshold=tf.constant([0.5, 1.0]),
    )
    assert found["num_detections"].numpy().tolist() == [1, 4]


def test_signatures_answer_files_and_tensors_alike():
    signatures = postprocess.signatures(infer, image_size=SIZE, thresholds=THRESHOLDS)
    files = tf.constant([png(64, 64), png(16, 16)])
    default = signatures["serving_default"](image_bytes=files)
    tuned = signatures["serve_tuned"](
        image_bytes=files,
        score_threshold=tf.fill([2], 0.3),
        iou_threshold=tf.fill([2], 0.5),
    )
    tensor = signatures["serve_tensor"](images=tf.zeros([2, SIZE, SIZE, 3]))
    for name in ("boxes", "scores", "labels", "num_detections"):
        np.testing.assert_array_equal(default[name], tuned[name])
    np.testing.assert_allclose(default["boxes"][0], 2 * tensor["boxes"][0])
    np.testing.assert_allclose(default["boxes"][1], tensor["boxes"][1] / 2)
    np.testing.assert_array_equal(default["labels"], tensor["labels"])


@pytest.mark.parametrize("size", [(1, 1), (20, 800)])
def test_answers_lie_within_pictures_of_any_size(size):
    signatures = postprocess.signatures(infer, image_size=SIZE, thresholds=THRESHOLDS)
    found = signatures["serving_default"](image_bytes=tf.constant([png(*size)]))
    boxes = found["boxes"][0].numpy()
    assert np.isfinite(boxes).all()
    assert (boxes >= 0).all()
    assert boxes[:, [0, 2]].max() <= size[1]
    assert boxes[:, [1, 3]].max() <= size[0]


def test_a_batch_of_an_evaluation_is_finished_as_it_is_served():
    picture = tf.io.decode_png(png(16, 48))
    asked = data.question({"image": picture}, image_size=SIZE)
    batch = {name: value[None] for name, value in asked.items()}
    finish = postprocess.finishing(THRESHOLDS, image_size=SIZE)
    finished = finish(infer(batch["image"]), batch)
    signatures = postprocess.signatures(infer, image_size=SIZE, thresholds=THRESHOLDS)
    served = signatures["serving_default"](image_bytes=tf.constant([png(16, 48)]))
    for name, value in served.items():
        np.testing.assert_array_equal(finished[name], value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("score_threshold", 1.5), ("iou_threshold", -0.1), ("max_detections", 0)],
)
def test_a_threshold_out_of_its_range_is_refused_with_its_flag(name, value):
    with pytest.raises(errors.UsageError, match=f"--{name.replace('_', '-')} must"):
        postprocess.Thresholds(**{name: value})
