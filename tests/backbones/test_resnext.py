"""ResNeXt: its groups, feature maps and dilation."""

import numpy as np
import pytest

from tfdl.backbones import resnext


def test_groups_have_4_8_16_and_32_channels():
    """Table 1: 128, 256, 512, 1024 channels in 32 groups."""
    resnext50 = resnext.resnext(50, 32, 4, (32, 32, 3), None)
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
