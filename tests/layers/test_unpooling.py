"""Max-pooling with places and its way back, against TensorFlow's flat indices."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.layers import receptive_field, unpooling

SIZES = [(8, 6), (7, 5), (1, 1), (2, 1), (9, 4)]


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def pool(x):
    return unpooling.IndexedMaxPooling2D()(x)


def unpool(values, places):
    return unpooling.MaxUnpooling2D()([values, places])


def test_hand_computed():
    """Windows [1 2; 5 3] and [4 -1; 0 9]: the third pixel and the fourth."""
    image = np.array([[1, 2, 4, -1], [5, 3, 0, 9]], "float32")[None, :, :, None]
    values, places = pool(image)
    np.testing.assert_array_equal(np.ravel(values), [5, 9])
    np.testing.assert_array_equal(np.ravel(places), [2, 3])
    expected = [[0, 0, 0, 0], [5, 0, 0, 9]]
    np.testing.assert_array_equal(unpool(values, places)[0, :, :, 0], expected)


@pytest.mark.parametrize("size", SIZES)
def test_every_value_returns_to_where_tensorflow_took_it(size):
    image = random((2, *size, 3))
    expected, flat = tf.nn.max_pool_with_argmax(image, 2, 2, "SAME")
    values, places = pool(image)
    np.testing.assert_array_equal(values, expected)
    assert places.dtype == tf.int8
    back = np.array(unpool(values, places))
    assert back.shape == (2, 2 * values.shape[1], 2 * values.shape[2], 3)
    assert not back[:, size[0] :].any()
    assert not back[:, :, size[1] :].any()
    scattered = np.zeros((2, np.prod(size) * 3), "float32")
    for row, at, some in zip(
        scattered, np.array(flat), np.array(expected), strict=True
    ):
        row[at.ravel()] = some.ravel()
    np.testing.assert_array_equal(
        back[:, : size[0], : size[1]], scattered.reshape(image.shape)
    )


@pytest.mark.parametrize("size", SIZES)
def test_the_first_of_equal_pixels_is_the_maximum(size):
    """Also zeros after a ReLU, and negative pixels beside the edge."""
    for image in (np.zeros((1, *size, 2)), np.full((1, *size, 2), -3.0)):
        image = image.astype("float32")
        values, places = pool(image)
        assert not np.any(places)
        np.testing.assert_array_equal(unpool(values, places)[:, ::2, ::2], values)
    generator = np.random.default_rng(1)
    image = generator.integers(-1, 2, (4, *size, 5)).astype("float32")
    padded = np.pad(
        image,
        [(0, 0), (0, size[0] % 2), (0, size[1] % 2), (0, 0)],
        constant_values=-np.inf,
    )
    rows, columns = padded.shape[1] // 2, padded.shape[2] // 2
    windows = padded.reshape(4, rows, 2, columns, 2, 5).transpose(0, 1, 3, 5, 2, 4)
    first = windows.reshape(4, rows, columns, 5, 4).argmax(axis=-1)
    np.testing.assert_array_equal(pool(image)[1], first)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("is_tied", [False, True])
def test_gradients_follow_the_places(size, is_tied):
    """Of the pooling to where the maximum was, of the way back from there."""
    image = tf.constant(random((2, *size, 3)) * (not is_tied))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(image)
        values, places = pool(image)
        upstream = random(values.shape, seed=1)
        pooled = tf.reduce_sum(values * upstream)
        larger = random((2, 2 * values.shape[1], 2 * values.shape[2], 3), seed=2)
        back = tf.reduce_sum(unpool(values, places) * larger)
    expected = np.array(unpool(upstream, places))[:, : size[0], : size[1]]
    np.testing.assert_array_equal(tape.gradient(pooled, image), expected)
    taken = np.zeros(values.shape, "float32")
    for place in np.ndindex(*values.shape):
        row, column = divmod(int(np.array(places)[place]), 2)
        batch, y, x, channel = place
        taken[place] = larger[batch, 2 * y + row, 2 * x + column, channel]
    np.testing.assert_array_equal(tape.gradient(back, values), taken)


def model(size):
    inputs = keras.Input((*size, 2))
    values, places = unpooling.IndexedMaxPooling2D(name="pool")(inputs)
    back = unpooling.MaxUnpooling2D(name="unpool")([values, places])
    return keras.Model(inputs, {"values": values, "places": places, "back": back})


@pytest.mark.parametrize("size", [(5, 4), (None, None), (None, 4)])
def test_unknown_sizes_in_a_graph(size):
    built = model(size)
    halves = tuple(None if side is None else (side + 1) // 2 for side in size)
    assert built.output["places"].shape == (None, *halves, 2)
    assert built.output["places"].dtype == "int8"
    assert built.output["values"].dtype == "float32"
    images = random((3, 5, 4, 2))
    signature = [tf.TensorSpec((None, *size, 2))]
    found = tf.function(built, input_signature=signature)(images)
    for name, expected in model((5, 4))(images).items():
        np.testing.assert_array_equal(found[name], expected)
    assert found["back"].shape == (3, 6, 4, 2)


def test_saved_and_loaded_it_is_equal(tmp_path):
    built, images = model((5, 4)), random((2, 5, 4, 2))
    built.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name, expected in built(images).items():
        np.testing.assert_array_equal(loaded(images)[name], expected)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_exact(policy):
    images = random((2, 7, 8, 3))
    keras.config.set_dtype_policy(policy)
    values, places = pool(images)
    half = policy.removeprefix("mixed_")
    assert values.dtype == half
    back = unpool(values, places)
    assert back.dtype == half
    keras.config.set_dtype_policy("float32")
    rounded = tf.cast(tf.cast(images, half), "float32")
    expected = pool(rounded)
    np.testing.assert_array_equal(tf.cast(values, "float32"), expected[0])
    np.testing.assert_array_equal(places, expected[1])
    np.testing.assert_array_equal(tf.cast(back, "float32"), unpool(*expected))


def test_no_picture_is_pooled_to_none():
    values, places = pool(np.zeros((0, 4, 4, 2), "float32"))
    assert unpool(values, places).shape == (0, 4, 4, 2)


def test_receptive_field_is_that_of_a_pooling():
    inputs = keras.Input((8, 8, 2))
    values, _ = unpooling.IndexedMaxPooling2D()(inputs)
    field = receptive_field.of_last_map(keras.Model(inputs, values))
    assert (field.size, field.stride) == ((2, 2), (2, 2))
