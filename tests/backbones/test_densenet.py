"""DenseNet: its depth, maps kept, and the logits of keras.applications."""

import functools

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import densenet, imagenet


def test_depth_is_the_number_of_weighted_layers():
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    for depth, model in (
        (121, densenet.densenet(121, (32, 32, 3), 10, width=0.125)),
        (40, densenet.cifar_densenet(40, False, (32, 32, 3), 10, width=0.25)),
    ):
        assert sum(isinstance(layer, kinds) for layer in model.layers) == depth


@pytest.mark.parametrize("size", [(224, 224), (320, 256)])
def test_feature_maps_have_the_strides(size):
    outputs = densenet.densenet(121, (*size, 3), None).output
    channels = (64, 256, 512, 1024, 1024)
    for level, filters in enumerate(channels, start=1):
        shape = (None, size[0] >> level, size[1] >> level, filters)
        assert outputs[f"c{level}"].shape == shape


@pytest.mark.parametrize(
    ("depth", "is_bc", "channels"),
    [(100, True, (216, 300, 342)), (40, False, (160, 304, 448))],
)
def test_cifar_feature_maps_have_the_strides(depth, is_bc, channels):
    outputs = densenet.cifar_densenet(depth, is_bc, (32, 48, 3), None).output
    for level, filters in enumerate(channels):
        shape = (None, 32 >> level, 48 >> level, filters)
        assert outputs[f"c{level + 1}"].shape == shape


@pytest.mark.parametrize("num_images", [1, 3])
def test_feature_maps_of_unknown_size(num_images):
    model = densenet.densenet(121, (None, None, 3), None, width=0.125)
    outputs = model(np.zeros((num_images, 64, 96, 3), "float32"))
    assert outputs["c5"].shape == (num_images, 2, 3, 128)


@pytest.mark.parametrize("has_bottleneck", [False, True])
def test_a_layer_keeps_what_was_there_and_adds_its_maps(has_bottleneck):
    inputs = keras.Input((4, 5, 6))
    outputs = densenet._dense_layer(
        inputs,
        3,
        has_bottleneck=has_bottleneck,
        normalization="batch",
        name="layer",
    )
    image = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype("float32")
    maps = keras.Model(inputs, outputs)(image)
    assert maps.shape == (2, 4, 5, 9)
    np.testing.assert_array_equal(maps[..., :6], image)
    assert np.std(maps[..., 6:]) > 0


@pytest.mark.parametrize(
    "options", [{"output_stride": 16}, {"drop_path_rate": 0.1}, {"weights": "imagenet"}]
)
def test_what_it_has_not_is_refused(options):
    (argument,) = options
    with pytest.raises(errors.UsageError, match=f"`{argument}` "):
        densenet.densenet(161, (64, 64, 3), 10, **{"width": 0.125} | options)


def test_logits_equal_those_of_keras_applications(randomize):
    size = (45, 70, 3)
    keras.utils.set_random_seed(0)
    theirs = keras.applications.DenseNet121(
        weights=None, input_shape=size, classifier_activation=None
    )
    randomize(theirs)
    ours = densenet.densenet(121, size)
    imagenet.transfer(theirs, ours, densenet.published(121))
    image = np.random.default_rng(1).random((2, *size), dtype="float32")
    expected = theirs(keras.applications.densenet.preprocess_input(255 * image))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(ours(image), expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("build", "least"),
    [
        (functools.partial(densenet.densenet, 121), 29),
        (functools.partial(densenet.cifar_densenet, 40, False), 4),
    ],
)
def test_the_smallest_picture_leaves_one_pixel_and_a_smaller_one_is_refused(
    build, least
):
    *_, last = build((least, least, 3), None, width=0.125).output.values()
    assert last.shape[1:3] == (1, 1)
    with pytest.raises(errors.UsageError, match=f"at least {least} pixels"):
        build((64, least - 1, 3), None, width=0.125)
