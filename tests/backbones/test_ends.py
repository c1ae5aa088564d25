"""The two ends of a backbone: the picture normalised, logits or feature maps."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import ends


def _model(function, shape, *args, **options):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs, *args, **options))


def test_image_input_normalises_in_float32_under_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    inputs, x = ends.image_input(
        (None, None, 3), mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1)
    )
    output = keras.Model(inputs, x)(np.ones((1, 2, 2, 3), "float32"))
    np.testing.assert_allclose(output[0, 0, 0], [1.0, 3.0, 7.0], rtol=1e-5)


def test_image_input_averages_the_constants_for_a_grey_picture():
    inputs, x = ends.image_input((2, 2, 1), mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))
    output = keras.Model(inputs, x)(np.ones((1, 2, 2, 1), "float32"))
    np.testing.assert_allclose(np.ravel(output), [3.0] * 4, rtol=1e-5)


@pytest.mark.parametrize("image_shape", [(32, 32), (32, 32, None)])
def test_image_input_refuses_other_shapes(image_shape):
    with pytest.raises(errors.UsageError, match="`image_shape` must be"):
        ends.image_input(image_shape, mean=(0.5,), std=(0.5,))


def test_classifier_is_float32_and_starts_near_zero():
    model = _model(ends.classifier, (512,), 10, dropout_rate=0.5)
    dropout, dense = model.layers[1:]
    assert dense.compute_dtype == dropout.compute_dtype == "float32"
    assert dense.get_weights()[0].std() == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes=0"),
        ({"num_classes": 2, "dropout_rate": 1.0}, "dropout_rate=1.0"),
    ],
)
def test_classifier_refuses_numbers_out_of_range(options, message):
    with pytest.raises(errors.UsageError, match=message):
        ends.classifier(keras.Input((4,)), **options)


@pytest.mark.parametrize(
    ("size", "received"), [((None, None), "None for both"), ((32, None), "for one")]
)
def test_an_unknown_size_is_refused_where_one_is_needed(size, received):
    ends.check_known_size((1, 32), reason="its dense layer")
    with pytest.raises(errors.UsageError, match=f"for its dense layer.*{received}"):
        ends.check_known_size(size, reason="its dense layer")


def test_a_picture_too_small_is_refused_and_an_unknown_size_is_not():
    ends.check_size((31, None, 3), 31, name="googlenet")
    ends.check_size((None, None, 3), 31, name="googlenet")
    with pytest.raises(errors.UsageError, match=r"31 pixels .* googlenet.*\(None, 30"):
        ends.check_size((None, 30, 3), 31, name="googlenet")


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_out_of_range_is_refused_by_its_name(rate):
    with pytest.raises(errors.UsageError, match=rf"`share` must be in .*share={rate}"):
        ends.check_rate("share", rate)
    ends.check_rate("share", 0.0)
