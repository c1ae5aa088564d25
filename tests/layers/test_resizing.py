"""Maps in the size of others, against scikit-image and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from skimage import transform

from tfdl.layers import resizing


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def stretch(x, size):
    return np.stack(
        [
            transform.resize(picture, size, order=1, mode="edge", anti_aliasing=False)
            for picture in x
        ]
    )


def build(function, size, like):
    inputs = [keras.Input((*size, 3)), keras.Input((*like, 1))]
    return keras.Model(inputs, function(*inputs, name="to_size"))


def test_hand_computed_row():
    """Three pixels over two have their centres at -1/6, 1/2 and 7/6 of these."""
    row = np.array([0.0, 6.0], "float32").reshape(1, 1, 2, 1)
    np.testing.assert_allclose(
        np.ravel(resizing.interpolated(row, (1, 3))), [0, 3, 6], atol=1e-6
    )
    np.testing.assert_allclose(
        np.ravel(resizing.interpolated(row, (1, 4))), [0, 1.5, 4.5, 6], atol=1e-6
    )


@pytest.mark.parametrize("size", [(8, 10), (9, 13), (75, 33), (3, 5), (2, 2)])
@pytest.mark.parametrize("is_known", [True, False])
def test_resized_stretches_the_whole_map_over_the_whole_other(size, is_known):
    x = random((2, 4, 5, 3))
    shape = (4, 5) if is_known else (None, None)
    inputs = [keras.Input((*shape, 3)), keras.Input((*size, 1))]
    model = keras.Model(inputs, resizing.resized(*inputs, name="resized"))
    assert model.output_shape == (None, *size, 3)
    found = model([x, np.zeros((2, *size, 1), "float32")])
    np.testing.assert_allclose(found, stretch(x, size), atol=1e-4)


def test_one_pixel_is_repeated():
    x = random((2, 1, 1, 3))
    inputs = [keras.Input((1, 1, 3)), keras.Input((4, 5, 1))]
    model = keras.Model(inputs, resizing.resized(*inputs, name="resized"))
    found = model([x, np.zeros((2, 4, 5, 1), "float32")])
    np.testing.assert_array_equal(found, np.broadcast_to(x, (2, 4, 5, 3)))


@pytest.mark.parametrize("function", [resizing.resized, resizing.fitted])
def test_equal_sizes_change_nothing_but_have_their_layer(function):
    """Then the weights of a model have one order, whether it knows the sizes or not."""
    x = random((2, 4, 5, 3))
    found = [
        build(function, size, size)([x, np.zeros((2, 4, 5, 1), "float32")])
        for size in ((4, 5), (None, None))
    ]
    np.testing.assert_array_equal(found[0], x)
    np.testing.assert_allclose(found[1], x, atol=1e-6)
    layers = [len(build(function, size, size).layers) for size in ((4, 5), (None, 5))]
    assert layers[0] == layers[1] == 3


@pytest.mark.parametrize("like", [(4, 5), (3, 2), (6, 5), (3, 7)])
@pytest.mark.parametrize("is_known", [True, False])
def test_fitted_cuts_off_or_fills_up_at_the_far_sides(like, is_known):
    x = random((2, 4, 5, 3))
    size = (4, 5) if is_known else (None, 5)
    model = build(resizing.fitted, size, like if is_known else (None, None))
    wanted = np.zeros((2, *like, 1), "float32")
    found = tf.function(lambda inputs: model(inputs))([x, wanted])
    padded = np.pad(x, [(0, 0), (0, 2), (0, 2), (0, 0)])
    np.testing.assert_array_equal(found, padded[:, : like[0], : like[1]])


@pytest.mark.parametrize("function", [resizing.resized, resizing.fitted])
@pytest.mark.parametrize("size", [(4, 5), (None, None)])
def test_gradient_is_that_of_a_linear_function(function, size):
    """The derivative along a direction is the difference, and none is of `like`."""
    model = build(function, size, (7, 3))
    x, direction = tf.constant(random((1, 4, 5, 3))), random((1, 4, 5, 3), seed=1)
    other, upstream = tf.zeros((1, 7, 3, 1)), random((1, 7, 3, 3), seed=2)
    with tf.GradientTape() as tape:
        tape.watch([x, other])
        loss = tf.reduce_sum(model([x, other]) * upstream)
    gradient, of_other = tape.gradient(loss, [x, other])
    difference = model([x + direction, other]) - model([x, other])
    change = float(tf.reduce_sum(difference * upstream))
    found = float(tf.reduce_sum(gradient * direction))
    assert found == pytest.approx(change, rel=1e-3)
    assert of_other is None or not np.any(of_other)


@pytest.mark.parametrize("size", [(4, 5), (None, None)])
def test_half_precision_rounds_and_a_dtype_of_its_own_does_not(size):
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = [keras.Input((*size, 3)), keras.Input((7, 9, 1))]
    outputs = {
        "half": resizing.resized(*inputs, name="half"),
        "single": resizing.resized(*inputs, dtype="float32", name="single"),
    }
    x = random((2, 4, 5, 3))
    found = keras.Model(inputs, outputs)([x, np.zeros((2, 7, 9, 1), "float32")])
    assert found["half"].dtype == "bfloat16"
    np.testing.assert_allclose(found["single"], stretch(x, (7, 9)), atol=1e-5)
    rounded = np.array(tf.cast(found["half"], "float32"))
    np.testing.assert_allclose(rounded, found["single"], atol=0.05)


def test_saved_and_loaded_it_is_equal(tmp_path):
    inputs = [keras.Input((None, 5, 3)), keras.Input((7, 9, 1))]
    outputs = [
        resizing.resized(*inputs, name="resized"),
        resizing.fitted(*inputs, name="fitted"),
    ]
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    data = [random((2, 4, 5, 3)), random((2, 7, 9, 1))]
    for found, expected in zip(loaded(data), model(data), strict=True):
        np.testing.assert_array_equal(found, expected)
