"""What holds for every backbone of the dict, and one model of each family trained."""

import inspect

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import BACKBONES

# One depth of each family; the others differ in a number.
FAMILIES = {
    "lenet5": {"image_shape": (28, 28, 1)},
    "cifar_resnet20": {"image_shape": (32, 32, 3)},
    "resnet18": {"image_shape": (32, 32, 3), "width": 0.125},
}


def _images(image_shape, num_images=8):
    generator = np.random.default_rng(0)
    return generator.random((num_images, *image_shape), dtype="float32")


def test_all_are_called_alike():
    signatures = {str(inspect.signature(build)) for build in BACKBONES.values()}
    assert len(signatures) == 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", BACKBONES)
def test_logits_have_the_shape_and_the_first_layer_normalises(name, channels):
    model = BACKBONES[name]((32, 32, channels), 7, width=0.25)
    assert model.name == name
    assert isinstance(model.layers[1], keras.layers.Rescaling)
    assert model.input_shape == (None, 32, 32, channels)
    assert model.output_shape == (None, 7)


@pytest.mark.parametrize("name", FAMILIES)
def test_mixed_bfloat16_gives_finite_float32_logits(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    options = FAMILIES[name]
    model = BACKBONES[name](num_classes=10, **options)
    logits = model(_images(options["image_shape"]), training=True)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()
    features = BACKBONES[name](num_classes=None, **options).output
    assert {feature.dtype for feature in features.values()} == {"bfloat16"}


@pytest.mark.parametrize("name", FAMILIES)
def test_loss_starts_at_chance_and_falls_by_half_on_eight_samples(name):
    keras.utils.set_random_seed(0)
    options = FAMILIES[name]
    model = BACKBONES[name](num_classes=8, **options)
    model.compile(
        keras.optimizers.Adam(2e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    images, labels = _images(options["image_shape"]), np.arange(8)
    history = model.fit(images, labels, epochs=20, verbose=0).history["loss"]
    assert history[0] == pytest.approx(np.log(8), rel=0.05)
    assert history[-1] < history[0] / 2


@pytest.mark.parametrize("name", FAMILIES)
def test_a_saved_model_loads_equal(name, tmp_path):
    options = FAMILIES[name]
    model = BACKBONES[name](num_classes=10, dropout_rate=0.5, **options)
    images = _images(options["image_shape"], 2)
    model(images, training=True)  # moves the running averages
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.parametrize("normalization", ["batch", "layer", "instance", "group"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_normalization_builds_and_runs(name, normalization):
    options = FAMILIES[name] | {"image_shape": (64, 64, 3)}
    model = BACKBONES[name](num_classes=3, normalization=normalization, **options)
    logits = model(_images((64, 64, 3), 2), training=True)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_half_the_width_halves_the_channels(name):
    maps, half = (
        BACKBONES[name]((32, 32, 3), None, width=width).output for width in (1.0, 0.5)
    )
    assert maps.keys() == half.keys()
    for key, feature in maps.items():
        assert feature.shape[-1] == 2 * half[key].shape[-1]
        assert feature.shape[:-1] == half[key].shape[:-1]


@pytest.mark.parametrize("name", FAMILIES)
def test_dropout_acts_in_training_only(name):
    options = FAMILIES[name]
    model = BACKBONES[name](num_classes=10, dropout_rate=0.5, **options)
    assert model.layers[-2].rate == 0.5
    images = _images(options["image_shape"], 2)
    np.testing.assert_array_equal(model(images), model(images))


@pytest.mark.parametrize(
    "options",
    [{"width": 0.0}, {"output_stride": 3}, {"dropout_rate": 1.0}, {"num_classes": 0}],
)
@pytest.mark.parametrize("name", FAMILIES)
def test_arguments_out_of_range_are_usage_errors(name, options):
    (argument,) = options
    with pytest.raises(errors.UsageError, match=f"`{argument}` must be"):
        BACKBONES[name](**FAMILIES[name] | options)
