"""ImageNet's basic residual networks: counts, dilation, and a forward pass in NumPy."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import resnet


@pytest.mark.parametrize(("depth", "count"), [(18, 11_689_512), (34, 21_797_672)])
def test_count_is_the_published(depth, count):
    """The traps: trainable parameters only, and convolutions without biases."""
    model = resnet.resnet(depth, (224, 224, 3))
    assert sum(np.prod(weight.shape) for weight in model.trainable_weights) == count


def test_depth_is_the_number_of_weighted_layers_but_projections():
    model = resnet.resnet(34, (64, 64, 3), 10, width=0.125)
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    weighted = [layer.name for layer in model.layers if isinstance(layer, kinds)]
    projections = [name for name in weighted if "shortcut" in name]
    assert len(weighted) - len(projections) == 34
    assert projections == [f"c{stage}_block1_shortcut_conv" for stage in (3, 4, 5)]


@pytest.mark.parametrize(
    ("output_stride", "strides"),
    [(32, (2, 4, 8, 16, 32)), (16, (2, 4, 8, 16, 16)), (8, (2, 4, 8, 8, 8))],
)
def test_feature_maps_have_the_strides(output_stride, strides):
    model = resnet.resnet(
        18, (None, None, 3), None, width=0.25, output_stride=output_stride
    )
    outputs = model(np.zeros((1, 64, 96, 3), "float32"))
    for index, (stride, channels) in enumerate(
        zip(strides, (16, 16, 32, 64, 128), strict=True)
    ):
        shape = (1, 64 // stride, 96 // stride, channels)
        assert outputs[f"c{index + 1}"].shape == shape


def test_feature_maps_of_odd_sizes_round_up():
    outputs = resnet.resnet(18, (75, 33, 3), None, width=0.125).output
    sizes = [outputs[f"c{level}"].shape[1:3] for level in range(1, 6)]
    assert sizes == [(38, 17), (19, 9), (10, 5), (5, 3), (3, 2)]


@pytest.mark.parametrize("output_stride", [8, 16])
def test_dilated_network_holds_the_pixels_of_the_strided_one(output_stride):
    """Odd sizes too: the paddings must agree for published weights to serve both."""
    plain = resnet.resnet(18, (75, 64, 3), None, width=0.25)
    dilated = resnet.resnet(
        18, (75, 64, 3), None, width=0.25, output_stride=output_stride
    )
    dilated.set_weights(plain.get_weights())
    image = np.random.default_rng(0).random((1, 75, 64, 3), dtype="float32")
    step = 32 // output_stride
    expected = plain(image)["c5"]
    actual = dilated(image)["c5"][:, ::step, ::step]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-3)


def test_another_output_stride_is_refused():
    with pytest.raises(errors.UsageError, match=r"8, 16, 32.*output_stride=4"):
        resnet.resnet(18, (64, 64, 3), 10, output_stride=4)


class _SlowResNet18:
    """ResNet-18 in NumPy after torchvision's table; weights by layer name."""

    def __init__(self, weights):
        self.weights = weights

    def __call__(self, image):
        x = (image - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        x = np.maximum(self.conv_norm(x, "stem", strides=2), 0)
        x = _windows(np.pad(x, _PAD_ONE, constant_values=-np.inf), 3, 2).max((-2, -1))
        for level in (2, 3, 4, 5):
            for block in (1, 2):
                strides = 2 if level > 2 and block == 1 else 1
                x = self.block(x, f"c{level}_block{block}", strides)
        kernel, bias = self.weights["classifier"]
        return x.mean((0, 1)) @ kernel + bias

    def block(self, x, name, strides):
        shortcut = x
        if f"{name}_shortcut_conv" in self.weights:
            shortcut = self.conv_norm(x, f"{name}_shortcut", strides=strides)
        x = np.maximum(self.conv_norm(x, f"{name}_1", strides=strides), 0)
        return np.maximum(self.conv_norm(x, f"{name}_2") + shortcut, 0)

    def conv_norm(self, x, name, strides=1):
        (kernel,) = self.weights[f"{name}_conv"]
        scale, offset, mean, variance = self.weights[f"{name}_norm"]
        size = kernel.shape[0]
        padding = [(size // 2, size // 2)] * 2 + [(0, 0)]
        windows = _windows(np.pad(x, padding), size, strides)
        x = np.einsum("hwcij,ijcf->hwf", windows, kernel)
        return (x - mean) / np.sqrt(variance + 1e-5) * scale + offset


_PAD_ONE = [(1, 1), (1, 1), (0, 0)]


def _windows(x, size, strides):
    """Return (rows, columns, channels, size, size)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))
    return windows[::strides, ::strides]


@pytest.mark.parametrize("size", [(64, 64), (45, 70)])
def test_logits_equal_those_of_numpy(size):
    generator = np.random.default_rng(0)
    model = resnet.resnet(18, (*size, 3), 5, width=0.125)
    for layer in model.layers:
        shapes = [weight.shape for weight in layer.weights]
        if "norm" in layer.name and shapes:
            layer.set_weights([generator.uniform(0.5, 1.5, shape) for shape in shapes])
    image = generator.random((*size, 3), dtype="float32")
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    expected = _SlowResNet18(weights)(image)
    np.testing.assert_allclose(model(image[None])[0], expected, rtol=1e-4, atol=1e-4)
