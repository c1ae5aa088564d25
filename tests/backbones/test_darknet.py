"""Darknet-53 and its cross-stage partial form: counts, activations, a NumPy oracle."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import darknet

BOTH = (darknet.darknet53, darknet.cspdarknet)
BLOCKS = (1, 2, 8, 8, 4)


def _num_trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def test_darknet53_has_53_weighted_layers():
    """The paper's last one is a 1 x 1 convolution."""
    model = darknet.darknet53((64, 64, 3), 10, width=0.125)
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    assert sum(isinstance(layer, kinds) for layer in model.layers) == 53


def _csp_stage(before, channels, branch, num_blocks):
    """(kernel, in, out) of a stage's convolutions, from YOLOv4's layer table."""
    half = channels // 2
    block = [(1, branch, half), (3, half, branch)]
    return [
        (3, before, channels),
        (1, channels, branch),
        (1, channels, branch),
        *block * num_blocks,
        (1, branch, branch),
        (1, 2 * branch, channels),
    ]


def test_count_of_cspdarknet_is_that_of_the_table():
    """27.6 million in YOLOv4's table 1, 27,642,184 by its layers."""
    convolutions = [
        (3, 3, 32),
        *_csp_stage(32, 64, 64, 1),
        *_csp_stage(64, 128, 64, 2),
        *_csp_stage(128, 256, 128, 8),
        *_csp_stage(256, 512, 256, 8),
        *_csp_stage(512, 1024, 512, 4),
    ]
    weights = sum(size**2 * before * after for size, before, after in convolutions)
    norms = sum(2 * after for _, _, after in convolutions)
    assert weights + norms + 1025 * 1000 == 27_642_184
    assert _num_trainable(darknet.cspdarknet((256, 256, 3))) == 27_642_184


@pytest.mark.parametrize("size", [(224, 224), (320, 256)])
@pytest.mark.parametrize("build", BOTH)
def test_feature_maps_have_the_strides(build, size):
    outputs = build((*size, 3), None).output
    for level, filters in enumerate((64, 128, 256, 512, 1024), start=1):
        shape = (None, size[0] >> level, size[1] >> level, filters)
        assert outputs[f"c{level}"].shape == shape


@pytest.mark.parametrize("num_images", [1, 3])
@pytest.mark.parametrize("build", BOTH)
def test_feature_maps_of_unknown_and_odd_size_round_up(build, num_images):
    model = build((None, None, 3), None, width=0.125)
    outputs = model(np.zeros((num_images, 75, 33, 3), "float32"))
    assert outputs["c5"].shape == (num_images, 3, 2, 128)


@pytest.mark.parametrize("build", BOTH)
def test_dilation_is_refused(build):
    with pytest.raises(errors.UsageError, match="output_stride=16"):
        build((64, 64, 3), 10, output_stride=16)


def _leaky_relu(x):
    return np.where(x > 0, x, 0.1 * x)


def _mish(x):
    return x * np.tanh(np.logaddexp(0, x))


class _SlowDarknet:
    """Both models in NumPy after the papers' tables; weights by layer name."""

    def __init__(self, weights, activation):
        self.weights = weights
        self.activation = activation

    def __call__(self, image):
        x = self.convolution(image, "stem")
        for level, num_blocks in enumerate(BLOCKS, start=1):
            x = self.convolution(x, f"c{level}_down", strides=2)
            stage = self.partial if "c1_join_conv" in self.weights else self.blocks
            x = stage(x, f"c{level}", num_blocks)
        kernel, bias = self.weights["classifier"]
        return x.mean((0, 1)) @ kernel + bias

    def blocks(self, x, name, num_blocks):
        for number in range(1, num_blocks + 1):
            wide = self.convolution(x, f"{name}_block{number}_1")
            x = x + self.convolution(wide, f"{name}_block{number}_2")
        return x

    def partial(self, x, name, num_blocks):
        bypass = self.convolution(x, f"{name}_bypass")
        x = self.blocks(self.convolution(x, f"{name}_split"), name, num_blocks)
        x = self.convolution(x, f"{name}_blocks")
        return self.convolution(np.concatenate([x, bypass], -1), f"{name}_join")

    def convolution(self, x, name, strides=1):
        (kernel,) = self.weights[f"{name}_conv"]
        scale, offset, mean, variance = self.weights[f"{name}_norm"]
        size = kernel.shape[0]
        x = np.pad(x, [(size // 2, size // 2)] * 2 + [(0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (0, 1))
        windows = windows[::strides, ::strides]
        x = np.einsum("hwcij,ijcf->hwf", windows, kernel, optimize=True)
        return self.activation((x - mean) / np.sqrt(variance + 1e-5) * scale + offset)


@pytest.mark.parametrize("size", [(64, 64), (45, 70)])
@pytest.mark.parametrize(
    ("build", "activation"),
    [(darknet.darknet53, _leaky_relu), (darknet.cspdarknet, _mish)],
)
def test_logits_equal_those_of_numpy(build, activation, size):
    generator = np.random.default_rng(0)
    model = build((*size, 3), 5, width=0.125)
    for layer in model.layers:
        shapes = [weight.shape for weight in layer.weights]
        if "norm" in layer.name and shapes:
            layer.set_weights([generator.uniform(0.5, 1.0, shape) for shape in shapes])
    image = generator.random((*size, 3), dtype="float32")
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    expected = _SlowDarknet(weights, activation)(image)
    assert np.std(expected) > 0
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model(image[None])[0], expected, atol=1e-5 * scale)
