"""The first ideas: no downsampling, and patches classified all at once."""

import numpy as np
import pytest
import tensorflow as tf

from tfdl.layers import receptive_field
from tfdl.tasks.segmentation import plain

CLASSES, SIDE = 4, 33


def random(shape):
    return np.random.default_rng(0).random(shape, dtype="float32")


def randomize(model):
    """Give norms something to do."""
    generator = np.random.default_rng(1)
    for layer in model.layers:
        layer.set_weights(
            [
                value + generator.uniform(0, 0.3, value.shape)
                for value in layer.get_weights()
            ]
        )


@pytest.fixture(scope="module")
def classifier():
    model = plain.classifier(CLASSES, width=0.25)
    randomize(model)
    return model


@pytest.mark.parametrize("size", [(40, 35), (33, 33), (9, 6), (1, 1)])
@pytest.mark.parametrize("is_known", [True, False])
def test_every_pixel_s_answer_is_the_classifier_s_of_its_patch(
    classifier, size, is_known
):
    shape = size if is_known else (None, None)
    network = plain.patch_classifier((*shape, 3), CLASSES, width=0.25)
    network.set_weights(classifier.get_weights())
    image = random((1, *size, 3))
    found = np.array(tf.function(lambda x: network(x))(image)["logits"])
    assert found.shape == (1, *size, CLASSES)
    surrounded = np.pad(image[0], [(16, 16), (16, 16), (0, 0)], mode="reflect")
    patches = np.lib.stride_tricks.sliding_window_view(surrounded, (SIDE, SIDE), (0, 1))
    patches = np.moveaxis(patches.reshape(-1, 3, SIDE, SIDE), 1, -1)
    expected = classifier.predict(patches, batch_size=256, verbose=0)
    np.testing.assert_allclose(
        found.reshape(-1, CLASSES), expected, rtol=1e-4, atol=1e-4
    )


def test_one_patch_has_one_answer_and_the_network_no_other_weights(classifier):
    assert classifier.output_shape == (None, CLASSES)
    network = plain.patch_classifier((40, 40, 3), CLASSES, width=0.25)
    assert network.count_params() == classifier.count_params()


@pytest.mark.parametrize(
    ("build", "size"), [(plain.plain, 13), (plain.patch_classifier, 33)]
)
def test_a_pixel_sees_so_many_pixels_and_no_stride(build, size):
    field = receptive_field.of_last_map(build((64, 64, 3), CLASSES, width=0.125))
    assert (field.size, field.stride) == ((size, size), (1, 1))


def test_plain_has_the_picture_s_size_in_every_layer():
    model = plain.plain((20, 30, 3), CLASSES)
    assert {tuple(layer.output.shape[1:3]) for layer in model.layers} == {(20, 30)}
    # 3 x 64 and five times 64 x 64 kernels of 3 x 3, two numbers per norm, the scores.
    expected = 9 * 64 * (3 + 5 * 64) + 6 * 128 + 64 * CLASSES + CLASSES
    trainable = sum(np.prod(weight.shape) for weight in model.trainable_variables)
    assert trainable == expected


def test_grey_pictures_have_patches_as_well():
    assert plain.classifier(2, channels=1, width=0.25).input_shape == (None, 33, 33, 1)
