"""Scores of pixels: float32, small at first, enlarged in every way."""

import keras
import numpy as np
import pytest
from skimage import transform

from tfdl import errors
from tfdl.layers import upsampling
from tfdl.tasks.segmentation import heads


def random(shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def enlarge(kind, size=(24, 32), channels=5, **options):
    """Make a model of maps of 6 x 8 pixels and pictures of `size`."""
    x, image = keras.Input((6, 8, channels)), keras.Input((*size, 3))
    made = heads.enlarged(x, image, kind, factor=4, name="enlarged", **options)
    return keras.Model([x, image], made)


def test_scores_are_of_few_digits_only_where_they_come_from():
    """Under bfloat16 the map has 8 bits, the scores have 24.

    Half of the values about 1 are cut off, which leaves a mean square of 1/2.
    """
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs = keras.Input((6, 8, 16))
    x = keras.layers.Activation("relu")(inputs)
    assert x.dtype == "bfloat16"
    model = keras.Model(inputs, heads.scores(x, 5, kernel_size=3))
    assert model.output.dtype == "float32"
    assert model.get_layer("classifier").kernel.shape == (3, 3, 16, 5)
    found = np.array(model(random((2, 6, 8, 16))))
    assert np.any(found != found.astype("float16"))
    assert np.std(found) == pytest.approx(heads.SPREAD * 0.5**0.5, rel=0.25)


@pytest.mark.parametrize("kind", heads.KINDS)
@pytest.mark.parametrize("size", [(24, 32), (21, 30), (26, 32)])
def test_every_kind_answers_in_the_picture_s_size(kind, size):
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = enlarge(kind, size)
    assert model.output_shape == (None, *size, 5)
    assert model.output.dtype == "float32"
    x = random((2, 6, 8, 5))
    found = np.array(model([x, np.zeros((2, *size, 3), "float32")]))
    assert np.any(found != np.array(found, "float16"))
    if kind in ("nearest", "bed_of_nails"):
        corners = x[:, : -(-size[0] // 4), : -(-size[1] // 4)]
        np.testing.assert_array_equal(found[:, :24:4, :32:4], corners)


def test_bilinear_stretches_scores_over_the_whole_picture():
    x = random((1, 6, 8, 5))
    found = enlarge("bilinear", (21, 30))([x, np.zeros((1, 21, 30, 3), "float32")])
    expected = transform.resize(x[0], (21, 30), order=1, mode="edge")
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


@pytest.mark.parametrize("is_trained", [True, False])
def test_transposed_convolution_starts_bilinear_and_may_stay_so(is_trained):
    model = enlarge("transposed_convolution", trainable=is_trained)
    x = random((1, 6, 8, 5))
    found = model([x, np.zeros((1, 24, 32, 3), "float32")])
    expected = transform.resize(x[0], (24, 32), order=1, mode="edge")
    np.testing.assert_allclose(found[0, 2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-5)
    assert len(model.trainable_variables) == is_trained


def test_auxiliary_head_is_torchvision_s():
    """1024 x 256 x 9 + 512 + 256 x 21 + 21 = 2,365,205 parameters for ResNet-50."""
    x, image = keras.Input((8, 8, 1024)), keras.Input((64, 61, 3))
    model = keras.Model([x, image], heads.auxiliary(x, image, 21))
    trainable = sum(np.prod(weight.shape) for weight in model.trainable_variables)
    assert trainable == 35_322_218 - 32_957_013 == 2_365_205
    assert model.output_shape == (None, 64, 61, 21)


def test_unpooling_is_refused_for_scores():
    with pytest.raises(errors.UsageError, match="upsampling='max_unpooling'"):
        enlarge("max_unpooling")
    assert set(upsampling.KINDS) - set(heads.KINDS) == {"max_unpooling"}


@pytest.mark.parametrize(("rate", "count"), [(0, 0), (0.5, 1)])
def test_no_dropout_is_no_layer(rate, count):
    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, heads.dropped(inputs, rate, name="some"))
    names = [layer.name for layer in model.layers]
    assert names.count("some_dropout") == count
