"""Wide residual networks: depth, feature maps, where dropout is."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import wide_resnet


def test_depth_is_the_number_of_convolutions():
    """The paper counts projections, but not the dense layer."""
    model = wide_resnet.cifar_wide_resnet(28, 1, (32, 32, 3), 10)
    names = [
        layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    # With a factor of 1 the first stage needs no projection.
    assert len(names) == 28 - 1
    wider = wide_resnet.cifar_wide_resnet(28, 2, (32, 32, 3), 10)
    assert "c1_block1_shortcut_conv" in {layer.name for layer in wider.layers}


def test_another_depth_is_refused():
    with pytest.raises(errors.UsageError, match="depth=18"):
        wide_resnet.cifar_wide_resnet(18, 10, (32, 32, 3), 10)


@pytest.mark.parametrize("image_shape", [(224, 224, 3), (320, 256, 3)])
@pytest.mark.parametrize(
    ("output_stride", "strides"), [(32, (1, 2, 4)), (2, (1, 2, 2)), (1, (1, 1, 1))]
)
def test_feature_maps_of_cifar_have_the_strides(output_stride, strides, image_shape):
    outputs = wide_resnet.cifar_wide_resnet(
        16, 4, image_shape, None, width=0.5, output_stride=output_stride
    ).output
    for level, (stride, channels) in enumerate(
        zip(strides, (32, 64, 128), strict=True)
    ):
        height, columns = (size // stride for size in image_shape[:2])
        assert outputs[f"c{level + 1}"].shape == (None, height, columns, channels)


@pytest.mark.parametrize("image_shape", [(224, 224, 3), (320, 256, 3)])
def test_feature_maps_of_imagenet_have_the_strides(image_shape):
    outputs = wide_resnet.wide_resnet(50, 2, image_shape, None, width=0.125).output
    for level, channels in enumerate((64, 256, 512, 1024, 2048)):
        stride = 2 ** (level + 1)
        height, columns = (size // stride for size in image_shape[:2])
        assert outputs[f"c{level + 1}"].shape == (None, height, columns, channels // 8)


@pytest.mark.parametrize("output_stride", [1, 2])
def test_dilated_network_holds_the_pixels_of_the_strided_one(output_stride):
    options = {"image_shape": (27, 20, 3), "num_classes": None, "width": 0.5}
    plain = wide_resnet.cifar_wide_resnet(16, 2, **options)
    dilated = wide_resnet.cifar_wide_resnet(
        16, 2, output_stride=output_stride, **options
    )
    dilated.set_weights(plain.get_weights())
    image = np.random.default_rng(0).random((3, 27, 20, 3), dtype="float32")
    step = 4 // output_stride
    np.testing.assert_allclose(
        dilated(image)["c3"][:, ::step, ::step], plain(image)["c3"], 1e-4, 1e-4
    )


def _norm(x, weights):
    scale, offset, mean, variance = weights
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + offset


def _convolution(x, kernel, strides):
    size = kernel.shape[0]
    pad = size // 2
    x = np.pad(x, ((pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(0, 1))
    return np.einsum("hwcij,ijcf->hwf", windows[::strides, ::strides], kernel)


def _slow_wide_resnet(image, weights, num_blocks):
    """After figure 1d and the order norm, ReLU, convolution of section 2."""
    x = (image - [0.4914, 0.4822, 0.4465]) / [0.2470, 0.2435, 0.2616]
    x = _convolution(x, weights["stem_conv"][0], 1)
    for stage in (1, 2, 3):
        for block in range(1, num_blocks + 1):
            name = f"c{stage}_block{block}"
            strides = 2 if stage > 1 and block == 1 else 1
            activated = np.maximum(_norm(x, weights[f"{name}_1_norm"]), 0)
            branch = _convolution(activated, weights[f"{name}_1_conv"][0], strides)
            branch = np.maximum(_norm(branch, weights[f"{name}_2_norm"]), 0)
            branch = _convolution(branch, weights[f"{name}_2_conv"][0], 1)
            if block == 1:
                kernel = weights[f"{name}_shortcut_conv"][0]
                x = _convolution(activated, kernel, strides)
            x = x + branch
    x = np.maximum(_norm(x, weights["last_norm"]), 0)
    kernel, bias = weights["classifier"]
    return x.mean((0, 1)) @ kernel + bias


def test_logits_equal_those_of_numpy():
    generator = np.random.default_rng(0)
    model = wide_resnet.cifar_wide_resnet(16, 2, (17, 12, 3), 5, width=0.25)
    for layer in model.layers:
        values = layer.get_weights()
        if "norm" in layer.name and values:
            layer.set_weights([generator.uniform(0.5, 1.5, v.shape) for v in values])
    image = generator.random((17, 12, 3), dtype="float32")
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    expected = _slow_wide_resnet(image, weights, 2)
    np.testing.assert_allclose(model(image[None])[0], expected, rtol=1e-4, atol=1e-4)


def test_dropout_is_between_the_convolutions_of_every_block_and_nowhere_else():
    model = wide_resnet.cifar_wide_resnet(16, 1, (32, 32, 3), 10, dropout_rate=0.3)
    names = [
        layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)
    ]
    expected = [f"c{s}_block{b}_dropout" for s in (1, 2, 3) for b in (1, 2)]
    assert names == expected
    after = {
        layer.input.name: layer.name
        for layer in model.layers[1:-1]
        if not isinstance(layer.input, list)
    }
    for name in names:
        output = model.get_layer(name).output.name
        assert after[output] == name.replace("dropout", "2_conv")


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_dropout_rate_out_of_range_is_refused(rate):
    with pytest.raises(errors.UsageError, match=f"dropout_rate={rate}"):
        wide_resnet.cifar_wide_resnet(16, 1, (32, 32, 3), 10, dropout_rate=rate)


def test_stochastic_depth_rises_over_all_blocks():
    model = wide_resnet.cifar_wide_resnet(16, 1, (32, 32, 3), drop_path_rate=0.6)
    rates = [layer.rate for layer in model.layers if "drop_path" in layer.name]
    np.testing.assert_allclose(rates, 0.1 * np.arange(1, 7))
