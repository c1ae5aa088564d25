"""Xception: published counts, and the same logits as keras.applications."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import imagenet, xception
from tfdl.layers import cost, receptive_field

build = xception.xception
CHANNELS = (64, 128, 256, 728, 2048)


@pytest.fixture(scope="module")
def model():
    return build((None, None, 3))


def test_count_is_the_published(model):
    """Table 3 of the paper; the traps: norms' scales count, moving averages do not."""
    count = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert (count, model.count_params()) == (22_855_952, 22_910_480)


def test_36_convolutions_in_12_residual_modules(model):
    """Section 4; the paper leaves the four of the shortcuts out."""
    kinds = (keras.layers.Conv2D, keras.layers.SeparableConv2D)
    names = [layer.name for layer in model.layers if isinstance(layer, kinds)]
    assert len([name for name in names if "shortcut" not in name]) == 36
    assert len([name for name in names if "shortcut" in name]) == 4
    sums = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert len(sums) == 12


@pytest.mark.parametrize(
    ("image_size", "sizes"),
    [
        ((299, 299), [(147, 147), (74, 74), (37, 37), (19, 19), (10, 10)]),
        ((224, 224), [(109, 109), (55, 55), (28, 28), (14, 14), (7, 7)]),
        ((320, 256), [(157, 125), (79, 63), (40, 32), (20, 16), (10, 8)]),
        ((7, 7), [(1, 1)] * 5),
    ],
)
def test_feature_maps_have_the_sizes_of_an_unpadded_stem(image_size, sizes):
    outputs = build((*image_size, 3), None, width=0.125).output
    assert {name: outputs[name].shape[1:] for name in outputs} == {
        f"c{level}": (*size, channels // 8)
        for level, size, channels in zip(range(1, 6), sizes, CHANNELS, strict=True)
    }


def test_multiply_adds_and_receptive_field_at_299_pixels():
    """8.4 G are published; the field is counted by hand.

    The stem sees 7 pixels, two apart. A 3 x 3 kernel adds twice the distance of what it
    sees: three at the distances 2, 4 and 8 (84), 24 and three at 16 (864), two at 32.
    """
    maps = build((299, 299, 3), None)
    costs = cost.total(cost.of_layers(maps))
    assert costs.multiply_adds / 1e9 == pytest.approx(8.4, rel=0.01)
    field = receptive_field.of_outputs(maps)["c5"]
    assert field.size == (7 + 84 + 864 + 128,) * 2


def test_logits_equal_those_of_keras(model, randomize):
    """Keras counts the shortcuts' layers through the process, from where others end."""
    keras.layers.Conv2D(1, 1)
    keras.layers.BatchNormalization()
    size = (93, 71, 3)
    theirs = keras.applications.Xception(
        weights=None, input_shape=size, classes=1000, classifier_activation=None
    )
    randomize(theirs)
    imagenet.transfer(theirs, model, xception.published())
    image = np.random.default_rng(1).random((3, *size), dtype="float32")
    expected = theirs(keras.applications.xception.preprocess_input(255 * image))
    assert np.std(expected) > 0.01
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model(image), expected, rtol=0, atol=1e-5 * scale)


def test_every_half_of_a_separable_convolution_keeps_the_deviation():
    """A rectified value's square is halved, which the second half makes up for."""
    model = build((64, 64, 3), None, width=0.5)
    depthwise, pointwise = model.get_layer("block5_1_conv").get_weights()
    assert np.std(depthwise) == pytest.approx(1 / 3, rel=0.05)
    assert np.std(pointwise) == pytest.approx(np.sqrt(2 / 364), rel=0.05)


def test_paths_are_dropped_more_often_in_later_modules():
    model = build((32, 32, 3), 5, width=0.125, drop_path_rate=0.12)
    rates = [model.get_layer(f"block{number}_drop_path").rate for number in (2, 13)]
    assert rates == pytest.approx([0.01, 0.12])


@pytest.mark.parametrize("normalization", ["layer", "group"])
def test_other_norms_replace_all_batch_norms(normalization):
    model = build((32, 32, 3), 3, width=0.125, normalization=normalization)
    kinds = [type(layer).__name__ for layer in model.layers if "_norm" in layer.name]
    assert len(kinds) == 40
    assert "BatchNormalization" not in kinds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (6, 80, 3)}, "at least 7 pixels"),
        ({"output_stride": 16}, "`output_stride` must be"),
    ],
)
def test_what_it_has_not_is_refused(arguments, message):
    options = {"image_shape": (32, 32, 3), "num_classes": 5, "width": 0.125}
    with pytest.raises(errors.UsageError, match=message):
        build(**options | arguments)
