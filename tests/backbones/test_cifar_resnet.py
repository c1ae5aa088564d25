"""CIFAR's residual networks: depth, shortcuts, dilation, dropped paths."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import cifar_resnet


def test_depth_is_the_number_of_weighted_layers():
    model = cifar_resnet.cifar_resnet(20, (32, 32, 3), 10)
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    assert sum(isinstance(layer, kinds) for layer in model.layers) == 20


def test_another_depth_is_refused():
    with pytest.raises(errors.UsageError, match="depth=18"):
        cifar_resnet.cifar_resnet(18, (32, 32, 3), 10)


def test_shortcut_takes_every_second_pixel_and_adds_channels_of_zeros():
    inputs = keras.Input((4, 6, 2))
    outputs = cifar_resnet._shortcut(inputs, 3, strides=2, name="block")
    image = np.random.default_rng(0).normal(size=(1, 4, 6, 2)).astype("float32")
    expected = np.zeros((1, 2, 3, 3))
    expected[..., :2] = image[:, ::2, ::2]
    np.testing.assert_array_equal(keras.Model(inputs, outputs)(image), expected)


@pytest.mark.parametrize(
    ("output_stride", "strides"), [(32, (1, 2, 4)), (4, (1, 2, 4)), (2, (1, 2, 2))]
)
def test_feature_maps_have_the_strides(output_stride, strides):
    model = cifar_resnet.cifar_resnet(
        20, (None, None, 3), None, output_stride=output_stride
    )
    outputs = model(np.zeros((1, 32, 48, 3), "float32"))
    for name, stride, channels in zip(
        ("c1", "c2", "c3"), strides, (16, 32, 64), strict=True
    ):
        assert outputs[name].shape == (1, 32 // stride, 48 // stride, channels)


def test_dilated_network_holds_the_pixels_of_the_strided_one():
    plain = cifar_resnet.cifar_resnet(20, (24, 20, 3), None, width=0.5)
    dilated = cifar_resnet.cifar_resnet(
        20, (24, 20, 3), None, width=0.5, output_stride=1
    )
    dilated.set_weights(plain.get_weights())
    image = np.random.default_rng(0).random((1, 24, 20, 3), dtype="float32")
    np.testing.assert_allclose(
        dilated(image)["c3"][:, ::4, ::4], plain(image)["c3"], rtol=1e-4, atol=1e-3
    )


def test_stochastic_depth_rises_over_all_blocks():
    """The first block is dropped too, if rarely [Huang 2016, 3]."""
    model = cifar_resnet.cifar_resnet(
        20, (32, 32, 3), 10, width=0.25, drop_path_rate=0.9
    )
    rates = [layer.rate for layer in model.layers if "drop_path" in layer.name]
    np.testing.assert_allclose(rates, 0.1 * np.arange(1, 10))


def test_stochastic_depth_is_the_plain_network_in_inference_and_varies_in_training():
    options = {"image_shape": (16, 16, 3), "num_classes": None, "width": 0.25}
    plain = cifar_resnet.cifar_resnet(20, **options)
    stochastic = cifar_resnet.cifar_resnet(20, drop_path_rate=0.5, **options)
    stochastic.set_weights(plain.get_weights())
    images = np.random.default_rng(0).random((4, 16, 16, 3), dtype="float32")
    np.testing.assert_array_equal(stochastic(images)["c3"], plain(images)["c3"])
    first, second = (stochastic(images, training=True)["c3"] for _ in range(2))
    assert (first != second).numpy().any()


def test_stochastic_depth_that_keeps_every_path_twice_as_loud_doubles_the_branch():
    """Half of the pictures pass the last block as they are, half with twice it."""
    model = cifar_resnet.cifar_resnet(
        20, (8, 8, 3), None, width=0.25, normalization="layer", drop_path_rate=0.5
    )
    last = keras.Model(
        [layer.output for layer in _inputs_of_last_sum(model)],
        model.get_layer("c3_block3_add").output,
    )
    branch, shortcut = np.ones((2, 2000, 2, 2, 16), "float32")
    values = np.array(last([branch, shortcut], training=True))
    assert set(np.unique(values)) == {1.0, 3.0}
    assert (values == values[:, :1, :1, :1]).all()
    assert np.mean(values == 1.0) == pytest.approx(0.5, abs=0.06)


def _inputs_of_last_sum(model):
    return model.get_layer("c3_block3_2_norm"), model.get_layer("c3_block2_relu")
