"""MobileNet: the published field, dilation, keras.applications' logits."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import imagenet, mobilenet_v1
from tfdl.layers import receptive_field


def test_receptive_field_is_the_published_315():
    """Araujo et al., 2019, table 1."""
    model = mobilenet_v1.mobilenet_v1((224, 224, 3), None, width=0.25)
    assert receptive_field.of_last_map(model).size == (315, 315)


@pytest.mark.parametrize("size", [(224, 224), (320, 256)])
@pytest.mark.parametrize(
    ("output_stride", "strides"),
    [(32, (2, 4, 8, 16, 32)), (16, (2, 4, 8, 16, 16)), (8, (2, 4, 8, 8, 8))],
)
def test_feature_maps_have_the_strides(size, output_stride, strides):
    outputs = mobilenet_v1.mobilenet_v1(
        (*size, 3), None, output_stride=output_stride
    ).output
    channels = (64, 128, 256, 512, 1024)
    for index, (stride, filters) in enumerate(zip(strides, channels, strict=True)):
        shape = (None, size[0] // stride, size[1] // stride, filters)
        assert outputs[f"c{index + 1}"].shape == shape


@pytest.mark.parametrize("num_images", [1, 3])
def test_feature_maps_of_unknown_and_odd_size_round_up(num_images):
    model = mobilenet_v1.mobilenet_v1((None, None, 3), None, width=0.125)
    outputs = model(np.zeros((num_images, 75, 33, 3), "float32"))
    assert outputs["c5"].shape == (num_images, 3, 2, 128)


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("size", [(64, 96), (65, 33)])
def test_dilated_network_holds_the_pixels_of_the_strided_one(
    size, output_stride, randomize
):
    """At the end of each patch for even sizes, at its start for odd ones."""
    plain = mobilenet_v1.mobilenet_v1((*size, 3), None, width=0.25)
    dilated = mobilenet_v1.mobilenet_v1(
        (*size, 3), None, width=0.25, output_stride=output_stride
    )
    randomize(plain)
    dilated.set_weights(plain.get_weights())
    image = np.random.default_rng(0).random((1, *size, 3), dtype="float32")
    step = 32 // output_stride
    start = step - 1 if size[0] % 32 == 0 else 0
    expected = plain(image)["c5"]
    assert np.std(expected) > 0.01
    actual = dilated(image)["c5"][:, start::step, start::step]
    np.testing.assert_allclose(actual, expected, atol=1e-4)


@pytest.mark.parametrize("options", [{"output_stride": 4}, {"drop_path_rate": 0.1}])
def test_what_it_has_not_is_refused(options):
    (argument,) = options
    with pytest.raises(errors.UsageError, match=f"`{argument}` "):
        mobilenet_v1.mobilenet_v1((64, 64, 3), 10, width=0.125, **options)


@pytest.mark.parametrize("width", [1.0, 0.5])
def test_logits_equal_those_of_keras_applications(width, randomize):
    """Even sizes: at odd ones theirs, unlike the paper's program, crops."""
    size = (64, 96, 3)
    keras.utils.set_random_seed(0)
    theirs = keras.applications.MobileNet(
        weights=None, input_shape=size, alpha=width, classifier_activation=None
    )
    randomize(theirs)
    ours = mobilenet_v1.mobilenet_v1(size, width=width)
    imagenet.transfer(theirs, ours, mobilenet_v1.published())
    image = np.random.default_rng(1).random((2, *size), dtype="float32")
    expected = theirs(keras.applications.mobilenet.preprocess_input(255 * image))
    scale = np.abs(expected).max()
    assert np.std(expected) > 0
    np.testing.assert_allclose(ours(image), expected, rtol=0, atol=1e-5 * scale)
