"""FCN: published counts, dense layers as convolutions, sums of scores."""

import math

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import BACKBONES, vgg
from tfdl.tasks.segmentation import fcn


def count_trainable(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_variables)


def random(size, batch=2):
    return np.random.default_rng(0).random((batch, *size, 3), dtype="float32")


@pytest.mark.parametrize(("stride", "count"), [(32, 136_152_917), (8, 134_489_759)])
def test_on_vgg16_it_has_the_published_number_of_parameters(stride, count):
    """With the transposed convolutions; 134,362,751 of FCN-8s without them.

    The last is fixed: 64 x 64 x 21 x 21 weights of FCN-32s do not train, and 16 x 16 of
    FCN-8s.
    """
    model = fcn.fcn(stride, (32, 32, 3), 21)
    assert model.count_params() == count
    assert count_trainable(model) == count - (2 * stride * 21) ** 2
    if stride == 8:
        doubling = 2 * (4 * 21) ** 2
        assert count_trainable(model) - doubling == 134_362_751


def test_on_resnet50_it_has_torchvision_s_number_of_parameters():
    model = fcn.fcn_resnet((32, 32, 3), 21)
    assert count_trainable(model) == 35_322_218
    without = keras.Model(model.input, {"logits": model.output["logits"]})
    assert count_trainable(without) == 32_957_013


def test_the_auxiliary_head_may_be_left_out():
    model = fcn.fcn_resnet(
        (32, 32, 3), 5, backbone="resnet18", width=0.125, auxiliary=False
    )
    assert list(model.output) == ["logits"]


@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("backbone", [None, "resnet18"])
def test_logits_are_of_the_picture_s_size(backbone, stride):
    model = fcn.fcn(stride, (None, None, 3), 5, backbone=backbone, width=0.0625)
    for size in ((64, 96), (45, 70), (17, 33), (1, 2)):
        logits = model(random(size))["logits"]
        assert logits.shape == (2, *size, 5)
        assert np.isfinite(logits).all()


def test_scores_of_three_maps_are_added():
    """Upsampled by nearest neighbours the sum is done by hand."""
    size = (64, 96)
    model = fcn.fcn(8, (*size, 3), 5, width=0.0625, upsampling="nearest")
    parts = keras.Model(
        model.input,
        [model.get_layer(f"score{stride}").output for stride in (32, 16, 8)],
    )
    expected = 0
    for stride, scores in zip((32, 16, 8), parts(random(size)), strict=True):
        scores = np.array(scores)
        assert scores.shape == (2, *(side // stride for side in size), 5)
        expected = expected + scores.repeat(stride, axis=1).repeat(stride, axis=2)
    found = model(random(size))["logits"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_last_upsampling_is_fixed_and_the_others_learn():
    model = fcn.fcn(8, (32, 32, 3), 5, width=0.0625)
    names = ("upscore16", "upscore8", "upscore")
    trained = [bool(model.get_layer(x).trainable_weights) for x in names]
    assert trained == [True, True, False]
    assert [model.get_layer(x).strides[0] for x in names] == [2, 2, 8]


@pytest.fixture(scope="module")
def classifier():
    """VGG16 with dense layers, of another start than the networks have."""
    keras.utils.set_random_seed(7)
    return BACKBONES["vgg16"]((224, 224, 3), 10, width=0.0625)


def test_convolutions_say_in_the_middle_what_the_dense_layers_say(classifier):
    """Of a picture of 224 pixels the 7 x 7 convolution sees the whole map there."""
    model = fcn.fcn(32, (224, 224, 3), 5, width=0.0625, dropout_rate=0)
    fcn.convolutionalize(classifier, model)
    convolved = keras.Model(model.input, model.get_layer("fc7").output)
    dense = keras.Model(classifier.input, classifier.get_layer("classifier_fc2").output)
    image = random((224, 224), batch=1)
    expected = np.array(dense(image))
    assert np.any(expected > 0)
    np.testing.assert_allclose(
        convolved(image)[:, 3, 3], expected, rtol=1e-3, atol=1e-5 * expected.max()
    )


def test_weights_of_imagenet_include_the_dense_layers(classifier, monkeypatch):
    asked = []

    def build(image_shape, num_classes=1000, weights=None, width=1.0, *_, **__):
        asked.append((image_shape[0], num_classes, weights))
        if weights == "imagenet":
            return classifier
        return vgg.vgg(16, False, image_shape, num_classes, width=width)

    monkeypatch.setitem(BACKBONES, "vgg16", build)
    model = fcn.fcn(32, (64, 64, 3), 5, weights="imagenet", width=0.0625)
    assert asked == [(64, None, None), (224, 1000, "imagenet")]
    for name, source in (("conv3_2", "conv3_2"), ("fc6", "classifier_fc1")):
        found, expected = (
            layer.get_weights()[0].ravel()
            for layer in (model.get_layer(name), classifier.get_layer(source))
        )
        np.testing.assert_array_equal(found, expected)


def test_a_classifier_of_other_pictures_or_width_is_refused(classifier):
    model = fcn.fcn(32, (64, 64, 3), 5, width=0.125)
    with pytest.raises(errors.UsageError, match=r"layer conv1_1 of vgg16 must have"):
        fcn.convolutionalize(classifier, model)
    smaller = BACKBONES["vgg16"]((64, 64, 3), 10, width=0.125)
    with pytest.raises(errors.UsageError, match="classifier_fc1 of vgg16"):
        fcn.convolutionalize(smaller, model)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_fcn_on_a_residual_network_has_the_output_stride(output_stride):
    model = fcn.fcn_resnet(
        (65, 48, 3), 5, backbone="resnet18", width=0.125, output_stride=output_stride
    )
    expected = tuple(-(-side // output_stride) for side in (65, 48))
    assert model.get_layer("classifier").output.shape[1:3] == expected
    for logits in model.output.values():
        assert logits.shape == (None, 65, 48, 5)
        assert logits.dtype == "float32"


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (fcn.fcn_resnet, {"backbone": "resnet19"}, "backbone='resnet19'"),
        (fcn.fcn_resnet, {"output_stride": 4}, "output_stride=4"),
        (fcn.fcn_resnet, {"upsampling": "max_unpooling"}, "max_unpooling"),
    ],
)
def test_arguments_out_of_range_are_refused(function, options, message):
    with pytest.raises(errors.UsageError, match=message):
        function((32, 32, 3), 5, width=0.125, **options)


@pytest.mark.parametrize(
    ("num_classes", "options", "message"),
    [
        (0, {}, "num_classes=0"),
        (5, {"dropout_rate": 1.0}, "dropout_rate=1.0"),
        (5, {"backbone": "cifar_resnet20"}, "map of stride 8"),
        (5, {"upsampling": "max_unpooling"}, "max_unpooling"),
    ],
)
def test_what_fcn_on_vgg16_cannot_be_is_refused(num_classes, options, message):
    with pytest.raises(errors.UsageError, match=message):
        fcn.fcn(8, (32, 32, 3), num_classes, width=0.0625, **options)


def test_where_maps_end_before_the_picture_their_last_scores_go_on():
    """Inception does not pad: its map of stride 8 has 9 of 13 columns here."""
    model = fcn.fcn(
        8,
        (None, None, 3),
        3,
        backbone="inception_v3",
        width=0.125,
        upsampling="nearest",
    )
    logits = model(random((97, 97), batch=1))["logits"].numpy()
    assert logits.shape == (1, 97, 97, 3)
    assert (np.abs(logits).sum(axis=-1) > 0).all()
