"""ResNets with identity mappings: maps and logits equal to keras.applications'."""

import keras
import numpy as np
import pytest

from tfdl.backbones import imagenet, resnet_v2

SHAPE = (64, 64, 3)


@pytest.mark.parametrize(
    "depth",
    [50, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (101, 152))],
)
def test_logits_equal_those_of_keras_applications(depth, randomize):
    theirs = resnet_v2.APPLICATIONS[depth](
        weights=None, input_shape=SHAPE, classifier_activation=None
    )
    randomize(theirs)
    ours = resnet_v2.resnet_v2(depth, SHAPE)
    imagenet.transfer(theirs, ours, resnet_v2.published(depth))
    images = np.random.default_rng(1).random((2, *SHAPE), dtype="float32")
    expected = theirs(keras.applications.resnet_v2.preprocess_input(255 * images))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours(images), expected, rtol=0, atol=1e-5 * scale)


def test_feature_maps_are_what_the_branch_of_the_strided_block_starts_from(randomize):
    theirs = resnet_v2.APPLICATIONS[50](
        weights=None, include_top=False, input_shape=SHAPE
    )
    randomize(theirs)
    ours = resnet_v2.resnet_v2(50, SHAPE, None)
    imagenet.transfer(theirs, ours, resnet_v2.published(50))
    names = {
        "c1": "conv1_conv",
        "c2": "conv2_block3_preact_relu",
        "c3": "conv3_block4_preact_relu",
        "c4": "conv4_block6_preact_relu",
        "c5": "post_relu",
    }
    probe = keras.Model(
        theirs.input, {key: theirs.get_layer(names[key]).output for key in names}
    )
    images = np.random.default_rng(1).random((1, *SHAPE), dtype="float32")
    expected = probe(keras.applications.resnet_v2.preprocess_input(255 * images))
    actual = ours(images)
    assert actual.keys() == expected.keys()
    for key, feature in expected.items():
        scale = np.abs(feature).max()
        np.testing.assert_allclose(actual[key], feature, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("image_shape", [(224, 224, 3), (320, 256, 3)])
def test_feature_maps_have_the_strides(image_shape):
    outputs = resnet_v2.resnet_v2(50, image_shape, None, width=0.125).output
    for level, channels in enumerate((64, 256, 512, 1024, 2048)):
        stride = 2 ** (level + 1)
        height, columns = (size // stride for size in image_shape[:2])
        assert outputs[f"c{level + 1}"].shape == (None, height, columns, channels // 8)


def test_dilated_network_holds_the_pixels_of_the_strided_one():
    """The trap: the last block of a stage is the one that loses its stride."""
    options = {"image_shape": (75, 64, 3), "num_classes": None, "width": 0.125}
    plain = resnet_v2.resnet_v2(50, **options)
    image = np.random.default_rng(0).random((3, 75, 64, 3), dtype="float32")
    expected = plain(image)["c5"]
    scale = np.abs(expected).max()
    for output_stride in (8, 16):
        dilated = resnet_v2.resnet_v2(50, output_stride=output_stride, **options)
        dilated.set_weights(plain.get_weights())
        step = 32 // output_stride
        actual = dilated(image)["c5"][:, ::step, ::step]
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * scale)


def test_stochastic_depth_rises_over_all_blocks():
    model = resnet_v2.resnet_v2(50, (32, 32, 3), 5, width=0.125, drop_path_rate=0.8)
    rates = [layer.rate for layer in model.layers if "drop_path" in layer.name]
    np.testing.assert_allclose(rates, 0.8 * np.arange(1, 17) / 16)
