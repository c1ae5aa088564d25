"""DeepLab: published counts, rates, and a pyramid done by hand."""

import math

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.layers import receptive_field
from tfdl.tasks.segmentation import deeplab

SMALL = {"backbone": "resnet18", "width": 0.125}


def count_trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_variables)


def random(shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_deeplabv3_has_torchvision_s_number_of_parameters():
    model = deeplab.deeplabv3((32, 32, 3), 21)
    assert count_trainable(model) == 42_004_074
    without = keras.Model(model.input, {"logits": model.output["logits"]})
    assert count_trainable(without) == 39_638_869


@pytest.mark.slow
def test_deeplabv3_on_resnet101_has_torchvision_s_number_of_parameters():
    model = deeplab.deeplabv3((32, 32, 3), 21, backbone="resnet101")
    assert count_trainable(model) == 60_996_202


def test_deeplabv3plus_has_the_number_of_parameters():
    model = deeplab.deeplabv3plus((32, 32, 3), 21)
    assert count_trainable(model) == 40_352_181


def test_separable_convolutions_have_fewer_parameters():
    """9 per channel and two norms; three of 64 channels, one of 38 and one of 32."""
    dense, separable = (
        deeplab.deeplabv3plus((32, 32, 3), 21, separable=choice, **SMALL)
        for choice in (False, True)
    )
    inputs = [64] * 3 + [32 + 6, 32]  # of convolutions to 32 channels
    saved = sum(9 * x * 32 - (9 * x + 2 * x + x * 32) for x in inputs)
    assert count_trainable(dense) - count_trainable(separable) == saved


@pytest.mark.parametrize(("auxiliary", "count"), [(True, 2), (False, 1)])
def test_the_auxiliary_head_may_be_left_out(auxiliary, count):
    model = deeplab.deeplabv3((32, 32, 3), 5, auxiliary=auxiliary, **SMALL)
    assert list(model.output) == ["logits", "auxiliary"][:count]


@pytest.mark.parametrize("output_stride", [8, 16, 32])
@pytest.mark.parametrize("function", [deeplab.deeplabv3, deeplab.deeplabv3plus])
def test_logits_are_of_the_picture_s_size(function, output_stride):
    model = function((None, None, 3), 5, output_stride=output_stride, **SMALL)
    for size in ((64, 48), (65, 47), (33, 33), (5, 1)):
        for logits in model(random((2, *size, 3))).values():
            assert logits.shape == (2, *size, 5)
            assert np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("output_stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))]
)
def test_rates_see_the_same_pixels_whatever_the_stride(output_stride, rates):
    """96, 192 and 288 pixels to every side of the picture."""
    model = deeplab.deeplabv3plus(
        (64, 64, 3), 5, output_stride=output_stride, separable=True, **SMALL
    )
    for rate in rates:
        layer = model.get_layer(f"aspp_rate{rate}_depth_depthwise")
        assert layer.dilation_rate == (rate, rate)
        assert rate * output_stride in (96, 192, 288)


def pyramid(size, rates=(1, 2), separable=False):
    inputs = keras.Input((*size, 3))
    outputs = deeplab.pyramid_pooling(inputs, 4, rates, separable=separable)
    return keras.Model(inputs, outputs)


def test_the_pyramid_by_hand():
    """Five branches of ReLUs; the fifth is the same everywhere."""
    x, model = random((2, 5, 6, 3)), pyramid((5, 6), rates=(1, 2, 3))

    def convolve(values, name, rate=1):
        kernel = np.array(model.get_layer(f"{name}_conv").kernel)
        reach = rate * (len(kernel) // 2)
        around = np.pad(values, [(0, 0), (reach, reach), (reach, reach), (0, 0)])
        rows, columns = values.shape[1:3]
        total = sum(
            around[:, rate * i : rate * i + rows, rate * j : rate * j + columns]
            @ kernel[i, j]
            for i in range(len(kernel))
            for j in range(len(kernel))
        )
        return np.maximum(total / np.sqrt(1 + 1e-5), 0)  # moving averages of 0 and 1

    branches = [convolve(x, "aspp_point")]
    branches += [convolve(x, f"aspp_rate{rate}", rate) for rate in (1, 2, 3)]
    whole = convolve(x.mean(axis=(1, 2), keepdims=True), "aspp_image")
    branches.append(np.broadcast_to(whole, branches[0].shape))
    expected = convolve(np.concatenate(branches, axis=-1), "aspp")
    np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)


def test_the_pyramid_has_a_global_path():
    field = receptive_field.of_last_map(pyramid((32, 32), rates=(1, 6)))
    assert field.has_global_path
    assert field.size == (13, 13)


@pytest.mark.parametrize("separable", [False, True])
def test_every_weight_has_a_gradient(separable):
    model = deeplab.deeplabv3plus((32, 32, 3), 5, separable=separable, **SMALL)
    import tensorflow as tf

    with tf.GradientTape() as tape:
        logits = model(random((2, 32, 32, 3)), training=True)["logits"]
        loss = tf.reduce_mean(tf.square(logits))
    gradients = tape.gradient(loss, model.trainable_variables)
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.any(gradient), weight.path


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (deeplab.deeplabv3, {"output_stride": 4}, "output_stride=4"),
        (deeplab.deeplabv3plus, {"backbone": "vgg11"}, "output_stride=16"),
        (deeplab.deeplabv3plus, {"upsampling": "max_unpooling"}, "max_unpooling"),
        (deeplab.deeplabv3, {"backbone": "resnet19"}, "backbone='resnet19'"),
    ],
)
def test_arguments_out_of_range_are_refused(function, options, message):
    with pytest.raises(errors.UsageError, match=message):
        function((32, 32, 3), 5, **{**SMALL, **options})
