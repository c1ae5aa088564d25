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


def test_pictures_of_unknown_and_odd_size(built):
    """As those of a known size, with the same weights."""
    name, model = built
    images = pictures((37, 50))
    known, unknown = make(name, (37, 50)), make(name, (None, None))
    for other in (known, unknown):
        for layer in other.layers:  # by name: their order may be another
            if layer.weights:
                layer.set_weights(model.get_layer(layer.name).get_weights())
    signature = [tf.TensorSpec((None, None, None, 3))]
    found = tf.function(unknown, input_signature=signature)(images)
    for key, expected in known(images).items():
        assert unknown.output[key].shape == (None, None, None, CLASSES)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[key], expected, atol=1e-4 * scale)


def test_a_batch_answers_as_its_pictures_do(built):
    _, model = built
    images = pictures()
    together = model(images)
    for key, logits in model(images[1:]).items():
        scale = np.abs(logits).max()
        np.testing.assert_allclose(together[key][1:], logits, atol=1e-4 * scale)


def test_saved_and_loaded_it_is_equal(built, tmp_path):
    _, model = built
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = pictures()
    for key, expected in model(images).items():
        np.testing.assert_array_equal(loaded(images)[key], expected)


@pytest.mark.parametrize("name", models.MODELS)
def test_a_step_in_bfloat16(name):
    """Only the logits are in float32, and all digits of theirs are their own."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = make(name, (32, 32))
    halves = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.compute_dtype == "bfloat16"
    ]
    assert halves
    labels = np.random.default_rng(1).integers(CLASSES, size=(2, 32, 32))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-3), loss={key: loss for key in model.output})
    images = pictures((32, 32))
    first = model.train_on_batch(images, {key: labels for key in model.output})
    assert np.isfinite(first).all()
    logits = model(images)["logits"]
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


class Overfit:
    """Two pictures that a network of that resolution can draw."""

    def __init__(self, side, block, steps, **options):
        self.side, self.block, self.steps = side, block, steps
        self.options = options

    def pictures(self):
        """Blocks of colours or, for a block of None, discs; of three classes."""
        rng = np.random.default_rng(0)
        if self.block is None:
            labels = np.stack([self._discs(rng) for _ in range(2)])
        else:
            blocks = np.arange((self.side // self.block) ** 2) % 3
            blocks = np.stack([rng.permutation(blocks) for _ in range(2)])
            blocks = blocks.reshape(2, self.side // self.block, -1)
            labels = blocks.repeat(self.block, axis=1).repeat(self.block, axis=2)
        colours = np.array([(0.2, 0.3, 0.8), (0.9, 0.2, 0.1), (0.3, 0.8, 0.2)])
        noise = rng.normal(scale=0.1, size=(*labels.shape, 3))
        return np.clip(colours[labels] + noise, 0, 1).astype("float32"), labels

    def _discs(self, rng):
        rows, columns = np.mgrid[: self.side, : self.side] / self.side
        labels = np.zeros((self.side, self.side), "int32")
        for label in (1, 2, 1):
            radius, (row, column) = rng.uniform(0.15, 0.3), rng.uniform(0.2, 0.8, 2)
            inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
            labels[inside] = label
        return labels


def mean_iou(labels, predicted):
    shares = []
    for label in range(3):
        found, there = predicted == label, labels == label
        shares.append((found & there).sum() / (found | there).sum())
    return np.mean(shares)
