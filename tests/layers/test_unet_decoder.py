"""U-Net's decoder: counts, sizes, and a forward pass in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.layers import receptive_field, unet_decoder, unpooling

CHANNELS = {"c1": 4, "c2": 6}
STRIDES = {"c1": 1, "c2": 2, "c3": 4}
CROPS = {"c1": 4, "c2": 0}  # of 24, 12 and 6 rows
DEPTHS = {"c1": 3, "c2": 5, "c3": 8}


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def build(sizes, *, depths=DEPTHS, channels=CHANNELS, strides=STRIDES, **options):
    features = {
        level: keras.Input((*size, depth), name=level)
        for (level, depth), size in zip(depths.items(), sizes, strict=True)
    }
    options = {"crops": CROPS, **options}
    outputs = unet_decoder.decoder(features, channels, strides=strides, **options)
    return keras.Model(features, outputs)


def maps(sizes, batch=2):
    return {
        level: random((batch, *size, depth), seed=depth)
        for (level, depth), size in zip(DEPTHS.items(), sizes, strict=True)
    }


def convolve(x, kernel, bias, padding):
    """Convolve by 3 x 3 and cut negative values off."""
    if padding == "same":
        x = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    return np.maximum(np.einsum("bhwirc,rcio->bhwo", windows, kernel) + bias, 0)


def slow(model, features, padding):
    """Follow figure 1 of the paper, with zeros where an enlarged map is too small."""

    def weights(name):
        return model.get_layer(name).get_weights()

    x, outputs = features["c3"], {}
    for number in (2, 1):
        kernel, bias = weights(f"up{number}")
        batch, rows, columns, _ = x.shape
        windows = np.einsum("bhwi,rcoi->bhrwco", x, kernel) + bias
        x = windows.reshape(batch, 2 * rows, 2 * columns, -1)
        skip = features[f"c{number}"]
        if padding == "same":
            x = np.pad(x, [(0, 0), (0, 9), (0, 9), (0, 0)])
            x = x[:, : skip.shape[1], : skip.shape[2]]
        else:
            top, left = ((skip.shape[i] - x.shape[i]) // 2 for i in (1, 2))
            skip = skip[:, top : top + x.shape[1], left : left + x.shape[2]]
        x = np.concatenate([skip, x], axis=-1)
        for layer in (1, 2):
            x = convolve(x, *weights(f"up{number}_{layer}"), padding)
        outputs[f"d{number}"] = x
    return outputs


@pytest.mark.parametrize(
    ("padding", "sizes"),
    [
        ("same", [(8, 12), (4, 6), (2, 3)]),
        ("same", [(7, 9), (4, 5), (2, 3)]),  # odd, as poolings that round up leave it
        ("same", [(9, 11), (4, 5), (2, 2)]),  # odd, as those that round down leave it
        ("same", [(1, 1), (1, 1), (1, 1)]),
        ("valid", [(24, 28), (12, 14), (6, 7)]),
        ("valid", [(28, 40), (14, 20), (7, 10)]),
    ],
)
@pytest.mark.parametrize("is_known", [True, False])
def test_it_equals_figure_1_of_the_paper(padding, sizes, is_known):
    shapes = sizes if is_known else [(None, None)] * 3
    model, features = build(shapes, padding=padding), maps(sizes)
    for layer in model.layers:  # biases that do not start from zero
        layer.set_weights([w + 0.1 * random(w.shape) for w in layer.get_weights()])
    found = tf.function(lambda some: model(some))(features)
    expected = slow(model, features, padding)
    assert list(found) == ["d1", "d2"]
    for level, values in expected.items():
        np.testing.assert_allclose(found[level], values, rtol=1e-4, atol=1e-4)


def test_valid_sizes_of_the_paper():
    """Figure 1: 28 becomes 52, 100, 196 and 388; of 64, 136, 280 and 568 the middle."""
    levels = [f"c{number}" for number in range(1, 6)]
    model = build(
        [(side, side) for side in (568, 280, 136, 64, 28)],
        depths=dict.fromkeys(levels, 1),
        channels=dict.fromkeys(levels[:-1], 1),
        strides={level: 2**number for number, level in enumerate(levels)},
        padding="valid",
        crops={"c1": 88, "c2": 40, "c3": 16, "c4": 4},
    )
    sides = [model.output[f"d{number}"].shape[1] for number in (4, 3, 2, 1)]
    assert sides == [52, 100, 196, 388]


def test_number_of_parameters_of_the_paper():
    """Of the 31,030,593 of a U-Net from 1 to 1 channels what the encoder has not.

    That has 2 x 9 convolutions of 64 to 1024 channels, 18,842,048 without the first's
    1 x 9 x 64, which are added; the last convolution has 65.
    """
    levels = ["c1", "c2", "c3", "c4", "c5"]
    sizes = dict(zip(levels, (64, 128, 256, 512, 1024), strict=True))
    encoder = sum(9 * sizes[x] * (sizes[x] + 1 / 9) for x in levels)
    pairs = zip(levels[:-1], levels[1:], strict=True)
    encoder += sum(9 * sizes[a] * sizes[b] + sizes[b] for a, b in pairs)
    encoder += 9 * 64 + 64
    model = build(
        [(16 >> number,) * 2 for number in range(5)],
        depths=sizes,
        channels={level: sizes[level] for level in levels[:-1]},
        strides={level: 2**number for number, level in enumerate(levels)},
    )
    assert model.count_params() == 31_030_593 - 65 - encoder


@pytest.mark.parametrize("kind", ["nearest", "bilinear", "bed_of_nails"])
def test_other_upsamplings_have_the_same_outputs(kind):
    sizes = [(7, 9), (4, 5), (2, 3)]
    outputs = build(sizes, upsampling=kind)(maps(sizes))
    assert outputs["d1"].shape == (2, 7, 9, 4)
    assert outputs["d2"].shape == (2, 4, 5, 6)


def test_max_unpooling_takes_the_places_of_its_level():
    depths = {"c1": 4, "c2": 6, "c3": 8}
    features, places = {}, {}
    x = keras.Input((7, 9, 4))
    inputs = features["c1"] = x
    for finer, level in (("c1", "c2"), ("c2", "c3")):
        x, places[finer] = unpooling.IndexedMaxPooling2D()(x)
        x = features[level] = keras.layers.Conv2D(depths[level], 1)(x)
    outputs = unet_decoder.decoder(
        features, CHANNELS, strides=STRIDES, upsampling="max_unpooling", places=places
    )
    model = keras.Model(inputs, outputs)
    assert model.output["d1"].shape == (None, 7, 9, 4)
    enlarged = keras.Model(inputs, model.get_layer("up1").output)
    image = random((1, 7, 9, 4))
    _, flat = tf.nn.max_pool_with_argmax(image, 2, 2, "SAME")
    found = np.flatnonzero(enlarged(image)[:, :7, :9])
    assert set(found) <= set(np.ravel(flat))
    assert len(found) == 4 * 5 * 4


def test_strides_may_differ_by_other_factors():
    """AlexNet's first map has a stride of 4."""
    strides = {"c1": 1, "c2": 4, "c3": 8}
    model = build([(17, 20), (5, 5), (3, 3)], strides=strides)
    assert model.output["d1"].shape == (None, 17, 20, 4)
    assert model.get_layer("up1").strides == (4, 4)


@pytest.mark.parametrize("normalization", ["batch", "group"])
def test_with_a_norm_convolutions_have_no_bias(normalization):
    model = build([(8, 8), (4, 4), (2, 2)], normalization=normalization)
    plain = build([(8, 8), (4, 4), (2, 2)])
    # Two norms of 2 numbers per channel instead of two biases of one.
    extra = sum(2 * channels for channels in CHANNELS.values())
    trainable = sum(np.prod(w.shape) for w in model.trainable_variables)
    assert trainable == plain.count_params() + extra


def test_every_weight_has_a_gradient():
    sizes = [(7, 9), (4, 5), (2, 3)]
    model = build(sizes, normalization="batch")
    with tf.GradientTape() as tape:
        outputs = model(maps(sizes), training=True)
        loss = sum(tf.reduce_mean(tf.square(x)) for x in outputs.values())
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.any(gradient) for gradient in gradients)


def test_saved_and_loaded_it_is_equal(tmp_path):
    sizes = [(24, 28), (12, 14), (6, 7)]
    model = build(sizes, padding="valid")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    expected = model(maps(sizes))
    for level, found in loaded(maps(sizes)).items():
        np.testing.assert_array_equal(found, expected[level])


@pytest.mark.parametrize(
    ("padding", "side"), [("same", 32), ("same", 37), ("valid", 24)]
)
def test_receptive_field_is_that_of_the_longest_way(padding, side):
    """Two poolings, and 3 x 3 twice at stride 2 and twice at stride 1.

    Two windows of the second pooling lie under each output: 4 + 4 pixels at most.
    """
    inputs = keras.Input((side, side, 3))
    features = {"c1": inputs}
    for finer, coarser in (("c1", "c2"), ("c2", "c3")):
        pool = keras.layers.MaxPooling2D(padding="same")
        features[coarser] = pool(features[finer])
    model = keras.Model(
        inputs,
        unet_decoder.decoder(
            features, CHANNELS, strides=STRIDES, padding=padding, crops=CROPS
        ),
    )
    fields = receptive_field.of_outputs(model)
    assert fields["d1"].stride == (1, 1)
    assert fields["d2"].stride == (2, 2)
    assert fields["d2"].size == (12, 12)
    assert fields["d1"].size == (16, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "symmetric"}, "padding='symmetric'"),
        ({"padding": "valid", "crops": None}, "crops=None"),
        ({"upsampling": "max_unpooling"}, "max_unpooling needs the places"),
        ({"normalization": "bacth"}, "kind='bacth'"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(errors.UsageError, match=message):
        build([(8, 8), (4, 4), (2, 2)], **options)
