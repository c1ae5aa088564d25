"""The first ResNets: logits equal to keras.applications', field, dilation."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import imagenet, resnet_v1
from tfdl.layers import receptive_field

SHAPE = (64, 64, 3)


@pytest.mark.parametrize(
    "depth",
    [50, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (101, 152))],
)
def test_logits_equal_those_of_keras_applications(depth, randomize):
    theirs = resnet_v1.APPLICATIONS[depth](
        weights=None, input_shape=SHAPE, classifier_activation=None
    )
    randomize(theirs)
    ours = resnet_v1.resnet_v1(depth, SHAPE)
    imagenet.transfer(theirs, ours, resnet_v1.published(depth))
    images = np.random.default_rng(1).random((2, *SHAPE), dtype="float32")
    expected = theirs(keras.applications.resnet.preprocess_input(255 * images))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours(images), expected, rtol=0, atol=1e-5 * scale)


def test_feature_maps_take_the_weights_too(randomize):
    theirs = resnet_v1.APPLICATIONS[50](
        weights=None, include_top=False, input_shape=SHAPE
    )
    randomize(theirs)
    ours = resnet_v1.resnet_v1(50, SHAPE, None)
    imagenet.transfer(theirs, ours, resnet_v1.published(50))
    images = np.random.default_rng(1).random((2, *SHAPE), dtype="float32")
    expected = theirs(keras.applications.resnet.preprocess_input(255 * images))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours(images)["c5"], expected, rtol=0, atol=1e-5 * scale)


def test_weights_of_another_width_are_refused():
    theirs = resnet_v1.APPLICATIONS[50](weights=None, input_shape=SHAPE)
    ours = resnet_v1.resnet_v1(50, SHAPE, width=0.125)
    with pytest.raises(errors.UsageError, match="do not fit resnet50_v1"):
        imagenet.transfer(theirs, ours, resnet_v1.published(50))


def test_receptive_field_is_the_published():
    """483 pixels [Araujo 2019, table 2]."""
    model = resnet_v1.resnet_v1(50, SHAPE, None, width=0.125)
    field = receptive_field.of_last_map(model)
    assert (field.size, field.stride) == ((483, 483), (32, 32))


@pytest.mark.parametrize("image_shape", [(224, 224, 3), (320, 256, 3)])
def test_feature_maps_have_the_strides(image_shape):
    outputs = resnet_v1.resnet_v1(50, image_shape, None, width=0.125).output
    for level, channels in enumerate((64, 256, 512, 1024, 2048)):
        stride = 2 ** (level + 1)
        height, columns = (size // stride for size in image_shape[:2])
        assert outputs[f"c{level + 1}"].shape == (None, height, columns, channels // 8)


def test_dilated_network_holds_the_pixels_of_the_strided_one():
    """The trap: after a 1 x 1 that strides, the 3 x 3 is dilated in the first block."""
    options = {"image_shape": (75, 64, 3), "num_classes": None, "width": 0.125}
    plain = resnet_v1.resnet_v1(50, **options)
    image = np.random.default_rng(0).random((3, 75, 64, 3), dtype="float32")
    expected = plain(image)["c5"]
    scale = np.abs(expected).max()
    for output_stride in (8, 16):
        dilated = resnet_v1.resnet_v1(50, output_stride=output_stride, **options)
        dilated.set_weights(plain.get_weights())
        step = 32 // output_stride
        actual = dilated(image)["c5"][:, ::step, ::step]
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * scale)
