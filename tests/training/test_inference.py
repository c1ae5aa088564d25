import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.training import inference

IMAGES = np.random.RandomState(0).rand(5, 4, 4, 1).astype("float32")


def model():
    inputs = keras.Input((4, 4, 1))
    x = keras.layers.BatchNormalization()(inputs)
    x = keras.layers.Dropout(0.9)(keras.layers.Flatten()(x))
    outputs = {"wide": keras.layers.Dense(3)(x), "narrow": keras.layers.Dense(1)(x)}
    return keras.Model(inputs, outputs)


def batches(size):
    numbers = np.arange(len(IMAGES))
    whole = tf.data.Dataset.from_tensor_slices({"image": IMAGES, "number": numbers})
    return whole.batch(size)


def test_every_row_is_answered_as_keras_does_also_of_a_smaller_last_batch():
    network = model()
    expected = network.predict(IMAGES, verbose=0)
    pairs = list(inference.outputs(inference.compiled(network), batches(2)))
    assert [len(batch["number"]) for _, batch in pairs] == [2, 2, 1]
    for name in ("wide", "narrow"):
        answers = np.concatenate([answer[name] for answer, _ in pairs])
        np.testing.assert_allclose(answers, expected[name], rtol=1e-5, atol=1e-6)
    numbers = np.concatenate([batch["number"] for _, batch in pairs])
    np.testing.assert_array_equal(numbers, np.arange(5))


def test_one_trace_serves_every_batch_size_and_later_weights():
    network = model()
    infer = inference.compiled(network)
    first = infer(IMAGES[:1])["narrow"].numpy()
    infer(IMAGES)
    network.set_weights([weight + 1 for weight in network.get_weights()])
    assert infer.experimental_get_tracing_count() == 1
    changed = network(IMAGES[:1], training=False)["narrow"]
    np.testing.assert_allclose(infer(IMAGES[:1])["narrow"], changed, rtol=1e-6)
    assert not np.allclose(first, changed)


def test_features_are_what_the_last_dense_layer_sees():
    inputs = keras.Input((4, 4, 1))
    x = keras.layers.Dense(3, name="first")(keras.layers.Flatten()(inputs))
    x = keras.layers.Dropout(0.9)(x)
    network = keras.Model(inputs, keras.layers.Dense(2, name="last")(x))
    infer = inference.compiled(network, features=True)
    pairs = [pair for pair, _ in inference.outputs(infer, batches(2))]
    outputs, features = map(np.concatenate, zip(*pairs, strict=True))
    np.testing.assert_allclose(outputs, network(IMAGES), rtol=1e-5, atol=1e-6)
    layer = network.get_layer("last")
    np.testing.assert_allclose(layer(features), outputs, rtol=1e-5, atol=1e-6)
    assert features.shape == (5, 3)


def test_features_are_float32_beside_outputs_of_any_form():
    keras.config.set_dtype_policy("mixed_bfloat16")
    outputs, features = inference.compiled(model(), features=True)(IMAGES)
    assert outputs.keys() == {"wide", "narrow"}
    assert features.dtype == tf.float32


def test_features_of_a_fully_convolutional_model_are_the_mean_of_its_last_map():
    inputs = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(3, 3, name="body")(inputs)
    x = keras.layers.Conv2D(2, 1, name="head")(x)
    network = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    _, features = inference.compiled(network, features=True)(IMAGES)
    body = keras.Model(inputs, network.get_layer("body").output)
    np.testing.assert_allclose(
        features, np.mean(body(IMAGES), axis=(1, 2)), rtol=1e-5, atol=1e-6
    )


def test_features_do_not_depend_on_the_precision_that_is_set_later():
    inputs = keras.Input((4, 4, 1))
    network = keras.Model(inputs, keras.layers.Conv2D(3, 3, name="last")(inputs))
    _, expected = inference.compiled(network, features=True)(IMAGES)
    keras.config.set_dtype_policy("mixed_bfloat16")
    _, features = inference.compiled(network, features=True)(IMAGES)
    np.testing.assert_array_equal(features, expected)


def test_what_answers_of_a_model_is_what_it_names_or_itself():
    network = model()
    assert inference.part_of(network) is network
    other = model()
    network.inference_model = other
    assert inference.part_of(network) is other


def test_a_model_without_weights_has_no_features():
    inputs = keras.Input((4, 4, 1))
    network = keras.Model(inputs, keras.layers.Flatten()(inputs))
    with pytest.raises(errors.UsageError, match="must have weights"):
        inference.compiled(network, features=True)


def test_what_check_raises_ends_the_work_before_the_next_batch():
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 2:
            raise InterruptedError

    answers = inference.outputs(inference.compiled(model()), batches(2), check=check)
    next(answers)
    with pytest.raises(InterruptedError):
        next(answers)
