import functools
import io

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfdl.data import questions
from tfdl.data.sources import source
from tfdl.tasks.classification import data, metrics, postprocess, served

NAMES = ("ant", "bee", "cat")
SHAPE = (8, 8, 3)


def split(channels=3, *, count=23, multi_label=False):
    """Make a source of noise of one size."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, 12, 9, channels), np.uint8)
    labels = random.integers(0, len(NAMES), count).astype(np.int32)
    if multi_label:
        labels = random.integers(0, 2, (count, len(NAMES))).astype(np.int32)
    kept, known = tf.constant(pixels), tf.constant(labels)
    return source.Source(
        class_names=NAMES,
        names=[str(number) for number in range(count)],
        labels=labels,
        digests=np.arange(count),
        pixels=np.full(count, pixels[0].size),
        load=lambda index: {
            "image": tf.ensure_shape(kept[index], [12, 9, channels]),
            "label": known[index],
        },
    )


@functools.cache
def network(channels=3):
    inputs = keras.Input((*SHAPE[:2], channels))
    outputs = keras.layers.Dense(len(NAMES))(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, outputs)


def signatures(shape=SHAPE, *, multi_label=False):
    return postprocess.signatures(
        network(shape[-1]), NAMES, image_shape=shape, multi_label=multi_label
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("multi_label", [False, True])
def test_files_and_prepared_pictures_measure_as_evaluation_does(channels, multi_label):
    examples = split(channels, multi_label=multi_label)
    shape = (*SHAPE[:2], channels)
    images = tf.stack(
        [
            data.prepare_image(
                examples.load(index)["image"], image_size=8, channels=channels
            )
            for index in range(len(examples))
        ]
    )
    expected = metrics.brief(
        postprocess.postprocess(network(channels)(images), multi_label=multi_label),
        examples.labels,
        multi_label=multi_label,
    )
    offered = signatures(shape, multi_label=multi_label)
    for asked in (offered, {"serve_tensor": offered["serve_tensor"]}):
        found = served.measure(
            asked,
            examples,
            image_shape=shape,
            batch_size=5,  # the last batch has 3
            multi_label=multi_label,
        )
        assert found["accuracy"] == expected["accuracy"]
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_examples_of_both_signatures_are_the_same_pictures():
    pictures = questions.noise()
    examples = served.examples(pictures, image_shape=SHAPE)
    files = examples["serving_default"]["image_bytes"].numpy()
    formats = [PIL.Image.open(io.BytesIO(content)).format for content in files]
    assert formats == ["PNG", "JPEG", "PNG", "JPEG"]
    decoded = np.asarray(PIL.Image.open(io.BytesIO(files[0])))
    np.testing.assert_array_equal(decoded, pictures[0])
    images = examples["serve_tensor"]["images"]
    assert images.shape == (4, *SHAPE)
    assert images.dtype == tf.float32


def test_a_stream_is_asked_in_the_order_of_its_files():
    examples = split()
    stream = source.Stream(
        class_names=NAMES,
        size=len(examples),
        read=lambda order: tf.data.Dataset.range(len(examples)),
        load=examples.load,
    )
    options = {"image_shape": SHAPE, "batch_size": 10, "multi_label": False}
    found = [served.measure(signatures(), s, **options) for s in (examples, stream)]
    assert found[0] == found[1]


def test_without_data_drawings_are_asked_and_nothing_is_measured():
    options = {"image_shape": SHAPE, "batch_size": 10, "multi_label": False}
    asked = served.asked({}, **options)
    assert asked["measure"] is None
    assert asked["calibration"].shape == (0, *SHAPE)
    assert len(asked["examples"]["serve_tensor"]["images"]) >= 2


def test_with_data_examples_are_of_test_and_ranges_of_train():
    options = {"image_shape": SHAPE, "batch_size": 10, "multi_label": False}
    asked = served.asked({"train": split(count=9), "test": split()}, **options)
    assert len(asked["calibration"]) == 9
    assert len(asked["examples"]["serving_default"]["image_bytes"]) == 8
    assert 0 <= asked["measure"](signatures())["accuracy"] <= 1
