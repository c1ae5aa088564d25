"""Inception-ResNet-v2: published counts, and the same logits as keras.applications."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import imagenet, inception_resnet_v2
from tfdl.layers import cost, receptive_field

build = inception_resnet_v2.inception_resnet_v2
CHANNELS = (64, 192, 320, 1088, 1536)


@pytest.fixture(scope="module")
def model():
    return build((299, 299, 3))


@pytest.fixture(scope="module")
def narrow():
    return build((75, 75, 3), 5, width=0.125, drop_path_rate=0.4)


def test_count_is_that_of_keras(model):
    """The traps: the batch norms have no scale, and the blocks are 10, 20 and 10."""
    count = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert (count, model.count_params()) == (55_813_192, 55_873_736)


def test_channels_with_a_norm_are_what_scales_would_add(model):
    """The trap: 55,843,464 of other programs."""
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    scales = sum(layer.moving_mean.shape[0] for layer in norms)
    assert 55_813_192 + scales == 55_843_464


@pytest.mark.parametrize(
    ("image_size", "sizes"),
    [
        ((224, 224), [(109, 109), (52, 52), (25, 25), (12, 12), (5, 5)]),
        ((320, 256), [(157, 125), (76, 60), (37, 29), (18, 14), (8, 6)]),
    ],
)
def test_feature_maps_have_the_sizes_of_unpadded_convolutions(image_size, sizes):
    outputs = build((*image_size, 3), None, width=0.125).output
    assert {name: outputs[name].shape[1:] for name in outputs} == {
        f"c{level}": (*size, channels // 8)
        for level, size, channels in zip(range(1, 6), sizes, CHANNELS, strict=True)
    }


def test_multiply_adds_and_receptive_field_at_299_pixels(model):
    """13.2 G multiplications and additions, 3039 pixels [Araujo 2019, table 1]."""
    total = cost.total(cost.of_layers(model)).multiply_adds
    assert total / 1e9 == pytest.approx(13.2, rel=0.01)
    assert receptive_field.of_last_map(model).size == (3039, 3039)


def test_the_maps_at_299_pixels_are_the_documented(model):
    names = ("conv3", "conv5", "block35_10", "block17_20", "conv_7b")
    shapes = [model.get_layer(f"{name}_relu").output.shape[1:] for name in names]
    sizes = (147, 71, 35, 17, 8)
    assert shapes == [
        (size, size, channels) for size, channels in zip(sizes, CHANNELS, strict=True)
    ]


def test_logits_equal_those_of_keras(model, randomize):
    """Keras's layers are numbered through the process, from where others ended."""
    keras.layers.Conv2D(1, 1)
    keras.layers.BatchNormalization()
    theirs = keras.applications.InceptionResNetV2(
        weights=None, classifier_activation=None
    )
    randomize(theirs)
    imagenet.transfer(theirs, model, inception_resnet_v2.published())
    image = np.random.default_rng(1).random((1, 299, 299, 3), dtype="float32")
    preprocess = keras.applications.inception_resnet_v2.preprocess_input
    expected = theirs(preprocess(255 * image))
    assert np.std(expected) > 0.01
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model(image), expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("name", "scale"), [("block35_1", 0.17), ("block17_20", 0.1), ("block8_9", 0.2)]
)
def test_a_block_adds_a_scaled_branch_and_rectifies(narrow, name, scale):
    shortcut = narrow.get_layer(f"{name}_1x1_1_conv").input
    branch = narrow.get_layer(f"{name}_conv").output
    after = narrow.get_layer(f"{name}_relu").output
    block = keras.Model(narrow.input, [shortcut, branch, after])
    image = np.random.default_rng(0).random((1, 75, 75, 3), dtype="float32")
    shortcut, branch, after = map(np.array, block(image))
    expected = np.maximum(shortcut + scale * branch, 0)
    np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)


def test_the_last_block_is_neither_scaled_nor_rectified(narrow):
    names = {layer.name for layer in narrow.layers}
    assert {"block8_9_scale", "block8_9_relu"} <= names
    assert not {"block8_10_scale", "block8_10_relu"} & names


def test_paths_are_dropped_more_often_in_later_blocks(narrow):
    names = ("block35_1", "block17_10", "block8_10")
    rates = [narrow.get_layer(f"{name}_drop_path").rate for name in names]
    assert rates == pytest.approx([0.01, 0.2, 0.4])


def test_other_norms_replace_all_batch_norms():
    model = build((75, 75, 3), 3, width=0.125, normalization="group")
    kinds = [type(layer).__name__ for layer in model.layers if "_norm" in layer.name]
    assert len(kinds) == 204
    assert "BatchNormalization" not in kinds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (74, 80, 3)}, "at least 75 pixels"),
        ({"output_stride": 16}, "`output_stride` must be"),
    ],
)
def test_what_it_has_not_is_refused(arguments, message):
    options = {"image_shape": (75, 75, 3), "num_classes": 5, "width": 0.125}
    with pytest.raises(errors.UsageError, match=message):
        build(**options | arguments)
