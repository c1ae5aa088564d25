"""AlexNet's variants: sizes, two towers, and a forward pass by TensorFlow."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.backbones import alexnet
from tfdl.layers import receptive_field

VARIANTS = ("alexnet", "alexnet_grouped", "alexnet_torchvision")


def _images(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


def _randomise(model):
    generator = np.random.default_rng(1)
    for weight in model.weights:
        if weight.name == "bias":
            weight.assign(generator.normal(size=weight.shape))


@pytest.mark.parametrize("variant", VARIANTS)
def test_receptive_field_is_the_published(variant):
    """195 pixels [Araujo 2019, table 1]."""
    model = alexnet.alexnet(variant, (224, 224, 3), None, width=0.125)
    assert receptive_field.of_last_map(model).size == (195, 195)


@pytest.mark.parametrize("num_images", [1, 3])
@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((224, 224), ((55, 55), (27, 27), (13, 13), (6, 6))),
        ((320, 256), ((79, 63), (39, 31), (19, 15), (9, 7))),
    ],
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_feature_maps_have_one_position_less_than_picture_by_stride(
    variant, size, sizes, num_images
):
    model = alexnet.alexnet(variant, (None, None, 3), None, width=0.125)
    outputs = model(np.zeros((num_images, *size, 3), "float32"))
    channels = (8, 24, 32, 32) if "torchvision" in variant else (12, 32, 32, 32)
    assert {name: tuple(feature.shape) for name, feature in outputs.items()} == {
        f"c{level}": (num_images, *sizes[level - 2], channels[level - 2])
        for level in (2, 3, 4, 5)
    }


def _forward(model, x):
    """The paper's layers, by TensorFlow's operations, up to the last map."""

    def convolved(x, name, strides, padding):
        kernel, bias = model.get_layer(name).get_weights()
        edges = [[0, 0], padding, padding, [0, 0]]
        return tf.nn.relu(tf.nn.conv2d(x, kernel, strides, edges) + bias)

    def normalised(x):
        return tf.nn.local_response_normalization(x, 2, 2.0, 1e-4, 0.75)

    x = tf.constant((x - alexnet.IMAGENET_MEAN) / alexnet.IMAGENET_STD, "float32")
    x = normalised(convolved(x, "conv1", 4, [1, 2]))
    x = tf.nn.max_pool2d(x, 3, 2, "VALID")
    x = normalised(convolved(x, "conv2", 1, [2, 2]))
    x = tf.nn.max_pool2d(x, 3, 2, "VALID")
    for name in ("conv3", "conv4", "conv5"):
        x = convolved(x, name, 1, [1, 1])
    return tf.nn.max_pool2d(x, 3, 2, "VALID")


def test_maps_equal_those_of_tensorflows_operations():
    model = alexnet.alexnet("alexnet", (130, 99, 3), None, width=0.25)
    _randomise(model)
    x = _images(2, 130, 99, 3)
    np.testing.assert_allclose(model(x)["c5"], _forward(model, x), rtol=1e-4, atol=1e-4)


def test_two_towers_are_one_without_the_weights_between_them():
    grouped, whole = (
        alexnet.alexnet(variant, (96, 80, 3), 7, width=0.125)
        for variant in ("alexnet_grouped", "alexnet")
    )
    _randomise(grouped)
    for layer in grouped.layers:
        values = layer.get_weights()
        if getattr(layer, "groups", 1) == 2:
            left, right = np.split(values[0], 2, axis=-1)
            zeros = np.zeros_like(left)
            values[0] = np.block([[[[left, zeros], [zeros, right]]]])
        whole.get_layer(layer.name).set_weights(values)
    x = _images(2, 96, 80, 3)
    np.testing.assert_allclose(grouped(x), whole(x), rtol=1e-4, atol=1e-6)


def _averaged_to_6_by_6(maps):
    """Averages over PyTorch's windows, which overlap where 6 divides no size."""
    rows, columns = (
        [slice(n * size // 6, -(-(n + 1) * size // 6)) for n in range(6)]
        for size in maps.shape[1:3]
    )
    averages = [
        [maps[:, row, column].mean(axis=(1, 2)) for column in columns] for row in rows
    ]
    return np.moveaxis(averages, 2, 0)


@pytest.mark.parametrize("height", range(1, 14))
@pytest.mark.parametrize("width", [1, 4, 9])
def test_a_map_of_any_size_is_averaged_to_6_by_6(height, width):
    inputs = keras.Input((height, width, 3))
    model = keras.Model(inputs, alexnet._resized(inputs, 6))
    maps = _images(2, height, width, 3)
    np.testing.assert_allclose(model(maps), _averaged_to_6_by_6(maps), rtol=1e-5)


def test_torchvisions_weights_fit_every_size():
    model = alexnet.alexnet("alexnet_torchvision", (320, 64, 3), 5, width=0.125)
    published = alexnet.alexnet("alexnet_torchvision", (224, 224, 3), 5, width=0.125)
    model.set_weights(published.get_weights())
    assert model(_images(1, 320, 64, 3)).shape == (1, 5)
    assert "classifier_pool" not in {layer.name for layer in published.layers}


def test_loss_starts_at_chance_and_the_gradient_reaches_the_first_layer():
    model = alexnet.alexnet("alexnet_grouped", (64, 64, 3), 8, width=0.25)
    x, labels = _images(8, 64, 64, 3), np.arange(8)
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(
            labels, model(x, training=True)
        )
    assert loss.numpy() == pytest.approx(np.log(8), rel=0.05)
    gradient = tape.gradient(loss, model.get_layer("conv1").kernel.value)
    assert np.abs(gradient).max() > 0


def test_dropout_is_of_both_hidden_layers():
    model = alexnet.alexnet("alexnet", (64, 64, 3), 8, width=0.125, dropout_rate=0.3)
    rates = {
        layer.name: layer.rate
        for layer in model.layers
        if isinstance(layer, keras.layers.Dropout)
    }
    assert rates == {"classifier_fc2_dropout": 0.3, "classifier_dropout": 0.3}


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((63, 224, 3), {}, "at least 64 pixels"),
        ((None, None, 3), {}, "`image_shape` must have a height"),
        ((64, 64, 3), {"output_stride": 16}, "output_stride=16"),
        ((64, 64, 3), {"dropout_rate": -0.1}, "dropout_rate=-0.1"),
        ((64, 64, 3), {"drop_path_rate": 0.1}, "drop_path_rate=0.1"),
    ],
)
def test_what_it_cannot_do_is_refused(image_shape, options, message):
    with pytest.raises(errors.UsageError, match=message):
        alexnet.alexnet("alexnet", image_shape, 8, width=0.125, **options)


@pytest.mark.parametrize("variant", VARIANTS)
def test_dense_layers_need_a_known_size(variant):
    with pytest.raises(errors.UsageError, match="`image_shape` must have a height"):
        alexnet.alexnet(variant, (64, None, 3), 8, width=0.125)
