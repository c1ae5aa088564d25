"""What holds for every backbone of the dict, and one model of each family trained."""

import dataclasses
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.backbones import BACKBONES
from tfdl.export import freezing
from tfdl.training import inference


@dataclasses.dataclass(frozen=True)
class Family:
    """How a family is trained in seconds."""

    size: int = 32
    channels: int = 3
    width: float = 0.25
    learning_rate: float = 3e-3

    @property
    def shape(self):
        return (self.size, self.size, self.channels)


# One depth of each family; the others differ in a number.
FAMILIES = {
    "lenet5": Family(28, channels=1, width=1.0),
    "lenet5_1998": Family(28, channels=1, width=1.0),
    "alexnet": Family(67, width=0.125),
    "alexnet_grouped": Family(67, width=0.125),
    "alexnet_torchvision": Family(67, width=0.125),
    "zfnet": Family(67, width=0.125),
    "vgg11": Family(32, width=0.125),
    "vgg11_bn": Family(32, width=0.125),
    "nin": Family(67, width=0.125),
    "cifar_nin": Family(),
    "googlenet": Family(64, width=0.25),
    "googlenet_bn": Family(64, width=0.25),
    "inception_v3": Family(75, width=0.125),
    "xception": Family(width=0.125),
    "resnet18": Family(width=0.125),
    "resnet50": Family(width=0.125),
    "resnet50_v1": Family(width=0.125),
    "resnet50_v2": Family(width=0.125),
    "resnext50_32x4d": Family(width=0.25),
    "wide_resnet50_2": Family(width=0.125),
    "cifar_resnet20": Family(),
    "wrn_16_4": Family(width=0.125),
    "fractalnet": Family(width=0.125),
    "densenet121": Family(width=0.25),
    "densenet_40_12": Family(width=0.5),
    "squeezenet1_1": Family(64),
    "mobilenet_v1": Family(),
    "mobilenet_v2": Family(),
    "efficientnet_b0": Family(),
    "darknet53": Family(width=0.125),
    "cspdarknet": Family(width=0.125),
    "maxout_cifar": Family(width=0.125),
    "dropconnect_cifar": Family(),
    "fractional_cifar": Family(),
}
SIMPLE = ("lenet5", "cifar_resnet20", "resnet18")
DEEP = (  # over seven seconds each on two cores
    *("googlenet_bn", "inception_v3", "xception", "resnet50_v1", "resnet50_v2"),
    *("resnext50_32x4d", "wide_resnet50_2", "fractalnet", "densenet121"),
    *("darknet53", "cspdarknet", "resnet50", "densenet_40_12", "efficientnet_b0"),
    *("mobilenet_v1", "mobilenet_v2", "googlenet", "wrn_16_4", "fractional_cifar"),
)
EACH = [
    pytest.param(name, marks=[pytest.mark.slow] if name in DEEP else [])
    for name in FAMILIES
]
NUM_PICTURES = 8
MOST_STEPS = 120
STEPS = 20  # between looks at the loss
# Chance is ambiguous where the logits do not pass a dense layer that starts near zero.
OPTIONS = {"dropout_rate": 0.0, "drop_path_rate": 0.0}


def _build(name, **options):
    family = FAMILIES[name]
    return BACKBONES[name](family.shape, width=family.width, **options)


def _images(name, num_images=NUM_PICTURES):
    generator = np.random.default_rng(0)
    return generator.random((num_images, *FAMILIES[name].shape), dtype="float32")


@pytest.fixture(scope="module", params=EACH)
def trained(request):
    """(name, model, kernel of its first layer before, losses at every look)."""
    name = request.param
    keras.utils.set_random_seed(0)
    model = _build(name, num_classes=NUM_PICTURES, **OPTIONS)
    kernel = np.array(_first_kernel(model))
    model.compile(
        keras.optimizers.Adam(FAMILIES[name].learning_rate, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.optimizer.build(model.trainable_variables)  # else `fit` traces twice
    images, labels = _images(name), np.arange(NUM_PICTURES)
    losses = []
    while len(losses) < MOST_STEPS and not _is_learned(losses):
        history = model.fit(images, labels, epochs=STEPS, verbose=0).history
        losses += history["loss"]
    return name, model, kernel, losses


def _first_kernel(model):
    return model.trainable_variables[0]


def _is_learned(losses):
    return losses and losses[-1] < losses[0] / 10


def test_all_are_called_alike():
    calls = {
        tuple(
            (parameter.name, parameter.kind)
            for parameter in inspect.signature(build).parameters.values()
            if parameter.name not in ("auxiliary", "norm_scale", "pad")
        )
        for build in BACKBONES.values()
    }
    assert len(calls) == 1


def test_eight_pictures_are_learned_from_a_start_at_chance(trained):
    name, _, _, losses = trained
    assert losses[0] == pytest.approx(np.log(NUM_PICTURES), rel=0.25), name
    assert _is_learned(losses), losses[::STEPS]


def test_the_first_layer_is_trained(trained):
    _, model, kernel, _ = trained
    assert np.abs(np.array(_first_kernel(model)) - kernel).max() > 1e-4


def test_a_saved_model_loads_equal(trained, tmp_path):
    name, model, _, _ = trained
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = _images(name, 2)
    np.testing.assert_array_equal(loaded(images), model(images))


def test_frozen_and_folded_it_answers_the_same(trained):
    name, model, _, _ = trained
    infer = inference.compiled(model)
    images = tf.constant(_images(name, 2))
    np.testing.assert_allclose(
        tf.nn.softmax(freezing.freeze(infer)(images)),
        tf.nn.softmax(infer(images)),
        atol=1e-5,
    )


def test_the_first_layer_normalises_and_the_last_gives_logits(trained):
    name, model, _, _ = trained
    assert model.name == name
    assert isinstance(model.layers[1], keras.layers.Rescaling)
    assert model.input_shape == (None, *FAMILIES[name].shape)
    assert model.output_shape == (None, NUM_PICTURES)
    assert model.output.dtype == "float32"


@pytest.mark.parametrize("name", EACH)
def test_mixed_bfloat16_gives_finite_float32_logits(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = _build(name, num_classes=10)
    logits = model(_images(name, 2), training=True)
    assert logits.dtype == "float32"
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("name", EACH)
def test_feature_maps_are_named_by_their_strides(name):
    """And in the order of the strides; valid paddings only make them smaller."""
    maps = _build(name, num_classes=None).output
    assert list(maps) == sorted(maps)
    for key, feature in maps.items():
        stride = 2 ** int(key[1:])
        if name in (
            "cifar_resnet20",
            "wrn_16_4",
            "densenet_40_12",
        ):  # c1 has the picture's size
            stride //= 2
        ceiling = -(-FAMILIES[name].size // stride)
        assert ceiling - 4 <= feature.shape[1] <= ceiling + 1, (key, feature.shape)


@pytest.mark.parametrize("normalization", ["layer", "instance", "group"])
@pytest.mark.parametrize("name", SIMPLE)
def test_every_normalization_builds_and_runs(name, normalization):
    model = _build(name, num_classes=3, normalization=normalization)
    logits = model(_images(name, 2), training=True)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("name", SIMPLE)
def test_half_the_width_halves_the_channels(name):
    maps, half = (
        BACKBONES[name]((32, 32, 3), None, width=width).output for width in (1.0, 0.5)
    )
    assert maps.keys() == half.keys()
    for key, feature in maps.items():
        assert feature.shape[-1] == 2 * half[key].shape[-1]
        assert feature.shape[:-1] == half[key].shape[:-1]


@pytest.mark.parametrize("name", EACH)
def test_dropout_acts_in_training_only(name):
    model = _build(name, num_classes=10, dropout_rate=0.5, spatial_dropout_rate=0.2)
    kinds = (keras.layers.Dropout, keras.layers.SpatialDropout2D)
    dropouts = [layer for layer in model.layers if isinstance(layer, kinds)]
    assert {0.5, 0.2} <= {
        layer.rate for layer in dropouts
    } or name == "dropconnect_cifar"
    images = _images(name, 2)
    np.testing.assert_array_equal(model(images), model(images))


@pytest.mark.parametrize(
    "options",
    [
        {"width": 0.0},
        {"output_stride": 3},
        {"drop_path_rate": 1.0},
        {"spatial_dropout_rate": 1.0},
        {"weights": "imagenet.weights.h5"},
    ],
)
@pytest.mark.parametrize("name", EACH)
def test_arguments_out_of_range_are_errors_of_the_user(name, options):
    (argument,) = options
    shape, width = FAMILIES[name].shape, FAMILIES[name].width
    with pytest.raises(errors.UserError, match=argument):
        BACKBONES[name](shape, **{"width": width, **options})


@pytest.mark.parametrize("options", [{"dropout_rate": 1.0}, {"num_classes": 0}])
@pytest.mark.parametrize("name", SIMPLE)
def test_a_head_out_of_range_is_a_usage_error(name, options):
    (argument,) = options
    with pytest.raises(errors.UsageError, match=f"`{argument}` must be"):
        _build(name, **options)
