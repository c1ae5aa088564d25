"""VGG: feature maps, and Keras's own VGG16 and VGG19 as oracles."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.backbones import imagenet, vgg
from tfdl.layers import receptive_field


def _images(*shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


def test_receptive_field_of_16_layers_is_the_published():
    """212 pixels [Araujo 2019, table 1]."""
    model = vgg.vgg(16, False, (224, 224, 3), None, width=0.0625)
    assert receptive_field.of_last_map(model).size == (212, 212)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_depth_is_the_number_of_weighted_layers(depth):
    model = vgg.vgg(depth, True, (32, 32, 3), 10, width=0.0625)
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    assert sum(isinstance(layer, kinds) for layer in model.layers) == depth


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("num_images", [1, 3])
@pytest.mark.parametrize("size", [(224, 224), (320, 256)])
def test_feature_maps_have_the_strides(size, num_images, normalized):
    model = vgg.vgg(11, normalized, (None, None, 3), None, width=0.0625)
    outputs = model(np.zeros((num_images, *size, 3), "float32"))
    channels = (4, 8, 16, 32, 32)
    assert {name: tuple(feature.shape) for name, feature in outputs.items()} == {
        f"c{level}": (
            num_images,
            size[0] // 2**level,
            size[1] // 2**level,
            channels[level - 1],
        )
        for level in range(1, 6)
    }


def test_poolings_round_up_as_ssds_38_positions_want():
    model = vgg.vgg(16, False, (300, 300, 3), None, width=0.0625)
    assert model.get_layer("conv4_3").output.shape == (None, 38, 38, 32)
    assert model.output["c5"].shape == (None, 10, 10, 32)


@pytest.mark.parametrize("normalized", [False, True])
def test_a_layers_name_fetches_the_relu_of_its_convolution(normalized):
    model = vgg.vgg(19, normalized, (32, 48, 3), None, width=0.0625)
    names = {"conv1_2": 1, "conv3_4": 4, "conv4_2": 8}  # and their strides
    outputs = keras.Model(
        model.input, [model.get_layer(name).output for name in names]
    )(_images(1, 32, 48, 3))
    for output, stride in zip(outputs, names.values(), strict=True):
        assert output.shape[1:3] == (32 // stride, 48 // stride)
        assert np.min(output) == 0 < np.max(output)


@pytest.mark.parametrize(
    ("depth", "build"), [(16, keras.applications.VGG16), (19, keras.applications.VGG19)]
)
def test_logits_equal_those_of_keras(depth, build):
    """With their weights, on their blue-green-red picture without the mean."""
    size = (64, 32)
    theirs = build(weights=None, input_shape=(*size, 3), classifier_activation=None)
    generator = np.random.default_rng(1)
    for weight in theirs.weights:
        if weight.name == "bias":
            weight.assign(generator.normal(size=weight.shape))
    ours = vgg.vgg(depth, False, (*size, 3))
    imagenet.transfer(theirs, ours, vgg.published(depth))
    x = _images(2, *size, 3)
    expected = theirs(keras.applications.vgg16.preprocess_input(255 * x)).numpy()
    np.testing.assert_allclose(ours(x), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("num_classes", "includes_top"), [(1000, True), (7, True), (None, False)]
)
def test_imagenets_hidden_layers_are_taken_for_any_classes(
    monkeypatch, num_classes, includes_top
):
    size, real_build, built = (32, 32, 3), keras.applications.VGG16, []

    def build(*, weights, include_top):
        assert include_top == includes_top
        built.append(real_build(include_top, None, input_shape=size))
        return built[-1]  # of the weights, after one for the shapes

    monkeypatch.setattr(keras.applications, "VGG16", build)
    ours = vgg.vgg(16, False, size, num_classes, weights="imagenet")
    pairs = {"conv1_2": "block1_conv2", "conv5_3": "block5_conv3"}
    if includes_top:
        pairs |= {"classifier_fc1": "fc1", "classifier_fc2": "fc2"}
    for mine, theirs in pairs.items():
        np.testing.assert_array_equal(
            ours.get_layer(mine).kernel, built[-1].get_layer(theirs).kernel
        )


def test_loss_of_nineteen_layers_starts_at_chance_and_its_gradient_reaches_all():
    keras.utils.set_random_seed(0)
    model = vgg.vgg(19, False, (32, 32, 3), 8, width=0.25)
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(
            np.arange(8), model(_images(8, 32, 32, 3), training=True)
        )
    assert loss.numpy() == pytest.approx(np.log(8), rel=0.05)
    kernels = [layer.kernel for layer in model.layers if layer.weights]
    gradients = tape.gradient(loss, [kernel.value for kernel in kernels])
    # Neither dying out nor exploding on the way down.
    norms = [np.linalg.norm(gradient) for gradient in gradients]
    assert all(1e-3 < norm < 10 for norm in norms), norms


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((None, None, 3), {}, "`image_shape` must have a height"),
        ((32, 32, 3), {"output_stride": 16}, "output_stride=16"),
        ((32, 32, 3), {"dropout_rate": 1.0}, "dropout_rate=1.0"),
        ((32, 32, 3), {"drop_path_rate": 0.1}, "drop_path_rate=0.1"),
    ],
)
def test_what_it_cannot_do_is_refused(image_shape, options, message):
    with pytest.raises(errors.UsageError, match=message):
        vgg.vgg(11, False, image_shape, 8, width=0.0625, **options)


@pytest.mark.parametrize(("depth", "normalized"), [(11, False), (16, True)])
def test_imagenet_weights_that_nobody_publishes_are_refused(depth, normalized):
    with pytest.raises(errors.UsageError, match="`weights` cannot be 'imagenet'"):
        vgg.vgg(depth, normalized, (32, 32, 3), weights="imagenet", width=0.0625)
