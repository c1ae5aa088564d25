"""MobileNetV2: rounding, dilation, keras.applications' logits."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import imagenet, mobilenet_v2


@pytest.mark.parametrize(
    ("channels", "width", "expected"),
    [
        (32, 1.0, 32),
        (24, 0.75, 24),  # 18: 16 would lose 11 %
        (32, 0.35, 16),  # 11.2: 8 would lose 29 %
        (16, 0.1, 8),
        (40, 0.5, 24),  # 20: a half goes up
        (96, 1.4, 136),
    ],
)
def test_channels_are_rounded_to_eights(channels, width, expected):
    assert mobilenet_v2.rounded_channels(channels, width) == expected


@pytest.mark.parametrize("size", [(224, 224), (320, 256)])
@pytest.mark.parametrize(
    ("output_stride", "strides"),
    [(32, (2, 4, 8, 16, 32)), (16, (2, 4, 8, 16, 16)), (8, (2, 4, 8, 8, 8))],
)
def test_feature_maps_have_the_strides(size, output_stride, strides):
    outputs = mobilenet_v2.mobilenet_v2(
        (*size, 3), None, output_stride=output_stride
    ).output
    channels = (16, 24, 32, 96, 1280)
    for index, (stride, filters) in enumerate(zip(strides, channels, strict=True)):
        shape = (None, size[0] // stride, size[1] // stride, filters)
        assert outputs[f"c{index + 1}"].shape == shape


@pytest.mark.parametrize("num_images", [1, 3])
def test_feature_maps_of_unknown_and_odd_size_round_up(num_images):
    model = mobilenet_v2.mobilenet_v2((None, None, 3), None, width=0.125)
    outputs = model(np.zeros((num_images, 75, 33, 3), "float32"))
    assert outputs["c5"].shape == (num_images, 3, 2, 1280)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("size", [(64, 96), (65, 33)])
def test_dilated_network_holds_the_pixels_of_the_strided_one(
    size, output_stride, randomize
):
    """At the end of each patch for even sizes, at its start for odd ones."""
    plain = mobilenet_v2.mobilenet_v2((*size, 3), None, width=0.125)
    dilated = mobilenet_v2.mobilenet_v2(
        (*size, 3), None, width=0.125, output_stride=output_stride
    )
    randomize(plain)
    dilated.set_weights(plain.get_weights())
    image = np.random.default_rng(0).random((1, *size, 3), dtype="float32")
    step = 32 // output_stride
    start = step - 1 if size[0] % 32 == 0 else 0
    expected = plain(image)["c5"]
    assert np.std(expected) > 0.01
    actual = dilated(image)["c5"][:, start::step, start::step]
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_ten_of_the_seventeen_blocks_are_residual():
    model = mobilenet_v2.mobilenet_v2((64, 64, 3), 10, drop_path_rate=0.17)
    sums = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert len(sums) == 10
    assert model.get_layer("block15_drop_path").rate == pytest.approx(0.16)


def test_another_output_stride_is_refused():
    with pytest.raises(errors.UsageError, match=r"8, 16, 32.*output_stride=4"):
        mobilenet_v2.mobilenet_v2((64, 64, 3), 10, output_stride=4)


@pytest.mark.parametrize("width", [1.0, 0.35])
def test_logits_equal_those_of_keras_applications(width, randomize):
    size = (45, 70, 3)
    keras.utils.set_random_seed(0)
    theirs = keras.applications.MobileNetV2(
        weights=None, input_shape=size, alpha=width, classifier_activation=None
    )
    randomize(theirs)
    ours = mobilenet_v2.mobilenet_v2(size, width=width)
    imagenet.transfer(theirs, ours, mobilenet_v2.published())
    image = np.random.default_rng(1).random((2, *size), dtype="float32")
    expected = theirs(keras.applications.mobilenet_v2.preprocess_input(255 * image))
    scale = np.abs(expected).max()
    assert np.std(expected) > 0
    np.testing.assert_allclose(ours(image), expected, rtol=0, atol=1e-5 * scale)
