"""U-Net: published counts, the paper's tile, any encoder, deep supervision."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.layers import receptive_field, upsampling
from tfdl.tasks.segmentation import unet

WIDTH = 0.0625


def random(size, channels=3, batch=2):
    shape = (batch, *size, channels)
    return np.random.default_rng(0).random(shape, dtype="float32")


@pytest.mark.parametrize(
    ("channels", "num_classes", "padding", "count"),
    [
        (1, 1, "same", 31_030_593),
        (1, 2, "valid", 31_030_658),
        (3, 1, "same", 31_031_745),
        (3, 21, "same", 31_033_045),
    ],
)
def test_it_has_the_paper_s_number_of_parameters(channels, num_classes, padding, count):
    model = unet.unet((16, 16, channels), num_classes, padding=padding)
    assert model.count_params() == count


def test_with_batch_norm_convolutions_have_no_bias():
    model = unet.unet((16, 16, 3), 2, normalization="batch")
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    assert trainable == 31_037_698


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_logits_are_of_the_picture_s_size(padding):
    """Whatever it is, in a graph that does not know it, and as in one that does."""
    options = {"padding": padding, "width": 1 / 64, "auxiliary": True}
    model = unet.unet((None, None, 3), 5, **options)
    assert list(model.output) == ["logits", *(f"auxiliary{i}" for i in (1, 2, 3))]
    known = unet.unet((45, 70, 3), 5, **options)
    for layer in known.layers:  # by name: their order may be another
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    signature = [tf.TensorSpec((None, None, None, 3))]
    function = tf.function(model, input_signature=signature)
    for size in ((64, 48), (17, 5), (1, 1), (45, 70)):
        outputs = function(random(size))
        for name, logits in outputs.items():
            assert model.output[name].shape == (None, None, None, 5)
            assert logits.shape == (2, *size, 5)
            assert np.isfinite(logits).all()
    for name, expected in known(random((45, 70))).items():
        assert known.output[name].shape == (None, 45, 70, 5)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(outputs[name], expected, atol=1e-5 * scale)


@pytest.mark.parametrize("kind", upsampling.KINDS)
def test_every_upsampling_answers_in_the_picture_s_size(kind):
    model = unet.unet((45, 70, 3), 5, upsampling=kind, width=1 / 64)
    assert model(random((45, 70)))["logits"].shape == (2, 45, 70, 5)


def test_without_padding_the_maps_have_figure_1_s_sizes():
    """388 pixels are answered for by a tile of 572."""
    model = unet.unet((388, 388, 1), 2, padding="valid", width=WIDTH)
    layers = ["margins", "c1_2", "c2_2", "c3_2", "c4_2", "c5_2"]
    layers += ["up4_2", "up3_2", "up2_2", "up1_2", "classifier"]
    sides = [model.get_layer(name).output.shape[1] for name in layers]
    assert sides == [572, 568, 280, 136, 64, 28, 52, 100, 196, 388, 388]


def test_without_padding_logits_stay_at_their_pixels():
    """A network that lets values pass shows where they come from.

    With kernels that take the middle pixel alone, and no enlarged maps, the logits are
    the picture's first channel.
    """
    model = unet.unet((45, 70, 1), 1, padding="valid", width=1 / 64, dropout_rate=0)
    for layer in model.layers:
        values = [np.zeros_like(value) for value in layer.get_weights()]
        if values and layer.name in ("c1_1", "c1_2", "up1_1", "up1_2", "classifier"):
            middle = len(values[0]) // 2
            values[0][middle, middle, 0, 0] = (
                1  # the skip comes first of what is joined
            )
        layer.set_weights(values)
    image = 0.5 + 0.5 * random((45, 70), channels=1)  # not below the mean: ReLUs
    found = model(image)["logits"]
    np.testing.assert_allclose(found, (image - 0.5) / 0.25, rtol=1e-4, atol=1e-5)


def test_without_padding_coarse_scores_lie_over_their_pixels():
    """A picture that brightens to one side has auxiliary logits that do, too, there.

    Let only the brightness pass through the map of stride 2: where the logits are
    those of the picture, these are its averages.
    """
    model = unet.unet(
        (36, 52, 1), 1, padding="valid", width=1 / 64, auxiliary=True, dropout_rate=0
    )
    chain = ("c1_1", "c1_2", "c2_1", "c2_2", "up2_1", "up2_2")
    for layer in model.layers:
        values = [np.zeros_like(value) for value in layer.get_weights()]
        if layer.name in (*chain, "classifier_auxiliary1_logits"):
            middle = len(values[0]) // 2
            values[0][middle, middle, 0, 0] = 1
        if values:
            layer.set_weights(values)
    ramp = np.linspace(0.5, 1, 36)[:, None] + np.linspace(0, 0.5, 52)[None, :]
    image = ramp[None, :, :, None].astype("float32")
    found = np.array(model(image)["auxiliary1"])
    expected = (image - 0.5) / 0.25
    # Maxima of 2 x 2 pixels lie half a pixel further to both sides; mirrors bend edges.
    slope = (0.5 / 35 + 0.5 / 51) / 2 / 0.25
    np.testing.assert_allclose(
        found[:, 4:-4, 4:-4], expected[:, 4:-4, 4:-4] + slope, atol=1e-3
    )


@pytest.mark.parametrize(
    ("padding", "side"), [("same", 64), ("same", 67), ("valid", 60)]
)
def test_a_pixel_sees_204_pixels(padding, side):
    """At most five places of the coarsest map, 16 apart, of which each sees 140.

    140 = 1 + 4 (1 + 2 + 4 + 8 + 16), by two convolutions of each stride, and 15 more by
    the poolings. Without padding the first pixel sees the margin of 92, no more.
    """
    model = unet.unet((side, side, 3), 2, padding=padding, width=1 / 64)
    fields = {entry.layer: entry for entry in receptive_field.walk(model)}
    assert fields["c5_2"].size == (140, 140)
    assert fields["classifier"].size == (204, 204)
    assert fields["classifier"].stride == (1, 1)
    if padding == "valid":
        assert fields["classifier"].padding == (92, 92)


@pytest.mark.parametrize(
    "backbone", ["resnet18", "vgg11", "alexnet", "cifar_resnet20", "squeezenet1_1"]
)
def test_any_backbone_is_an_encoder(backbone):
    """Also of odd pictures, and where the first map has a stride of 1 or of 4."""
    model = unet.unet(
        (67, 65, 3), 5, backbone=backbone, normalization="batch", width=0.125
    )
    assert model.output["logits"].shape == (None, 67, 65, 5)
    assert np.isfinite(model(random((67, 65)))["logits"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["inception_v3", "fractional_cifar"])
def test_backbones_whose_maps_do_not_halve_are_fitted(backbone):
    model = unet.unet(
        (97, 97, 3), 5, backbone=backbone, normalization="batch", width=0.125
    )
    assert model(random((97, 97)))["logits"].shape == (2, 97, 97, 5)


def test_number_of_parameters_on_a_backbone():
    """11,176,512 of ResNet-18 without its head, and the decoder by hand."""
    model = unet.unet(
        (32, 32, 3), 5, backbone="resnet18", normalization="batch", auxiliary=True
    )
    decoder = 0
    skips = (256, 128, 64, 64, 3)
    for before, skip, after in zip(
        (512, 256, 128, 64, 32), skips, (256, 128, 64, 32, 16), strict=True
    ):
        decoder += 4 * before * after + after  # transposed convolution
        decoder += 9 * after * (skip + after) + 9 * after * after + 4 * after
        decoder += after * 5 + 5  # scores
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    assert trainable == 11_176_512 + decoder


def test_dropout_is_at_the_end_of_the_contracting_path():
    model = unet.unet((32, 32, 3), 5, width=WIDTH)
    dropouts = [x for x in model.layers if isinstance(x, keras.layers.Dropout)]
    assert [x.name for x in dropouts] == ["c4_dropout", "c5_dropout"]
    assert {x.rate for x in dropouts} == {0.5}


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_every_weight_has_a_gradient(padding):
    model = unet.unet(
        (32, 32, 3), 5, padding=padding, width=WIDTH, auxiliary=True, dropout_rate=0
    )
    with tf.GradientTape() as tape:
        outputs = model(random((32, 32)), training=True)
        loss = sum(tf.reduce_mean(tf.square(x)) for x in outputs.values())
    gradients = tape.gradient(loss, model.trainable_variables)
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.any(gradient), weight.path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"padding": "mirror"}, "padding='mirror'"),
        ({"upsampling": "nearests"}, "upsampling='nearests'"),
        ({"weights": "imagenet"}, "weights='imagenet'"),
        ({"backbone": "resnet18", "padding": "valid"}, "padding='valid'"),
        (
            {"backbone": "resnet18", "upsampling": "max_unpooling"},
            "max_unpooling needs the encoder",
        ),
        (
            {"padding": "valid", "upsampling": "max_unpooling"},
            "max_unpooling needs the encoder",
        ),
        ({"dropout_rate": -0.1}, "dropout_rate=-0.1"),
        ({"normalization": "bacth"}, "kind='bacth'"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(errors.UsageError, match=message):
        unet.unet((32, 32, 3), 5, width=WIDTH, **options)
