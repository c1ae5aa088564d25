"""SegNet: its count, its mirror, and places of maxima."""

import math

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import BACKBONES
from tfdl.layers import upsampling
from tfdl.tasks.segmentation import segnet


def random(size):
    return np.random.default_rng(0).random((2, *size, 3), dtype="float32")


def test_number_of_parameters():
    """26 convolutions; those of the decoder by hand, the encoder's are VGG16-BN's.

    117 MB of four bytes each, table 6 of the paper.
    """
    model = segnet.segnet((32, 32, 3), 12)
    decoder = [(512, 512)] * 5 + [(512, 256)]
    decoder += [(256, 256)] * 2 + [(256, 128), (128, 128), (128, 64), (64, 64)]
    # A kernel of 3 x 3, a bias, and two numbers of a norm for each channel.
    by_hand = sum(9 * before * after + 3 * after for before, after in decoder)
    by_hand += 9 * 64 * 12 + 12
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    assert trainable == 14_714_688 + 8_448 + by_hand == 29_449_932
    assert trainable * 4 // 10**6 == 117
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(convolutions) == 26


@pytest.mark.parametrize("kind", upsampling.KINDS)
def test_logits_are_of_the_picture_s_size(kind):
    model = segnet.segnet((None, None, 3), 5, width=1 / 64, upsampling=kind)
    for size in ((32, 64), (45, 70), (33, 31), (1, 2)):
        logits = model(random(size))["logits"]
        assert logits.shape == (2, *size, 5)
        assert np.isfinite(logits).all()


def test_values_return_to_the_encoder_s_maxima():
    """What is not zero after each unpooling is where the encoder's pooling looked."""
    size = (45, 33)
    model = segnet.segnet((*size, 3), 5, width=0.0625)
    for stage, number in enumerate(segnet.ENCODERS["vgg16_bn"], start=1):
        last = model.get_layer(f"conv{stage}_{number}").output
        pooled = model.get_layer(f"pool{stage}").output
        unpooled = model.get_layer(f"unpool{stage}_fit").output
        before, maxima, after = (
            np.array(x)
            for x in keras.Model(model.input, [last, pooled, unpooled])(random(size))
        )
        assert before.shape == after.shape
        doubled = maxima.repeat(2, axis=1).repeat(2, axis=2)
        doubled = doubled[:, : before.shape[1], : before.shape[2]]
        assert np.count_nonzero(after)
        assert (before == doubled)[after != 0].all()


@pytest.mark.parametrize("backbone", ["vgg11", "vgg13_bn"])
def test_the_decoder_mirrors_any_vgg(backbone):
    model = segnet.segnet((32, 32, 3), 5, backbone=backbone, width=0.0625)
    assert model.name == f"segnet_{backbone}"
    depth = int(backbone[3:5]) - 3  # without the dense layers
    convolutions = [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(convolutions) == 2 * depth
    assert np.isfinite(model(random((32, 32)))["logits"]).all()


def test_the_encoder_starts_from_a_file(tmp_path):
    body = BACKBONES["vgg16_bn"]((32, 32, 3), None, width=0.0625)
    path = tmp_path / "body.weights.h5"
    body.save_weights(path)
    model = segnet.segnet((32, 32, 3), 5, weights=str(path), width=0.0625)
    found, expected = (
        x.get_layer("conv4_2_conv").get_weights()[0] for x in (model, body)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet50"}, "must be a VGG.*backbone='resnet50'"),
        ({"upsampling": "unpooling"}, "upsampling='unpooling'"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(errors.UsageError, match=message):
        segnet.segnet((32, 32, 3), 5, width=0.0625, **options)
