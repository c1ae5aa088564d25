"""ImageNet weights: what is taken of a published model, and every way to be refused."""

import dataclasses

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import BACKBONES, WITH_AUXILIARY, imagenet, inception_v3, vgg

SHAPE = (32, 32, 3)


def published(monkeypatch, asked):
    """VGG16 with random weights as if they were ImageNet's; notes what was asked."""
    known = vgg.published(16)

    def build(weights, include_top):
        asked.append((weights, include_top))
        shape = None if include_top else SHAPE
        return known.build(weights=None, include_top=include_top, input_shape=shape)

    monkeypatch.setattr(
        vgg, "published", lambda depth: dataclasses.replace(known, build=build)
    )


def test_feature_maps_take_no_part_of_the_head(monkeypatch):
    asked = []
    published(monkeypatch, asked)
    model = BACKBONES["vgg16"](SHAPE, None, weights="imagenet")
    assert asked == [(None, False), ("imagenet", False)]
    # Published kernels start from Glorot's uniform distribution, ours from He's normal.
    kernel = model.get_layer("conv3_2").get_weights()[0]
    assert np.abs(kernel).max() <= np.sqrt(6 / (9 * (256 + 256))) * 1.001


def test_other_classes_keep_their_own_last_layer(monkeypatch):
    asked = []
    published(monkeypatch, asked)
    model = BACKBONES["vgg16"]((224, 224, 3), 7, weights="imagenet")
    assert asked == [
        (None, True),
        ("imagenet", True),
    ]  # the hidden dense layers are theirs
    assert model.get_layer("classifier").get_weights()[0].shape == (4096, 7)


@pytest.mark.parametrize(
    ("channels", "width", "misfit"),
    [(3, 0.5, "conv1_1"), (1, 1.0, "conv1_1"), (3, 1.001, "conv4_1")],
)
def test_a_model_of_other_shapes_is_refused_before_the_download(
    monkeypatch, channels, width, misfit
):
    asked = []
    published(monkeypatch, asked)
    with pytest.raises(errors.UsageError, match=f"do not fit vgg16: layer {misfit}"):
        BACKBONES["vgg16"]((32, 32, channels), None, weights="imagenet", width=width)
    assert asked == [(None, False)]


def test_layers_with_other_numbers_of_weights_are_refused():
    """A batch norm has four of them, a group norm two."""
    theirs = _one_layer(keras.layers.BatchNormalization(name="norm"))
    ours = _one_layer(keras.layers.GroupNormalization(3, name="norm"))
    with pytest.raises(errors.UsageError, match="layer norm has") as info:
        imagenet.transfer(theirs, ours, imagenet.Published(None, str, stem="stem"))
    assert "`normalization`" in info.value.remedy


def test_arrays_of_the_same_size_and_another_shape_are_refused():
    theirs = _one_layer(keras.layers.Dense(4, name="layer"), 6)
    ours = _one_layer(keras.layers.Dense(6, name="layer"), 4)
    with pytest.raises(errors.UsageError, match="layer layer has"):
        imagenet.transfer(theirs, ours, imagenet.Published(None, str, stem="stem"))


def _one_layer(layer, channels=3):
    inputs = keras.Input((4, 4, channels))
    return keras.Model(inputs, layer(inputs))


def test_auxiliary_classifiers_keep_their_random_weights(monkeypatch):
    known = inception_v3.published()
    asked = []

    def build(weights, include_top):
        asked.append(include_top)
        return known.build(weights=None, include_top=include_top)

    monkeypatch.setattr(
        inception_v3, "published", lambda: dataclasses.replace(known, build=build)
    )
    model = WITH_AUXILIARY["inception_v3"]((107, 107, 3), 5, weights="imagenet")
    assert set(model.output) == {"logits", "auxiliary"}
    assert asked == [False, False]  # their head is not needed
    # Published kernels start from Glorot's uniform distribution, ours from He's normal.
    kernel = model.get_layer("conv5_conv").get_weights()[0]
    assert np.abs(kernel).max() <= np.sqrt(6 / (9 * (80 + 192))) * 1.001


def test_a_model_that_nobody_publishes_is_refused():
    with pytest.raises(errors.UsageError, match="`weights` cannot be 'imagenet'"):
        BACKBONES["lenet5"](SHAPE, weights="imagenet")


@pytest.mark.parametrize(
    "error",
    [
        Exception("URL fetch failure on https://storage.example/x.h5: None -- no"),
        TimeoutError("The read operation timed out"),
        ConnectionResetError(104, "Connection reset by peer"),
    ],
)
def test_without_a_network_one_line_says_so(monkeypatch, error):
    _downloads_fail(monkeypatch, error)
    with pytest.raises(
        errors.NetworkError, match=r"of vgg16 cannot be downloaded"
    ) as e:
        BACKBONES["vgg16"](SHAPE, None, weights="imagenet")
    assert e.value.exit_code == 7
    assert "weights.h5" in e.value.remedy


def test_what_is_not_of_the_network_is_not_called_so(monkeypatch):
    _downloads_fail(monkeypatch, KeyError("a bug"))
    with pytest.raises(KeyError, match="a bug"):
        BACKBONES["vgg16"](SHAPE, None, weights="imagenet")


def _downloads_fail(monkeypatch, error):
    known = vgg.published(16)

    def build(weights, include_top):
        if weights is not None:
            raise error
        return known.build(weights=None, include_top=include_top)

    failing = dataclasses.replace(known, build=build)
    monkeypatch.setattr(vgg, "published", lambda depth: failing)


def test_a_kernel_for_blue_green_red_of_255_is_adapted():
    """(255 x - mean) . kernel of theirs equals ((x - mean / 255) / std) . ours."""
    random = np.random.default_rng(0)
    kernel = random.normal(size=(1, 1, 3, 4)).astype("float32")
    mean, std = np.array([120.0, 110.0, 100.0]), np.array([0.3, 0.2, 0.1])
    picture = random.random(3)  # red, green, blue
    theirs = (255 * picture - mean)[::-1] @ kernel[0, 0]
    adapted = imagenet.adapted(kernel, 1 / (255 * std), is_bgr=True)
    ours = (picture - mean / 255) / std @ adapted[0, 0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_layers_that_keras_counts_are_found_in_any_process():
    """Keras names the first convolution of a second model conv2d_2, say."""
    for _ in range(2):
        inputs = keras.Input((4, 4, 3))
        x = keras.layers.Conv2D(3, 1)(inputs)
        theirs = keras.Model(inputs, keras.layers.Conv2D(2, 1)(x))
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(3, 1, name="first")(inputs)
    ours = keras.Model(inputs, keras.layers.Conv2D(2, 1, name="second")(x))
    names = {"first": "conv2d", "second": "conv2d_1"}
    imagenet.transfer(
        theirs, ours, imagenet.Published(None, names.__getitem__, stem="first")
    )
    image = np.random.default_rng(0).random((1, 4, 4, 3), np.float32)
    np.testing.assert_allclose(ours(image), theirs(image), rtol=1e-6)
