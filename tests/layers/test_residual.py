"""Blocks of residual networks: counted by hand, and what they see."""

import keras
import numpy as np
import pytest

from tfdl.layers import residual


def _model(function, shape, filters, **options):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs, filters, name="block", **options))


def _changes(model, shape, row, column, channel):
    """Tell where the output changes with one value of the picture."""
    image = np.random.default_rng(0).random((1, *shape), dtype="float32")
    changed = image.copy()
    changed[0, row, column, channel] += 1
    return np.array(model(image) != model(changed))[0]


def test_count_of_a_bottleneck_by_hand():
    """1 x 1 from 16 to 4, 3 x 3, 1 x 1 to 16, two averages for each norm's channel."""
    model = _model(residual.bottleneck, (8, 8, 16), 4)
    convolutions = 16 * 4 + 9 * 4 * 4 + 4 * 16
    assert model.count_params() == convolutions + 4 * (4 + 4 + 16)


def test_count_of_grouped_and_wider_middle_by_hand():
    model = _model(residual.bottleneck, (8, 8, 16), 4, middle_factor=2, groups=4)
    convolutions = 16 * 8 + 9 * (8 // 4) * 8 + 8 * 16
    assert model.count_params() == convolutions + 4 * (8 + 8 + 16)


def test_middle_of_a_narrow_bottleneck_divides_into_groups():
    model = _model(residual.bottleneck, (8, 8, 3), 5, middle_factor=2, groups=4)
    assert model.get_layer("block_2_conv").filters == 8


@pytest.mark.parametrize(
    ("function", "channels", "strides", "is_projected"),
    [
        (residual.basic, 4, 1, False),
        (residual.basic, 4, 2, True),
        (residual.basic, 3, 1, True),
        (residual.bottleneck, 16, 1, False),
        (residual.bottleneck, 16, 2, True),
        (residual.bottleneck, 4, 1, True),
    ],
)
def test_shortcut_is_projected_where_the_shape_changes(
    function, channels, strides, is_projected
):
    model = _model(function, (8, 8, channels), 4, strides=strides)
    names = [layer.name for layer in model.layers]
    assert ("block_shortcut_conv" in names) == is_projected
    out_channels = 4 if function is residual.basic else 16
    assert model.output_shape == (None, 8 // strides, 8 // strides, out_channels)


def test_a_stride_in_the_first_convolution_skips_pixels():
    shape = (8, 8, 4)
    for has_stride_first in (False, True):
        model = _model(
            residual.bottleneck,
            shape,
            2,
            strides=2,
            has_stride_first=has_stride_first,
        )
        assert _changes(model, shape, 4, 4, 0).any()
        assert _changes(model, shape, 3, 3, 0).any() != has_stride_first


def test_dilation_rate_is_the_first_where_the_middle_had_the_stride():
    for has_stride_first, expected in ((False, 1), (True, 2)):
        model = _model(
            residual.bottleneck,
            (8, 8, 4),
            2,
            dilation_rates=(1, 2),
            has_stride_first=has_stride_first,
        )
        rate = model.get_layer("block_2_conv").dilation_rate
        assert rate == (expected, expected)


def test_a_dropped_branch_leaves_the_rectified_shortcut():
    model = _model(residual.bottleneck, (4, 4, 8), 2, drop_path_rate=0.5)
    image = np.random.default_rng(0).normal(size=(32, 4, 4, 8)).astype("float32")
    outputs = np.array(model(image, training=True))
    is_dropped = (outputs == np.maximum(image, 0)).all(axis=(1, 2, 3))
    assert 0 < is_dropped.sum() < 32
