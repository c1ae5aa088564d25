"""ResNeXt: published counts, and groups that do not see each other."""

import keras
import numpy as np
import pytest

from tfdl.backbones import resnext


def _multiply_adds(model):
    """Sum over convolutions and dense layers, biases and norms left out."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            positions = np.prod(layer.output.shape[1:-1])  # 1 of a dense layer
            total += positions * np.prod(layer.kernel.shape)
    return total


@pytest.fixture(scope="module")
def resnext50():
    return resnext.resnext(50, 32, 4, (224, 224, 3))


def _count(model):
    return sum(np.prod(weight.shape) for weight in model.trainable_weights)


def test_count_of_50_layers_is_the_published(resnext50):
    assert resnext50.name == "resnext50_32x4d"
    assert _count(resnext50) == 25_028_904
    assert _multiply_adds(resnext50) == pytest.approx(4.230e9, rel=0.005)


@pytest.mark.parametrize(("group_width", "count"), [(4, 44_177_704), (8, 88_791_336)])
def test_count_of_101_layers_is_the_published(group_width, count):
    """The trap: the two networks of 101 layers."""
    assert _count(resnext.resnext(101, 32, group_width, (64, 64, 3))) == count


def test_groups_have_4_8_16_and_32_channels(resnext50):
    """Table 1: 128, 256, 512, 1024 channels in 32 groups."""
    for stage, channels in zip(range(2, 6), (128, 256, 512, 1024), strict=True):
        convolution = resnext50.get_layer(f"c{stage}_block1_2_conv")
        assert (convolution.groups, convolution.filters) == (32, channels)
        assert convolution.kernel.shape == (3, 3, channels // 32, channels)


@pytest.mark.parametrize("image_shape", [(224, 224, 3), (320, 256, 3)])
def test_feature_maps_have_the_strides(image_shape):
    outputs = resnext.resnext(50, 32, 4, image_shape, None, width=0.125).output
    for level, channels in enumerate((64, 256, 512, 1024, 2048)):
        stride = 2 ** (level + 1)
        height, columns = (size // stride for size in image_shape[:2])
        assert outputs[f"c{level + 1}"].shape == (None, height, columns, channels // 8)


def test_dilated_network_holds_the_pixels_of_the_strided_one():
    options = {"image_shape": (45, 32, 3), "num_classes": None, "width": 0.125}
    plain = resnext.resnext(50, 32, 4, **options)
    image = np.random.default_rng(0).random((3, 45, 32, 3), dtype="float32")
    expected = plain(image)["c5"]
    scale = np.abs(expected).max()
    for output_stride in (8, 16):
        dilated = resnext.resnext(50, 32, 4, output_stride=output_stride, **options)
        dilated.set_weights(plain.get_weights())
        step = 32 // output_stride
        actual = dilated(image)["c5"][:, ::step, ::step]
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * scale)
