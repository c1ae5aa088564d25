"""Every network alike: contract, first loss, half precision, files, and overfitting."""

import inspect
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.tasks.segmentation import models

SIDE, CLASSES = 48, 7
# Narrow, and with a backbone that is quickly built where the published one is not.
SMALL = {
    "fcn32s": {"width": 0.0625},
    "fcn16s": {"width": 0.0625},
    "fcn8s": {"width": 0.0625},
    "fcn_resnet50": {"width": 0.125, "backbone": "resnet18"},
    "segnet": {"width": 0.0625},
    "unet": {"width": 0.0625, "auxiliary": True},
    "deeplabv3": {"width": 0.125, "backbone": "resnet18"},
    "deeplabv3plus": {"width": 0.125, "backbone": "resnet18"},
    "plain": {"width": 0.125},
    "patch_classifier": {"width": 0.25},
}


def make(name, size=(SIDE, SIDE), num_classes=CLASSES):
    return models.MODELS[name]((*size, 3), num_classes, **SMALL[name])


def pictures(size=(SIDE, SIDE), batch=2):
    """Draw patches of colour and noise, as bright and as dark as photographs are."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(size=(batch, -(-size[0] // 8), -(-size[1] // 8), 3))
    images = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, : size[0], : size[1]]
    noise = rng.normal(scale=0.1, size=images.shape)
    return np.clip(images + noise, 0, 1).astype("float32")


def cross_entropy(labels, logits):
    losses = keras.losses.sparse_categorical_crossentropy(
        labels, logits, from_logits=True
    )
    return float(np.mean(losses))


@pytest.fixture(scope="module", params=list(models.MODELS))
def built(request):
    keras.utils.set_random_seed(0)
    return request.param, make(request.param)


def test_all_models_are_tested():
    assert list(SMALL) == list(models.MODELS)


def test_outputs_are_logits_of_the_picture_s_size(built):
    name, model = built
    images = pictures()
    assert model.input_shape == (None, SIDE, SIDE, 3)
    assert next(iter(model.output)) == "logits"
    assert all(key.startswith(("logits", "auxiliary")) for key in model.output)
    for key, logits in model(images).items():
        assert model.output[key].shape == (None, SIDE, SIDE, CLASSES)
        assert logits.shape == (2, SIDE, SIDE, CLASSES)
        assert logits.dtype == model.output[key].dtype == "float32"
    assert model.layers[1].name == "normalize"


def test_the_first_loss_is_that_of_equal_chances(built):
    """ln(classes), within 5 %, of the logits and of every auxiliary output."""
    _, model = built
    labels = np.random.default_rng(1).integers(CLASSES, size=(2, SIDE, SIDE))
    for logits in model(pictures(), training=True).values():
        loss = cross_entropy(labels, logits)
        assert loss == pytest.approx(math.log(CLASSES), rel=0.05)


def test_a_batch_answers_as_its_pictures_do(built):
    _, model = built
    images = pictures()
    together = model(images)
    for key, logits in model(images[1:]).items():
        scale = np.abs(logits).max()
        np.testing.assert_allclose(together[key][1:], logits, atol=1e-4 * scale)


@pytest.mark.slow
def test_saved_and_loaded_it_is_equal(built, tmp_path):
    _, model = built
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = pictures()
    for key, expected in model(images).items():
        np.testing.assert_array_equal(loaded(images)[key], expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.MODELS)
def test_a_graph_that_knows_no_size_answers_as_one_that_does(name):
    """With the same list of weights."""
    known, unknown = make(name, (37, 50)), make(name, (None, None))
    unknown.set_weights(known.get_weights())
    images = pictures((37, 50))
    signature = [tf.TensorSpec((None, None, None, 3))]
    found = tf.function(unknown, input_signature=signature)(images)
    for key, expected in known(images).items():
        assert unknown.output[key].shape == (None, None, None, CLASSES)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[key], expected, atol=1e-4 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("name", models.MODELS)
def test_gradients_in_bfloat16(name):
    """Only the logits are in float32, and all their digits are their own."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = make(name, (32, 32))
    assert any(
        layer.compute_dtype == "bfloat16"
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    )
    with tf.GradientTape() as tape:
        outputs = model(pictures((32, 32)), training=True)
        loss = sum(tf.reduce_mean(tf.square(logits)) for logits in outputs.values())
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    for logits in outputs.values():
        assert logits.dtype == "float32"
        rounded = tf.cast(tf.cast(logits, "bfloat16"), "float32")
        assert np.any(np.not_equal(logits, rounded))


def test_every_model_is_built_by_the_same_arguments():
    for name, function in models.MODELS.items():
        parameters = inspect.signature(function).parameters
        assert list(parameters)[:2] == ["image_shape", "num_classes"], name
        assert parameters["width"].default == 1.0


def flags(**changed):
    published = {"backbone": "published", "weights": "none", "upsampling": "published"}
    return {**published, "width": 0.0625, **changed}


def test_make_takes_flags():
    model = models.make("fcn8s", 32, 3, **flags(upsampling="nearest"))
    assert model.name == "fcn8s"
    assert model.output["logits"].shape == (None, 32, 32, 3)
    assert type(model.get_layer("upscore")).__name__ == "UpSampling2D"
    model = models.make("unet", None, 3, **flags(backbone="resnet18"))
    assert model.name == "unet_resnet18"
    assert model.input_shape == (None, None, None, 3)
    model = models.make("unet", 32, 3, **flags(), normalization="group")
    assert any(layer.name == "c1_1_norm" for layer in model.layers)


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("plain", {"backbone": "resnet18"}, "plain has no `backbone`"),
        ("patch_classifier", {"upsampling": "nearest"}, "no `upsampling`"),
        ("plain", {"weights": "imagenet"}, "plain has no `weights`"),
        ("segnet", {"padding": "valid"}, "segnet has no `padding`"),
        ("unet", {"backbone": "resnet19"}, "backbone='resnet19'"),
        ("deeplabv3", {"upsampling": "bilinaer"}, "upsampling='bilinaer'"),
        ("fcn8s", {"width": 0}, "width=0"),
    ],
)
def test_what_cannot_be_built_is_a_mistake_of_usage(name, changed, message):
    with pytest.raises(errors.UsageError, match=message):
        models.make(name, 32, 3, **flags(**changed))


@pytest.mark.parametrize("name", models.MODELS)
def test_no_classes_are_a_mistake_of_usage(name):
    with pytest.raises(errors.UsageError, match="num_classes=0"):
        models.MODELS[name]((32, 32, 3), 0, **SMALL[name])
