"""The fractional network: counts and sizes by hand, and that it learns."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import fractional
from tfdl.layers import fractional_pooling

SHAPE = (32, 32, 3)


def test_count_is_that_of_32_n_channels():
    """2 x 2 kernels from 32 (n - 1) to 32 n channels; the last kernel is 1 x 1."""
    channels = (3, 32, 64, 96, 128, 160, 192, 224)
    expected = [
        (2 * 2 * before + 1) * after
        for before, after in zip(channels, channels[1:], strict=False)
    ]
    expected += [(224 + 1) * 256, (256 + 1) * 10]
    model = fractional.fractional_cifar(SHAPE, 10)
    counts = [layer.count_params() for layer in model.layers if layer.weights]
    assert counts == expected
    assert model.count_params() == sum(expected) == 520_202


def test_32_pixels_end_as_one():
    model = fractional.fractional_cifar(SHAPE, 10)
    assert model.get_layer("pad").output.shape[1:3] == (38, 38)
    assert model.get_layer("classifier_2_conv").output.shape == (None, 1, 1, 256)


@pytest.mark.parametrize(
    ("image_shape", "sizes"),
    [
        (SHAPE, ((17, 17), (7, 7), (2, 2))),
        ((20, 31, 3), ((17, 17), (7, 7), (2, 2))),
        ((224, 224, 3), ((113, 113), (55, 55), (26, 26))),
        ((320, 256, 3), ((161, 129), (79, 62), (38, 29))),
    ],
)
def test_feature_maps_shrink_twice_by_the_square_root_of_two(image_shape, sizes):
    """38 - 1 = 37, 26; - 1 = 25, 17; - 1 = 16, 11; 10, 7; 6, 4; 3, 2."""
    maps = fractional.fractional_cifar(image_shape, None).output
    assert {name: feature.shape for name, feature in maps.items()} == {
        f"c{level}": (None, *size, 64 * level)
        for level, size in enumerate(sizes, start=1)
    }


def test_small_pictures_stand_in_the_middle():
    model = fractional.fractional_cifar((20, 31, 3), None, width=0.1)
    assert model.get_layer("pad").padding == ((9, 9), (3, 4))


def test_dropout_rises_linearly():
    model = fractional.fractional_cifar(SHAPE, 10, width=0.1, dropout_rate=0.4)
    rates = [
        layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)
    ]
    np.testing.assert_allclose(rates, np.arange(1, 9) * 0.05)


@pytest.mark.parametrize("num_images", [1, 3])
def test_it_pools_at_random_in_training_alone(num_images):
    model = fractional.fractional_cifar(SHAPE, 10, width=0.25)
    poolings = [
        layer
        for layer in model.layers
        if isinstance(layer, fractional_pooling.FractionalMaxPooling2D)
    ]
    assert len(poolings) == 6
    assert {(layer.mode, layer.overlapping) for layer in poolings} == {
        ("pseudorandom", True)
    }
    images = np.random.default_rng(0).random((num_images, *SHAPE), dtype="float32")
    assert model(images).shape == (num_images, 10)
    np.testing.assert_array_equal(model(images), model(images))
    first, second = (model(images, training=True) for _ in range(2))
    assert np.any(np.not_equal(first, second))


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((None, None, 3), {"num_classes": None}, "must have a height and a width"),
        (SHAPE, {"output_stride": 4}, "output_stride=4"),
        (SHAPE, {"dropout_rate": 1.0}, "dropout_rate=1.0"),
        (SHAPE, {"drop_path_rate": 0.1}, "drop_path_rate=0.1"),
    ],
)
def test_what_it_cannot_do_is_refused(image_shape, options, message):
    with pytest.raises(errors.UsageError, match=message):
        fractional.fractional_cifar(image_shape, **options)


def test_it_overfits_eight_pictures_and_loads_equal(tmp_path):
    """Of 4 x 4 fields: no two poolings see the same pixels, but the same fields."""
    keras.utils.set_random_seed(0)
    model = fractional.fractional_cifar(SHAPE, 8, width=0.25)
    model.compile(
        keras.optimizers.Adam(5e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    fields = np.random.default_rng(0).random((8, 4, 4, 3), dtype="float32")
    images = fields.repeat(8, axis=1).repeat(8, axis=2)
    history = model.fit(images, np.arange(8), epochs=40, verbose=0).history["loss"]
    assert history[0] == pytest.approx(np.log(8), rel=0.05)
    assert history[-1] < history[0] / 10
    assert model.evaluate(images, np.arange(8), verbose=0) < history[0] / 10

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images[:1]), model(images[:1]))
