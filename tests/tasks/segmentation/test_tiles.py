import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.tasks.segmentation import tiles

CLASSES = 3
TILES = {"num_classes": CLASSES, "tile_size": 16, "overlap": 8}  # a quarter: 2 pixels


@pytest.fixture(scope="module")
def near_sighted():
    """A network of two convolutions of 3 x 3: it sees 2 pixels to each side."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 2))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    outputs = keras.layers.Conv2D(CLASSES, 3, padding="same", bias_initializer="ones")(
        x
    )
    return keras.Model(inputs, outputs)


def pictures(*shape):
    return np.random.default_rng(0).random((*shape, 2), np.float32)


SIZES = [(16, 16), (17, 16), (24, 25), (50, 33), (7, 40), (1, 1), (3, 100)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("in_graph", [True, False])
def test_tiles_equal_the_whole_where_the_overlap_covers_what_is_seen(
    near_sighted, size, in_graph
):
    images = pictures(2, *size)
    predict = tiles.blended
    if in_graph:
        spec = tf.TensorSpec([None, None, None, 2], tf.float32)
        predict = tf.function(
            lambda images: tiles.blended(near_sighted, images, **TILES),
            input_signature=[spec],
        )
        found = predict(images)
    else:
        found = predict(near_sighted, tf.constant(images), **TILES)
    np.testing.assert_allclose(found, near_sighted(images), atol=1e-5)


@pytest.mark.parametrize("size", [(128, 128), (150, 97), (1, 131), (200, 64)])
def test_tiles_begin_where_the_strides_of_a_network_do(size):
    """A convolution of stride 4 and kernel 4, whose answers are repeated."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 2))
    x = keras.layers.ZeroPadding2D(((0, 3), (0, 3)))(inputs)
    x = keras.layers.Conv2D(CLASSES, 4, strides=4)(x)
    network = keras.Model(inputs, keras.layers.UpSampling2D(4)(x))

    def infer(images):
        return network(images)[:, : tf.shape(images)[1], : tf.shape(images)[2]]

    images = tf.constant(pictures(1, *size))
    laying = {"num_classes": CLASSES, "tile_size": 48, "overlap": 16}
    found = tiles.blended(infer, images, **laying)
    np.testing.assert_allclose(found, infer(images), atol=1e-5)


def test_a_network_that_sees_farther_differs_where_tiles_meet(near_sighted):
    images = pictures(1, 50, 33)
    whole = near_sighted(images)
    narrow = TILES | {"overlap": 4}  # a quarter: 1 pixel
    apart = np.abs(tiles.blended(near_sighted, tf.constant(images), **narrow) - whole)
    assert apart.max() > 1e-3


@pytest.mark.parametrize("size", SIZES)
def test_label_maps_are_the_largest_of_what_is_blended(near_sighted, size):
    images = tf.constant(pictures(2, *size))
    labels = tiles.label_maps(near_sighted, images, **TILES)
    assert labels.dtype == tf.uint8
    expected = tf.argmax(tiles.blended(near_sighted, images, **TILES), axis=-1)
    np.testing.assert_array_equal(labels, expected)


def test_blending_goes_evenly_from_one_tile_to_the_next():
    """Tiles that answer 0 and 1 by turns: between them a ramp of four pixels."""
    calls = []

    def count(images):
        calls.append(0)
        return tf.zeros([*images.shape[:3], 1]) + float(len(calls) - 1)

    row = tf.zeros([1, 1, 24, 2])
    found = tiles.blended(count, row, num_classes=1, tile_size=16, overlap=8)
    expected = [0.0] * 10 + [0.125, 0.375, 0.625, 0.875] + [1.0] * 10
    np.testing.assert_allclose(found[0, 0, :, 0], expected, atol=1e-6)
    assert len(calls) == 2  # no tile is computed twice


@pytest.mark.parametrize("overlap", [-4, 6, 12])
def test_tiles_that_cannot_be_laid_are_refused(overlap):
    with pytest.raises(errors.UsageError, match=f"--overlap {overlap}"):
        tiles.check(16, overlap)
    tiles.check(16, 8)
