"""The DropConnect network of CIFAR-10: counts and sizes by hand, and that it learns."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import dropconnect
from tfdl.layers import drop_connect

SHAPE = (32, 32, 3)


def test_count_is_that_of_layers_80sec():
    """4 x 4 x 64 pixels enter the dense layer of 64 units."""
    expected = [
        (5 * 5 * 3 + 1) * 32,
        (5 * 5 * 32 + 1) * 32,
        (5 * 5 * 32 + 1) * 64,
        (4 * 4 * 64 + 1) * 64,
        (64 + 1) * 10,
    ]
    model = dropconnect.dropconnect_cifar(SHAPE, 10)
    counts = [layer.count_params() for layer in model.layers if layer.weights]
    assert counts == expected
    assert model.count_params() == sum(expected) == 145_578


@pytest.mark.parametrize(
    "image_shape", [SHAPE, (224, 224, 3), (320, 256, 3), (None, None, 3)]
)
def test_feature_maps_have_the_strides(image_shape):
    maps = dropconnect.dropconnect_cifar(image_shape, None).output
    for level, channels in ((1, 32), (2, 32), (3, 64)):
        sides = tuple(side and side // 2**level for side in image_shape[:2])
        assert maps[f"c{level}"].shape == (None, *sides, channels)


def test_poolings_are_cut_off_by_the_far_edge():
    """As cuda-convnet's: windows of 3 from pixel 0, means over the pixels there are."""
    model = dropconnect.dropconnect_cifar((8, 8, 3), None, width=0.25)
    names = ("c1_conv", "c1_pool", "c2_conv", "c2_pool")
    maps = keras.Model(model.input, [model.get_layer(name).output for name in names])
    images = np.random.default_rng(0).random((3, 8, 8, 3), dtype="float32")
    c1_conv, c1_pool, c2_conv, c2_pool = (np.array(map_) for map_ in maps(images))
    for before, after, pool in (
        (c1_conv, c1_pool, np.max),
        (c2_conv, c2_pool, np.mean),
    ):
        assert after.shape[1] == before.shape[1] // 2
        for i in range(after.shape[1]):
            for j in range(after.shape[2]):
                window = before[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
                np.testing.assert_allclose(
                    after[:, i, j], pool(window, axis=(1, 2)), atol=1e-5
                )


def test_half_of_the_dense_weights_are_dropped_in_training_alone():
    model = dropconnect.dropconnect_cifar(SHAPE, 10)
    (layer,) = (x for x in model.layers if isinstance(x, drop_connect.DropConnect))
    assert (layer.units, layer.rate) == (64, 0.5)
    images = np.random.default_rng(0).random((2, *SHAPE), dtype="float32")
    np.testing.assert_array_equal(model(images), model(images))
    first, second = (model(images, training=True) for _ in range(2))
    assert np.any(np.not_equal(first, second))


@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((None, None, 3), {}, "must have a height and a width"),
        (SHAPE, {"output_stride": 4}, "output_stride=4"),
        (SHAPE, {"dropout_rate": 1.0}, "`dropout_rate` must be"),
        (SHAPE, {"drop_path_rate": 0.1}, "drop_path_rate=0.1"),
    ],
)
def test_what_it_cannot_do_is_refused(image_shape, options, message):
    with pytest.raises(errors.UsageError, match=message):
        dropconnect.dropconnect_cifar(image_shape, 10, **options)


@pytest.mark.parametrize(
    ("dropout_rate", "epochs", "factor"), [(0.0, 40, 10), (0.5, 60, 2)]
)
def test_it_overfits_eight_pictures_and_loads_equal(
    dropout_rate, epochs, factor, tmp_path
):
    """Later and less with DropConnect, which is there to prevent it."""
    keras.utils.set_random_seed(0)
    model = dropconnect.dropconnect_cifar((8, 8, 3), 8, dropout_rate=dropout_rate)
    model.compile(
        keras.optimizers.Adam(2e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    images = np.random.default_rng(0).random((8, 8, 8, 3), dtype="float32")
    history = model.fit(images, np.arange(8), epochs=epochs, verbose=0).history["loss"]
    assert history[0] == pytest.approx(np.log(8), rel=0.05)
    assert history[-1] < history[0] / factor

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images[:1]), model(images[:1]))
