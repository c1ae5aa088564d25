"""LeNet-5: its sizes, the original's tables, what it refuses, and that both learn."""

import functools

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import lenet
from tfdl.layers import cost

BUILDERS = {
    "lenet5": lenet.lenet5,
    "unpadded": functools.partial(lenet.lenet5, pad=False),
    "lenet5_1998": lenet.lenet5_1998,
}


@pytest.mark.parametrize("build", [lenet.lenet5, lenet.lenet5_1998])
@pytest.mark.parametrize(
    ("image_shape", "maps"),
    [((28, 28, 1), (14, 5)), ((32, 32, 3), (14, 5)), ((64, 64, 1), (30, 13))],
)
def test_feature_maps_have_the_sizes_of_unpadded_convolutions(build, image_shape, maps):
    model = build(image_shape, None)
    outputs = model(np.zeros((2, *image_shape), "float32"))
    assert {name: tuple(map_.shape) for name, map_ in outputs.items()} == {
        "c1": (2, maps[0], maps[0], 6),
        "c2": (2, maps[1], maps[1], 16),
    }


def test_small_pictures_are_padded_on_both_sides():
    model = lenet.lenet5((20, 27, 1), 10)
    assert model.get_layer("pad").padding == ((6, 6), (2, 3))
    assert model.get_layer("pad").output.shape == (None, 32, 32, 1)


def test_unpadded_28_pixels_end_as_4():
    maps = lenet.lenet5((28, 28, 1), None, pad=False).output
    assert [map_.shape[1:3] for map_ in maps.values()] == [(12, 12), (4, 4)]


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_feature_maps_of_unknown_size(build):
    model = build((None, None, 1), None)
    assert model(np.zeros((1, 40, 44, 1), "float32"))["c2"].shape == (1, 7, 8, 16)


def test_layers_of_1998_have_the_papers_parameters_and_connections():
    """Section II.B gives both for each layer; connections include those of biases."""
    model = lenet.lenet5_1998((32, 32, 1), 10)
    rows = {row.layer: row for row in cost.of_layers(model)}
    papers = {
        "c1_conv": (156, 122_304),
        "c2_conv": (1_516, 151_600),
        "classifier_fc1": (48_120, 48_120),
        "classifier_fc2": (10_164, 10_164),
    }
    for name, numbers in papers.items():
        row = rows[name]
        connections = row.multiply_adds + np.prod(row.output_shape)
        assert (row.trainable, connections) == numbers
    assert rows["c1_pool"].trainable == 12
    assert rows["c2_pool"].trainable == 32
    up_to_f6 = keras.Model(model.input, model.get_layer("classifier_fc2").output)
    assert up_to_f6.count_params() == 60_000


def test_table_i_is_the_papers():
    """Runs of three, runs of four, three broken fours, all; rows as it is printed."""
    runs = [
        {(first + step) % 6 for step in range(size)}
        for size in (3, 4)
        for first in range(6)
    ]
    assert [set(maps) for maps in lenet.TABLE_I[:12]] == runs
    printed = (
        "X   XXX  XXXX XX",
        "XX   XXX  XXXX X",
        "XXX   XXX  X XXX",
        " XXX  XXXX  X XX",
        "  XXX  XXXX XX X",
        "   XXX  XXXX XXX",
    )
    assert printed == tuple(
        "".join("X" if row in maps else " " for maps in lenet.TABLE_I)
        for row in range(6)
    )


def test_background_and_foreground_of_1998():
    model = lenet.lenet5_1998((32, 32, 1), None)
    normalized = keras.Model(model.input, model.get_layer("normalize").output)
    image = np.zeros((1, 32, 32, 1), "float32")
    image[0, 0, 0] = 1
    np.testing.assert_allclose(np.unique(normalized(image)), [-0.1, 1.175], rtol=1e-5)


def test_every_layer_of_1998_is_squashed():
    model = lenet.lenet5_1998((32, 32, 1), 10)
    images = 100 * np.random.default_rng(0).random((4, 32, 32, 1), dtype="float32")
    names = ("c1_conv_tanh", "c1_pool_tanh", "c2_conv_tanh", "c2_pool_tanh")
    names += ("classifier_fc1", "classifier_fc2")
    outputs = [model.get_layer(name).output for name in names]
    for values in keras.Model(model.input, outputs)(images):
        assert 0.1 < np.abs(values).max() <= 1.71591


@pytest.mark.parametrize(("width", "copies"), [(0.25, 1), (2.0, 2)])
def test_width_of_1998_copies_maps_and_keeps_the_table(width, copies):
    model = lenet.lenet5_1998((32, 32, 1), 10, width=width)
    counts = [model.get_layer(f"c{n}_conv").count_params() for n in (1, 2)]
    assert counts == [156 * copies, 1500 * copies**2 + 16 * copies]
    assert model.get_layer("classifier_fc1").units == 120 * width


@pytest.mark.parametrize("name", ["unpadded", "lenet5_1998"])
def test_eight_pictures_are_learned_and_a_saved_model_loads_equal(name, tmp_path):
    keras.utils.set_random_seed(0)
    model = BUILDERS[name]((28, 28, 1), 8)
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    images = np.random.default_rng(0).random((8, 28, 28, 1), dtype="float32")
    labels = np.arange(8)
    before = model.evaluate(images, labels, verbose=0)
    assert before == pytest.approx(np.log(8), rel=0.05)
    forty_steps = np.tile(images, (40, 1, 1, 1)), np.tile(labels, 40)
    model.fit(*forty_steps, batch_size=8, shuffle=False, verbose=0)
    assert model.evaluate(images, labels, verbose=0) < before / 10

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
@pytest.mark.parametrize(
    ("image_shape", "options", "message"),
    [
        ((None, None, 1), {}, "`image_shape` must have a height"),
        ((28, 28, 1), {"output_stride": 2}, "output_stride=2"),
        ((28, 28, 1), {"dropout_rate": 1.0}, "dropout_rate=1.0"),
        ((28, 28, 1), {"drop_path_rate": 0.1}, "drop_path_rate=0.1"),
        ((28, 28, 1), {"width": 0.0}, "width=0.0"),
    ],
)
def test_what_it_cannot_do_is_refused(build, image_shape, options, message):
    with pytest.raises(errors.UsageError, match=message):
        build(image_shape, 10, **options)


def test_an_unpadded_picture_has_at_least_16_pixels():
    assert lenet.lenet5((16, 16, 1), None, pad=False).output["c2"].shape[1] == 1
    with pytest.raises(errors.UsageError, match=r"at least 16.*\(15, 28, 1\)"):
        lenet.lenet5((15, 28, 1), 10, pad=False)
