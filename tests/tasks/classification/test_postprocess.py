import io

import keras
import numpy as np
import PIL.Image
import scipy.special
import tensorflow as tf

from tfdl.tasks.classification import data, postprocess

LOGITS = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
NAMES = ("ant", "bee", "cat", "dög")


def test_probabilities_of_classes_are_scipys_softmax():
    ours = postprocess.postprocess(LOGITS, multi_label=False)
    np.testing.assert_allclose(ours, scipy.special.softmax(LOGITS, -1), atol=1e-6)


def test_probabilities_of_labels_are_scipys_expit():
    ours = postprocess.postprocess(LOGITS, multi_label=True)
    np.testing.assert_allclose(ours, scipy.special.expit(LOGITS), atol=1e-6)


def test_answers_name_the_most_probable_class():
    logits = tf.constant([[0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    answered = postprocess.answers(logits, class_names=NAMES, multi_label=False)
    assert answered["class_id"].numpy().tolist() == [1, 3]
    assert [n.decode() for n in answered["class_name"].numpy()] == ["bee", "dög"]


def average_colour_model(size, channels):
    """Answer with logits that are the mean of each channel."""
    inputs = keras.Input((size, size, channels))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, keras.layers.Dense(4)(pooled))


def png(pixels):
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def test_serving_bytes_equals_preparing_and_calling_the_model():
    random = np.random.default_rng(1)
    shapes = [(7, 9, 3), (1, 1, 3), (30, 12), (16, 16, 4)]
    pictures = [random.integers(0, 256, shape, np.uint8) for shape in shapes]
    for channels in (1, 3):
        model = average_colour_model(8, channels)
        answer = postprocess.serve(model, NAMES, multi_label=False)
        answered = answer(tf.constant([png(picture) for picture in pictures]))
        for row, picture in enumerate(pictures):
            rgb = np.array(PIL.Image.open(io.BytesIO(png(picture))).convert("RGB"))
            image = data.prepare_image(
                tf.constant(rgb), image_size=8, channels=channels
            )
            expected = tf.nn.softmax(model(image[tf.newaxis]))[0]
            np.testing.assert_allclose(
                answered["probabilities"][row], expected, atol=1e-6
            )


def test_an_empty_batch_is_answered_by_an_empty_one():
    answer = postprocess.serve(average_colour_model(8, 3), NAMES, multi_label=False)
    answered = answer(tf.constant([], tf.string))
    assert answered["probabilities"].shape == (0, 4)
    assert answered["class_name"].shape == (0,)


def test_both_signatures_return_the_same_and_name_their_input():
    model = average_colour_model(8, 3)
    offered = postprocess.signatures(
        model, NAMES, image_shape=(8, 8, 3), multi_label=False
    )
    random = np.random.default_rng(2)
    pictures = [random.integers(0, 256, shape, np.uint8) for shape in [(7, 9, 3)] * 3]
    images = tf.stack(
        [data.prepare_image(tf.constant(p), image_size=8, channels=3) for p in pictures]
    )
    files = tf.constant([png(picture) for picture in pictures])
    from_files = offered["serving_default"](image_bytes=files)
    from_images = offered["serve_tensor"](images=images)
    assert from_files.keys() == from_images.keys()
    np.testing.assert_allclose(
        from_files["probabilities"], from_images["probabilities"], atol=1e-6
    )
    names = [function.input_signature[0].name for function in offered.values()]
    assert names == ["image_bytes", "images"]


def test_bfloat16_logits_become_float32_probabilities():
    logits = tf.cast(LOGITS, tf.bfloat16)
    answered = postprocess.answers(logits, class_names=NAMES, multi_label=False)
    assert answered["probabilities"].dtype == tf.float32
    np.testing.assert_allclose(
        tf.reduce_sum(answered["probabilities"], axis=-1), np.ones(5), atol=1e-6
    )


def test_files_are_decoded_on_the_cpu():
    offered = postprocess.signatures(
        average_colour_model(8, 3), NAMES, image_shape=(8, 8, 3), multi_label=False
    )
    graph = offered["serving_default"].get_concrete_function().graph
    (loop,) = [
        op for op in graph.get_operations() if op.type in ("While", "StatelessWhile")
    ]
    assert loop.device.endswith("CPU:0")
