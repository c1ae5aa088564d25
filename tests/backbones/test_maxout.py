"""The maxout network of CIFAR-10: counts and sizes by hand, and that it learns."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import maxout
from tfdl.layers import maxout as maxout_layer

SHAPE = (32, 32, 3)


def test_count_is_that_of_the_published_configuration():
    """Maps are channels times pieces; 5 x 5 x 192 pixels enter the dense layer."""
    expected = [
        (8 * 8 * 3 + 1) * 2 * 96,
        (8 * 8 * 96 + 1) * 2 * 192,
        (5 * 5 * 192 + 1) * 2 * 192,
        (5 * 5 * 192 + 1) * 5 * 500,
        (500 + 1) * 10,
    ]
    model = maxout.maxout_cifar(SHAPE, 10)
    counts = [layer.count_params() for layer in model.layers if layer.weights]
    assert counts == expected
    assert model.count_params() == sum(expected) == 16_247_830


@pytest.mark.parametrize(
    ("image_shape", "sizes"),
    [
        # 32 + 8 - 7 = 33, pooled 16; + 6 - 7 = 15, pooled 7; + 6 - 4 = 9, pooled 5.
        (SHAPE, ((16, 16), (7, 7), (5, 5))),
        ((224, 224, 3), ((112, 112), (55, 55), (29, 29))),
        ((320, 256, 3), ((160, 128), (79, 63), (41, 33))),
        ((None, None, 3), ((None, None),) * 3),
    ],
)
def test_feature_maps_have_the_sizes_of_pylearn2(image_shape, sizes):
    maps = maxout.maxout_cifar(image_shape, None).output
    assert {name: feature.shape for name, feature in maps.items()} == {
        f"c{level}": (None, *size, channels)
        for level, size, channels in zip((1, 2, 3), sizes, (96, 192, 192), strict=True)
    }


def test_the_last_window_is_cut_off_by_the_edge():
    """Also where every value is negative, so that zeros beyond it would win."""
    model = maxout.maxout_cifar((8, 8, 3), None, width=0.1)
    model.get_layer("c1_conv").bias.assign(np.full(20, -100.0))
    maps = keras.Model(
        model.input, [model.get_layer("c1_maxout").output, model.output["c1"]]
    )
    images = np.random.default_rng(0).random((3, 8, 8, 3), dtype="float32")
    before, after = (np.array(map_) for map_ in maps(images))
    assert before.shape[1:3] == (9, 9)
    for i in range(after.shape[1]):
        for j in range(after.shape[2]):
            window = before[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
            np.testing.assert_array_equal(after[:, i, j], window.max(axis=(1, 2)))
    assert after.shape[1:3] == (4, 4)
    assert after.max() < 0


def test_dropout_is_that_of_the_paper():
    """0.2 of the picture, 0.5 of the inputs of every other layer."""
    model = maxout.maxout_cifar(SHAPE, 10, width=0.1)
    rates = [
        layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)
    ]
    assert rates == [0.2, 0.5, 0.5, 0.5, 0.5]
    without = maxout.maxout_cifar(SHAPE, 10, width=0.1, dropout_rate=0.0)
    kinds = (keras.layers.Dropout, keras.layers.SpatialDropout2D)
    assert not any(isinstance(layer, kinds) for layer in without.layers)


def test_channels_have_two_pieces_and_units_five():
    model = maxout.maxout_cifar(SHAPE, 10, width=0.1)
    layers = [x for x in model.layers if isinstance(x, maxout_layer.Maxout)]
    assert [layer.num_pieces for layer in layers] == [2, 2, 2, 5]
    assert [layer.output.shape[-1] for layer in layers] == [10, 19, 19, 50]


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((None, None, 3), {}, "must have a height and a width"),
        ((7, 32, 3), {}, "at least 8 pixels"),
        (SHAPE, {"output_stride": 4}, "output_stride=4"),
        (SHAPE, {"dropout_rate": 1.0}, "dropout_rate=1.0"),
        (SHAPE, {"drop_path_rate": 0.1}, "drop_path_rate=0.1"),
    ],
)
def test_what_it_cannot_do_is_refused(image_shape, options, message):
    with pytest.raises(errors.UsageError, match=message):
        maxout.maxout_cifar(image_shape, 10, width=0.1, **options)


def test_it_overfits_eight_pictures_and_loads_equal(tmp_path):
    keras.utils.set_random_seed(0)
    model = maxout.maxout_cifar((16, 16, 3), 8, width=0.25, dropout_rate=0.0)
    model.compile(
        keras.optimizers.Adam(2e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    images = np.random.default_rng(0).random((8, 16, 16, 3), dtype="float32")
    history = model.fit(images, np.arange(8), epochs=30, verbose=0).history["loss"]
    assert history[0] == pytest.approx(np.log(8), rel=0.05)
    assert history[-1] < history[0] / 10

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images[:1]), model(images[:1]))
