"""Inception V3: sizes, its auxiliary head, the same logits as keras.applications."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import imagenet, inception_v3
from tfdl.layers import receptive_field

build = inception_v3.inception_v3


def test_receptive_field_is_1311_pixels():
    """[Araujo 2019, table 1]."""
    maps = build((299, 299, 3), None, width=0.125)
    np.testing.assert_array_equal(receptive_field.of_last_map(maps).size, 1311)


@pytest.mark.parametrize(
    ("image_size", "sizes"),
    [
        ((299, 299), [(147, 147), (71, 71), (35, 35), (17, 17), (8, 8)]),
        ((224, 224), [(109, 109), (52, 52), (25, 25), (12, 12), (5, 5)]),
        ((320, 256), [(157, 125), (76, 60), (37, 29), (18, 14), (8, 6)]),
        ((75, 75), [(35, 35), (15, 15), (7, 7), (3, 3), (1, 1)]),
    ],
)
def test_feature_maps_have_the_sizes_of_unpadded_convolutions(image_size, sizes):
    outputs = build((*image_size, 3), None, width=0.125).output
    assert {name: outputs[name].shape[1:] for name in outputs} == {
        f"c{level}": (*size, channels // 8)
        for level, size, channels in zip(
            range(1, 6), sizes, (64, 192, 288, 768, 2048), strict=True
        )
    }


def test_sizes_may_be_unknown():
    model = build((None, None, 3), 7, width=0.125)
    assert model(np.zeros((1, 75, 80, 3), "float32")).shape == (1, 7)
    assert model(np.zeros((3, 80, 75, 3), "float32")).shape == (3, 7)


def test_logits_equal_those_of_keras(randomize):
    """Keras's layers are numbered through the process, from where others ended."""
    keras.applications.InceptionV3(weights=None, include_top=False)
    theirs = keras.applications.InceptionV3(weights=None, classifier_activation=None)
    randomize(theirs)
    model = build((299, 299, 3))
    imagenet.transfer(theirs, model, inception_v3.published())
    image = np.random.default_rng(1).random((1, 299, 299, 3), dtype="float32")
    preprocessed = keras.applications.inception_v3.preprocess_input(255 * image)
    expected = theirs(preprocessed)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(model(image), expected, rtol=0, atol=1e-5 * scale)


def test_auxiliary_head_sees_module_7():
    model = build((107, 299, 3), 5, width=0.125, auxiliary=True)
    pool = model.get_layer("classifier_auxiliary_pool")
    assert pool.input is model.get_layer("mixed7_concat").output
    assert pool.output.shape == (None, 1, 5, 96)
    outputs = model(np.zeros((2, 107, 299, 3), "float32"))
    assert {name: tuple(logits.shape) for name, logits in outputs.items()} == {
        "logits": (2, 5),
        "auxiliary": (2, 5),
    }


def test_a_model_without_the_head_loads_the_weights_of_one_with_it(tmp_path):
    options = {"image_shape": (107, 107, 3), "num_classes": 5, "width": 0.125}
    full = build(**options, auxiliary=True)
    full.save_weights(tmp_path / "full.weights.h5")
    plain = build(**options, weights=tmp_path / "full.weights.h5")
    image = np.random.default_rng(0).random((2, 107, 107, 3), dtype="float32")
    np.testing.assert_allclose(plain(image), full(image)["logits"], rtol=1e-6)


@pytest.mark.parametrize("normalization", ["layer", "group"])
def test_other_norms_replace_all_batch_norms(normalization):
    model = build((75, 75, 3), 3, width=0.125, normalization=normalization)
    kinds = [type(layer).__name__ for layer in model.layers if "_norm" in layer.name]
    assert len(kinds) == 94
    assert "BatchNormalization" not in kinds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_shape": (74, 80, 3)}, "at least 75 pixels"),
        ({"auxiliary": True}, "at least 107 pixels"),
        ({"auxiliary": True, "num_classes": None}, "`auxiliary` must be False"),
        ({"output_stride": 16}, "`output_stride` must be"),
        ({"drop_path_rate": 0.1}, "`drop_path_rate` must be"),
        ({"weights": "imagenet", "norm_scale": True}, "keras.applications has none"),
    ],
)
def test_what_it_has_not_is_refused(arguments, message):
    options = {"image_shape": (106, 106, 3), "num_classes": 5, "width": 0.125}
    with pytest.raises(errors.UsageError, match=message):
        build(**options | arguments)
