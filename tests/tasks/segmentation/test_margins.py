"""Mirrored margins against NumPy's."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.tasks.segmentation import margins


def build(size, *options, **named):
    inputs = keras.Input((*size, 3))
    layer = margins.MirroredMargins2D(*options, **named)
    return keras.Model(inputs, layer(inputs))


def test_hand_computed_row():
    """The outermost pixels are the mirrors; five pixels more make the rest 4 of 8."""
    row = np.arange(1.0, 4.0).reshape(1, 1, 3, 1).repeat(3, axis=-1)
    found = build((1, 3), 2, multiple=8, remainder=4)(row)
    np.testing.assert_array_equal(found[0, 0, :, 0], [3, 2, 1, 2, 3, 2, 1, 2])


@pytest.mark.parametrize("size", [(7, 40), (2, 5), (1, 3), (20, 12)])
@pytest.mark.parametrize("is_known", [True, False])
def test_any_picture_is_surrounded_as_numpy_does(size, is_known):
    """Also where the margin is many times the picture."""
    image = np.random.default_rng(0).random((2, *size, 3), dtype="float32")
    shape = size if is_known else (None, None)
    model = build(shape, 16, multiple=8, remainder=4)
    far = [16 + (4 - side) % 8 for side in size]
    expected = np.pad(
        image, [(0, 0), (16, far[0]), (16, far[1]), (0, 0)], mode="reflect"
    )
    assert model.output_shape[1:3] in (expected.shape[1:3], (None, None))
    signature = [tf.TensorSpec((None, *shape, 3))]
    found = tf.function(model, input_signature=signature)(image)
    np.testing.assert_array_equal(found, expected)


def test_saved_and_loaded_it_is_equal(tmp_path):
    model = build((5, 6), 3, multiple=4, remainder=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    image = np.random.default_rng(0).random((2, 5, 6, 3), dtype="float32")
    np.testing.assert_array_equal(loaded(image), model(image))
