"""Blocks against a slow NumPy convolution, and the dilation against the strides."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.layers import blocks


def _random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _slow_convolution(image, kernel, *, strides, dilation_rate=1):
    """Loop over the pixels of (height, width, channels), zeros on both sides alike."""
    size = (kernel.shape[0] - 1) * dilation_rate + 1
    pad = size // 2
    image = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    rows = range(0, image.shape[0] - size + 1, strides)
    columns = range(0, image.shape[1] - size + 1, strides)
    output = np.zeros((len(rows), len(columns), kernel.shape[-1]))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            window = image[row : row + size, column : column + size]
            window = window[::dilation_rate, ::dilation_rate]
            output[i, j] = np.tensordot(window, kernel, axes=3)
    return output


def _model(function, shape, *args, **options):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs, *args, **options))


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
@pytest.mark.parametrize(("strides", "dilation_rate"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("size", [(8, 9), (7, 10)])
def test_convolution_pads_both_sides_alike(size, strides, dilation_rate, kernel_size):
    model = _model(
        blocks.convolution,
        (*size, 2),
        3,
        kernel_size,
        strides=strides,
        dilation_rate=dilation_rate,
        use_bias=False,
        name="conv",
    )
    image = _random((*size, 2))
    kernel = model.get_layer("conv").get_weights()[0]
    expected = _slow_convolution(
        image, kernel, strides=strides, dilation_rate=dilation_rate
    )
    actual = model(image[None])[0]
    assert actual.shape == (-(-size[0] // strides), -(-size[1] // strides), 3)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_convolution_starts_with_the_deviation_of_he():
    model = _model(blocks.convolution, (8, 8, 64), 256, 3, name="conv")
    kernel, bias = model.get_layer("conv").get_weights()
    assert kernel.std() == pytest.approx(np.sqrt(2 / (3 * 3 * 64)), rel=0.02)
    assert not bias.any()


def test_conv_norm_activation_names_its_layers_and_has_no_bias():
    model = _model(
        blocks.conv_norm_activation, (8, 8, 3), 4, 3, activation="silu", name="stem"
    )
    names = [layer.name for layer in model.layers[1:]]
    assert names == ["stem_conv", "stem_norm", "stem_silu"]
    assert len(model.get_layer("stem_conv").weights) == 1


def test_conv_norm_activation_without_activation_is_negative_somewhere():
    model = _model(
        blocks.conv_norm_activation, (8, 8, 3), 4, 3, activation=None, name="stem"
    )
    assert np.min(model(_random((1, 8, 8, 3)))) < 0


def test_basic_residual_equals_the_slow_convolutions():
    inputs, shortcut = keras.Input((6, 7, 2)), keras.Input((3, 4, 5))
    outputs = blocks.basic_residual(inputs, shortcut, 5, strides=2, name="block")
    model = keras.Model([inputs, shortcut], outputs)
    image, added = _random((6, 7, 2)), _random((3, 4, 5), seed=1)
    kernels = [model.get_layer(f"block_{k}_conv").get_weights()[0] for k in (1, 2)]

    inference_scale = 1 / np.sqrt(1 + 1e-5)  # running mean 0 and variance 1
    hidden = _slow_convolution(image, kernels[0], strides=2) * inference_scale
    branch = _slow_convolution(np.maximum(hidden, 0), kernels[1], strides=1)
    expected = np.maximum(branch * inference_scale + added, 0)
    actual = model([image[None], added[None]])[0]
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_scaled_rounds_and_stays_positive():
    assert [blocks.scaled(6, width) for width in (1.0, 0.5, 0.25, 0.01)] == [6, 3, 2, 1]
    with pytest.raises(errors.UsageError, match="width=0"):
        blocks.scaled(6, 0)


def test_atrous_stages_of_deeplab():
    plain = [(1, (1, 1)), (2, (1, 1)), (2, (1, 1)), (2, (1, 1))]
    assert blocks.atrous_stages((1, 2, 2, 2), 8) == plain
    assert blocks.atrous_stages((1, 2, 2, 2), 4) == [*plain[:3], (1, (1, 2))]
    assert blocks.atrous_stages((1, 2, 2, 2), 2) == [
        *plain[:2],
        (1, (1, 2)),
        (1, (2, 4)),
    ]


def test_spatial_dropout_drops_whole_channels_and_keeps_the_mean():
    inputs = keras.Input((5, 5, 64))
    outputs = blocks.spatial_dropout(inputs, 0.25, name="c1")
    model = keras.Model(inputs, outputs)
    values = np.array(model(np.ones((8, 5, 5, 64)), training=True))
    np.testing.assert_allclose(np.unique(values), [0, 1 / 0.75], rtol=1e-6)
    np.testing.assert_allclose(values.std(axis=(1, 2)), 0, atol=1e-6)
    assert abs(values.mean() - 1) < 0.15
    assert blocks.spatial_dropout(inputs, 0.0, name="c2") is inputs
    with pytest.raises(errors.UsageError, match="spatial_dropout_rate"):
        blocks.spatial_dropout(inputs, 1.0, name="c3")


def test_depthwise_convolution_starts_with_the_deviation_of_he_for_one_channel():
    model = _model(
        blocks.depthwise_norm_activation, (8, 8, 512), 3, activation=None, name="block"
    )
    kernel = model.get_layer("block_depthwise").get_weights()[0]
    assert kernel.std() == pytest.approx(np.sqrt(2 / 9), rel=0.05)


@pytest.mark.parametrize("size", [(224, 13), (225, 12)])
def test_ceil_pooling_rounds_up_as_caffe_does(size):
    """Every window that starts within the picture counts, also if it is cut off."""
    inputs = keras.Input((*size, 1))
    outputs = blocks.max_pool(inputs, 3, 2, padding="ceil", name="pool")
    assert outputs.shape[1:3] == tuple(-(-(side - 3) // 2) + 1 for side in size)
    image = np.abs(_random((1, *size, 1)))
    actual = keras.Model(inputs, outputs)(image)
    expected = [
        [
            image[0, row : row + 3, column : column + 3, 0].max()
            for column in range(0, 2 * outputs.shape[2], 2)
        ]
        for row in range(0, 2 * outputs.shape[1], 2)
    ]
    np.testing.assert_array_equal(actual[0, ..., 0], expected)


def test_drop_path_rates_rise_linearly():
    assert blocks.drop_path_rates(0.2, 4) == pytest.approx([0.05, 0.1, 0.15, 0.2])
    with pytest.raises(errors.UsageError, match="drop_path_rate=1.0"):
        blocks.drop_path_rates(1.0, 4)


def test_grouped_convolution_convolves_each_group_for_itself():
    model = _model(
        blocks.convolution, (5, 6, 4), 6, 3, groups=2, use_bias=False, name="conv"
    )
    image = _random((5, 6, 4))
    kernel = model.get_layer("conv").get_weights()[0]
    halves = [
        _slow_convolution(image[..., :2], kernel[..., :3], strides=1),
        _slow_convolution(image[..., 2:], kernel[..., 3:], strides=1),
    ]
    actual = model(image[None])[0]
    np.testing.assert_allclose(actual, np.concatenate(halves, -1), atol=1e-5)
