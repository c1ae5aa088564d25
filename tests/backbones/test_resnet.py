"""ImageNet's residual networks: depth, dilation, and a forward pass in NumPy."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import resnet
from tfdl.layers import receptive_field


@pytest.mark.parametrize(("depth", "first_projection"), [(34, 3), (101, 2)])
def test_depth_is_the_number_of_weighted_layers_but_projections(
    depth, first_projection
):
    model = resnet.resnet(depth, (64, 64, 3), 10, width=0.125)
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    weighted = [layer.name for layer in model.layers if isinstance(layer, kinds)]
    projections = [name for name in weighted if "shortcut" in name]
    assert len(weighted) - len(projections) == depth
    stages = range(first_projection, 6)
    assert projections == [f"c{stage}_block1_shortcut_conv" for stage in stages]


def test_receptive_field_is_that_of_a_stride_in_the_second_convolution():
    """427; with the stride in the first it is 483, see `resnet_v1`."""
    model = resnet.resnet(50, (64, 64, 3), None, width=0.125)
    field = receptive_field.of_last_map(model)
    assert (field.size, field.stride) == ((427, 427), (32, 32))


@pytest.mark.parametrize("image_shape", [(224, 224, 3), (320, 256, 3)])
@pytest.mark.parametrize(
    ("depth", "output_stride", "strides", "channels"),
    [
        (18, 32, (2, 4, 8, 16, 32), (64, 64, 128, 256, 512)),
        (18, 16, (2, 4, 8, 16, 16), (64, 64, 128, 256, 512)),
        (18, 8, (2, 4, 8, 8, 8), (64, 64, 128, 256, 512)),
        (50, 32, (2, 4, 8, 16, 32), (64, 256, 512, 1024, 2048)),
    ],
)
def test_feature_maps_have_the_strides(
    depth, output_stride, strides, channels, image_shape
):
    model = resnet.resnet(
        depth, image_shape, None, width=0.25, output_stride=output_stride
    )
    for level, (stride, width) in enumerate(zip(strides, channels, strict=True)):
        height, columns = (size // stride for size in image_shape[:2])
        feature = model.output[f"c{level + 1}"]
        assert feature.shape == (None, height, columns, width // 4)


@pytest.mark.parametrize("batch", [1, 3])
def test_pictures_of_any_size_run(batch):
    model = resnet.resnet(50, (None, None, 3), None, width=0.125)
    outputs = model(np.zeros((batch, 64, 96, 3), "float32"))
    assert outputs["c5"].shape == (batch, 2, 3, 256)


def test_feature_maps_of_odd_sizes_round_up():
    outputs = resnet.resnet(18, (75, 33, 3), None, width=0.125).output
    sizes = [outputs[f"c{level}"].shape[1:3] for level in range(1, 6)]
    assert sizes == [(38, 17), (19, 9), (10, 5), (5, 3), (3, 2)]


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("depth", [18, 50])
def test_dilated_network_holds_the_pixels_of_the_strided_one(depth, output_stride):
    """Odd sizes too: the paddings must agree for published weights to serve both."""
    plain = resnet.resnet(depth, (75, 64, 3), None, width=0.125)
    dilated = resnet.resnet(
        depth, (75, 64, 3), None, width=0.125, output_stride=output_stride
    )
    dilated.set_weights(plain.get_weights())
    image = np.random.default_rng(0).random((1, 75, 64, 3), dtype="float32")
    step = 32 // output_stride
    expected = plain(image)["c5"]
    actual = dilated(image)["c5"][:, ::step, ::step]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * scale)


def test_another_output_stride_is_refused():
    with pytest.raises(errors.UsageError, match=r"8, 16, 32.*output_stride=4"):
        resnet.resnet(18, (64, 64, 3), 10, output_stride=4)


@pytest.mark.parametrize(("depth", "num_blocks"), [(18, 8), (50, 16)])
def test_stochastic_depth_rises_over_all_blocks(depth, num_blocks):
    model = resnet.resnet(depth, (32, 32, 3), 5, width=0.125, drop_path_rate=0.8)
    rates = [layer.rate for layer in model.layers if "drop_path" in layer.name]
    np.testing.assert_allclose(rates, 0.8 * np.arange(1, num_blocks + 1) / num_blocks)


class _SlowResNet:
    """A ResNet in NumPy after torchvision's table; weights by layer name."""

    def __init__(self, weights, num_blocks):
        self.weights = weights
        self.num_blocks = num_blocks

    def __call__(self, image):
        x = (image - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        x = np.maximum(self.conv_norm(x, "stem", strides=2), 0)
        x = _windows(np.pad(x, _PAD_ONE, constant_values=-np.inf), 3, 2).max((-2, -1))
        for level in (2, 3, 4, 5):
            for block in range(1, self.num_blocks[level - 2] + 1):
                strides = 2 if level > 2 and block == 1 else 1
                x = self.block(x, f"c{level}_block{block}", strides)
        kernel, bias = self.weights["classifier"]
        return x.mean((0, 1)) @ kernel + bias

    def block(self, x, name, strides):
        shortcut = x
        if f"{name}_shortcut_conv" in self.weights:
            shortcut = self.conv_norm(x, f"{name}_shortcut", strides=strides)
        if f"{name}_3_conv" in self.weights:  # a bottleneck
            x = np.maximum(self.conv_norm(x, f"{name}_1"), 0)
            x = np.maximum(self.conv_norm(x, f"{name}_2", strides=strides), 0)
            return np.maximum(self.conv_norm(x, f"{name}_3") + shortcut, 0)
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
@pytest.mark.parametrize(
    ("depth", "num_blocks"), [(18, (2, 2, 2, 2)), (50, (3, 4, 6, 3))]
)
def test_logits_equal_those_of_numpy(depth, num_blocks, size):
    generator = np.random.default_rng(0)
    model = resnet.resnet(depth, (*size, 3), 5, width=0.125)
    for layer in model.layers:
        shapes = [weight.shape for weight in layer.weights]
        if "norm" in layer.name and shapes:
            layer.set_weights([generator.uniform(0.5, 1.5, shape) for shape in shapes])
    image = generator.random((*size, 3), dtype="float32")
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    expected = _SlowResNet(weights, num_blocks)(image)
    tolerance = 1e-5 * max(10, np.abs(expected).max())
    np.testing.assert_allclose(
        model(image[None])[0], expected, rtol=1e-4, atol=tolerance
    )
