"""Upsampling of all kinds against NumPy and scikit-image, at any output size."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from skimage import transform

from tfdl import errors
from tfdl.layers import receptive_field, unpooling, upsampling

WITHOUT_WEIGHTS = ("nearest", "bilinear", "bed_of_nails")


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def build(kind, size, *, factor=2, filters=3, like=None, channels=3):
    """Make a model of one upsampling; `like` is the size of a second input."""
    inputs = [keras.Input((*size, channels))]
    if like is not None:
        inputs.append(keras.Input((*like, 1)))
    outputs = upsampling.upsample(
        inputs[0],
        kind,
        filters=filters,
        factor=factor,
        like=inputs[1] if like is not None else None,
        name="up",
    )
    return keras.Model(inputs if like is not None else inputs[0], outputs)


def expected_of(kind, x, factor):
    if kind == "nearest":
        return x.repeat(factor, axis=1).repeat(factor, axis=2)
    if kind == "bed_of_nails":
        nails = np.zeros((len(x), *(factor * s for s in x.shape[1:3]), x.shape[3]))
        nails[:, ::factor, ::factor] = x
        return nails
    return stretch(x, [factor * side for side in x.shape[1:3]])


def stretch(x, size):
    return np.stack(
        [
            transform.resize(picture, size, order=1, mode="edge", anti_aliasing=False)
            for picture in x
        ]
    )


def test_hand_computed_row():
    row = np.array([1.0, 5.0], "float32").reshape(1, 1, 2, 1)
    expected = {
        "nearest": [1, 1, 5, 5],
        "bilinear": [1, 2, 4, 5],
        "bed_of_nails": [1, 0, 5, 0],
    }
    for kind, values in expected.items():
        found = build(kind, (1, 2), channels=1, filters=1)(row)
        assert found.shape == (1, 2, 4, 1)
        np.testing.assert_allclose(found[0, 0, :, 0], values)
    assert not np.any(found[0, 1])  # nails are at the top left


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", WITHOUT_WEIGHTS)
def test_whole_factors_equal_the_oracle(kind, factor):
    x = random((2, 4, 5, 3))
    found = build(kind, (4, 5), factor=factor)(x)
    np.testing.assert_allclose(found, expected_of(kind, x, factor), atol=1e-5)


@pytest.mark.parametrize("like", [(8, 10), (7, 9), (5, 10), (9, 12)])
@pytest.mark.parametrize("kind", WITHOUT_WEIGHTS)
def test_any_output_size_is_cut_off_or_filled_up_at_the_far_sides(kind, like):
    x = random((2, 4, 5, 3))
    found = build(kind, (4, 5), like=like)([x, np.zeros((2, *like, 1), "float32")])
    whole = np.pad(expected_of(kind, x, 2), [(0, 0), (0, 4), (0, 4), (0, 0)])
    np.testing.assert_allclose(found, whole[:, : like[0], : like[1]], atol=1e-5)


@pytest.mark.parametrize("kind", [*WITHOUT_WEIGHTS, "transposed_convolution"])
@pytest.mark.parametrize("like", [(7, 9), (9, 12)])
def test_unknown_sizes_in_a_graph_equal_known_ones(kind, like):
    x, wanted = random((2, 4, 5, 3)), np.zeros((2, *like, 1), "float32")
    known = build(kind, (4, 5), like=like)
    unknown = build(kind, (None, None), like=(None, None))
    unknown.set_weights(known.get_weights())
    assert unknown.output_shape == (None, None, None, 3)
    signature = [
        [tf.TensorSpec((None, None, None, 3)), tf.TensorSpec((None, None, None, 1))]
    ]
    found = tf.function(unknown, input_signature=signature)([x, wanted])
    np.testing.assert_allclose(found, known([x, wanted]), atol=1e-6)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_transposed_convolution_has_windows_that_do_not_overlap(factor):
    x = random((2, 4, 5, 3))
    model = build("transposed_convolution", (4, 5), factor=factor, filters=6)
    kernel, bias = model.layers[-1].get_weights()
    assert kernel.shape == (factor, factor, 6, 3)
    bias = random(bias.shape, seed=1)
    model.layers[-1].set_weights([kernel, bias])
    windows = np.einsum("bhwi,rcoi->bhrwco", x, kernel) + bias
    expected = windows.reshape(2, 4 * factor, 5 * factor, 6)
    np.testing.assert_allclose(model(x), expected, atol=1e-5)


def test_transposed_convolution_keeps_the_size_of_values():
    x = random((4, 16, 16, 64))
    found = build("transposed_convolution", (16, 16), channels=64, filters=32)(x)
    assert np.std(found) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("kind", WITHOUT_WEIGHTS)
def test_other_channels_are_projected_before(kind):
    x = random((2, 4, 5, 3))
    model = build(kind, (4, 5), filters=7)
    assert model.get_layer("up_project").count_params() == 3 * 7 + 7
    projected = np.array(model.get_layer("up_project")(x))
    np.testing.assert_allclose(model(x), expected_of(kind, projected, 2), atol=1e-5)


@pytest.mark.parametrize("side", [8, 7])
@pytest.mark.parametrize("channels", [3, 6])
def test_max_unpooling_returns_values_to_their_places(side, channels):
    pictures = keras.Input((side, side, 3))
    half = keras.Input(((side + 1) // 2, (side + 1) // 2, channels))
    _, places = unpooling.IndexedMaxPooling2D()(pictures)
    outputs = upsampling.upsample(
        half, "max_unpooling", filters=3, like=pictures, places=places, name="up"
    )
    model = keras.Model([pictures, half], outputs)
    assert model.output_shape == (None, side, side, 3)
    image, values = random((2, side, side, 3)), random((2, *half.shape[1:]), seed=1)
    found = np.array(model([image, values]))
    if channels != 3:
        values = np.array(model.get_layer("up_project")(values))
    _, flat = tf.nn.max_pool_with_argmax(image, 2, 2, "SAME")
    for picture in range(2):
        at = np.take(found[picture], flat[picture])
        np.testing.assert_array_equal(at, values[picture])
    assert np.count_nonzero(found) == values.size


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8, 32])
def test_bilinear_convolution_starts_as_bilinear_upsampling(factor):
    """But for the outermost pixels, which lean on zeros beyond the edge."""
    inputs = keras.Input((5, 6, 3))
    outputs = upsampling.bilinear_convolution(inputs, factor=factor, name="up")
    model, x = keras.Model(inputs, outputs), random((2, 5, 6, 3))
    found, expected = np.array(model(x)), expected_of("bilinear", x, factor)
    assert found.shape == expected.shape
    inner = slice(factor // 2, -(factor // 2) or None)
    np.testing.assert_allclose(
        found[:, inner, inner], expected[:, inner, inner], atol=1e-5
    )
    surrounded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    whole = expected_of("bilinear", surrounded, factor)
    np.testing.assert_allclose(
        found, whole[:, factor:-factor, factor:-factor], atol=1e-5
    )


def test_bilinear_convolution_is_long_s_kernel():
    """The 4 x 4 kernel of the released FCN-16s; 64 x 64 weights of 21 x 21 channels."""
    layer = keras.layers.Conv2DTranspose(
        1, 4, 2, kernel_initializer=upsampling.Bilinear()
    )
    layer.build((None, None, None, 1))
    tent = np.array([0.25, 0.75, 0.75, 0.25])
    np.testing.assert_allclose(layer.kernel[:, :, 0, 0], np.outer(tent, tent))
    inputs = keras.Input((2, 2, 21))
    outputs = upsampling.bilinear_convolution(
        inputs, factor=32, trainable=False, name="up"
    )
    model = keras.Model(inputs, outputs)
    assert model.count_params() == 64 * 64 * 21 * 21
    assert not model.trainable_variables


@pytest.mark.parametrize("kind", [*WITHOUT_WEIGHTS, "transposed_convolution"])
@pytest.mark.parametrize("like", [(7, 9), (9, 12)])
def test_gradient_is_that_of_a_linear_function(kind, like):
    """The derivative along a direction is the difference, and none is of `like`."""
    model = build(kind, (4, 5), like=like)
    x, direction = tf.constant(random((1, 4, 5, 3))), random((1, 4, 5, 3), seed=1)
    other = tf.zeros((1, *like, 1))
    upstream = random((1, *like, 3), seed=2)
    with tf.GradientTape() as tape:
        tape.watch([x, other])
        loss = tf.reduce_sum(model([x, other]) * upstream)
    gradient, of_other = tape.gradient(loss, [x, other])
    change = tf.reduce_sum(
        (model([x + direction, other]) - model([x, other])) * upstream
    )
    assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(
        float(change), rel=1e-3
    )
    assert of_other is None or not np.any(of_other)


@pytest.mark.parametrize("kind", [*WITHOUT_WEIGHTS, "transposed_convolution"])
def test_half_precision_and_a_dtype_of_its_own(kind):
    keras.config.set_dtype_policy("mixed_bfloat16")
    x, wanted = random((2, 4, 5, 3)), np.zeros((2, 7, 9, 1), "float32")
    assert build(kind, (4, 5), like=(7, 9))([x, wanted]).dtype == "bfloat16"
    inputs = keras.Input((4, 5, 3))
    outputs = upsampling.upsample(inputs, kind, filters=3, dtype="float32", name="up")
    assert outputs.dtype == "float32"
    found = np.array(keras.Model(inputs, outputs)(x))
    rounded = np.array(tf.cast(tf.cast(found, "bfloat16"), "float32"))
    assert np.any(found != rounded)


def test_saved_and_loaded_it_is_equal(tmp_path):
    inputs = [keras.Input((4, 5, 3)), keras.Input((7, 9, 1))]
    kinds = [*WITHOUT_WEIGHTS, "transposed_convolution"]
    outputs = [
        upsampling.upsample(inputs[0], kind, filters=4, like=inputs[1], name=kind)
        for kind in kinds
    ]
    outputs.append(upsampling.bilinear_convolution(inputs[0], factor=4, name="last"))
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    data = [random((2, 4, 5, 3)), random((2, 7, 9, 1))]
    for found, expected in zip(loaded(data), model(data), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert loaded.get_layer("bed_of_nails").get_config()["factor"] == 2


def test_receptive_field_of_bilinear_is_that_of_keras():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(3, 3, 2, padding="same")(inputs)
    fields = [
        receptive_field.of_last_map(
            keras.Model(inputs, layer(2, interpolation="bilinear")(x))
        )
        for layer in (upsampling.UpSampling2D, keras.layers.UpSampling2D)
    ]
    assert fields[0].rows == fields[1].rows
    assert fields[0].stride == (1, 1)


def test_what_is_not_possible_is_refused():
    inputs = keras.Input((4, 5, 3))
    with pytest.raises(errors.UsageError, match="upsampling='bilinaer'") as caught:
        upsampling.upsample(inputs, "bilinaer", filters=3, name="up")
    assert "'bilinear'" in caught.value.remedy
    for places, factor in ((None, 2), (inputs, 4), (keras.Input((4, 5, 2)), 2)):
        with pytest.raises(errors.UsageError, match="places of a pooling"):
            upsampling.upsample(
                inputs,
                "max_unpooling",
                filters=3,
                factor=factor,
                places=places,
                name="up",
            )
