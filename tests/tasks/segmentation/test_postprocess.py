import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.tasks.segmentation import postprocess, results

TILING = postprocess.Tiling(tile_size=32, overlap=8)


def infer(images):
    """Two classes: dark pixels, and bright ones."""
    brightness = tf.reduce_mean(images, axis=-1, keepdims=True)
    return {"logits": tf.concat([1 - brightness, brightness], axis=-1) * 4}


def leaning(images):
    """See brighter pixels to the left than to the right."""
    width = tf.shape(images)[2]
    slope = tf.linspace(1.0, 0.0, width)[None, None, :, None]
    return infer(images * slope)


def signatures(tiling=TILING):
    return postprocess.signatures(infer, tiling=tiling, num_classes=2)


def picture(height, width, mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    return PIL.Image.fromarray(pixels).convert(mode)


def encoded(image):
    content = io.BytesIO()
    image.save(content, "png")
    return content.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("size", [(37, 201), (32, 32), (1, 1)])
def test_files_of_any_size_and_kind_are_answered_pixel_by_pixel(mode, size):
    image = picture(*size, mode)
    answer = signatures()["serving_default"](image_bytes=tf.constant([encoded(image)]))
    found = results.unpacked(answer["label_map_bytes"][0].numpy())
    expected = np.asarray(image.convert("L")) > 127.5
    np.testing.assert_array_equal(found, expected)


def test_files_of_different_sizes_are_answered_together():
    files = [encoded(picture(5, 7)), encoded(picture(40, 3))]
    answer = signatures()["serving_default"](image_bytes=tf.constant(files))
    maps = [results.unpacked(one) for one in answer["label_map_bytes"].numpy()]
    assert [one.shape for one in maps] == [(5, 7), (40, 3)]


def test_tensors_are_answered_by_probabilities_of_their_size():
    images = np.random.default_rng(0).random((2, 45, 33, 3), np.float32)
    found = signatures()["serve_tensor"](images=images)["probabilities"]
    assert found.shape == (2, 45, 33, 2)
    np.testing.assert_allclose(tf.reduce_sum(found, axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(found, tf.nn.softmax(infer(images)["logits"]), rtol=1e-5)


def test_the_mirrored_picture_counts_as_much():
    images = np.random.default_rng(0).random((1, 8, 9, 3), np.float32)

    def answer(seen, average):
        return postprocess.probabilities(leaning, seen, average_flipped=average)

    once, twice = answer(images, False), answer(images, True)
    mirrored = answer(images[:, :, ::-1], True)[:, :, ::-1]
    np.testing.assert_allclose(twice, mirrored, atol=1e-6)
    assert np.abs(once - twice).max() > 0.05


def test_every_epoch_s_evaluation_is_the_function_of_the_first():
    traced = []

    def network(images):
        traced.append(images.shape)
        return infer(images)

    for _ in range(3):
        answer = postprocess.compiled_label_maps(network, TILING, num_classes=2)
        for size in ((20, 30), (20, 30), (31, 40), (50, 41)):
            assert answer(np.zeros((1, *size, 3), np.float32)).shape == (1, *size)
    assert len(traced) <= 2  # of the first size, then of any


def test_an_evaluation_answers_as_the_export_does():
    image = picture(50, 41)
    answer = postprocess.compiled_label_maps(infer, TILING, num_classes=2)
    pixels = np.asarray(image, np.float32)[None] / 255
    served = signatures()["serving_default"](image_bytes=tf.constant([encoded(image)]))
    np.testing.assert_array_equal(
        answer(pixels)[0], results.unpacked(served["label_map_bytes"][0].numpy())
    )


@pytest.mark.parametrize(
    ("tiling", "named"),
    [({"tile_size": 0}, "--tile-size 0"), ({"overlap": 300}, "--overlap 300")],
)
def test_tiles_that_cannot_be_laid_are_refused(tiling, named):
    with pytest.raises(errors.UsageError, match=named):
        postprocess.Tiling(**tiling)
