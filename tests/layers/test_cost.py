import keras
import numpy as np
import pytest
from keras import layers

from tfdl import errors
from tfdl.backbones import BACKBONES
from tfdl.layers import cost


def costs_of(*chain, shape=(10, 12, 4)):
    x = inputs = keras.Input(shape)
    for layer in chain:
        x = layer(x)
    return cost.of_layers(keras.Model(inputs, x))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.Conv2D(6, (3, 5), padding="same"), 10 * 12 * 6 * 3 * 5 * 4),
        (layers.Conv2D(6, 3, 2), 4 * 5 * 6 * 9 * 4),
        (layers.Conv2D(6, 3, groups=2, padding="same"), 10 * 12 * 6 * 9 * 2),
        (layers.Conv2D(6, 3, dilation_rate=2), 6 * 8 * 6 * 9 * 4),
        (layers.DepthwiseConv2D(3, depth_multiplier=2), 8 * 10 * 8 * 9),
        (layers.SeparableConv2D(6, 3), 8 * 10 * (9 * 4 + 4 * 6)),
        (layers.Conv2DTranspose(6, 2, 2), 10 * 12 * 4 * 6 * 4),
        (layers.Dense(7), 10 * 12 * 4 * 7),
        (layers.BatchNormalization(), 0),
        (layers.PReLU(shared_axes=(1, 2)), 0),
        (layers.MaxPooling2D(3), 0),
    ],
)
def test_multiply_adds_by_hand(layer, expected):
    """One for each value of the kernel at each position; biases are not counted."""
    (row,) = costs_of(layer)
    assert row.multiply_adds == expected
    assert row.parameters == layer.count_params()


def test_a_normalisations_moving_averages_are_not_trained():
    (row,) = costs_of(layers.BatchNormalization())
    assert (row.trainable, row.parameters) == (8, 16)


def test_a_shared_layer_has_its_parameters_once_and_its_work_each_time():
    shared = layers.Conv2D(4, 1)
    first, second = costs_of(shared, shared)
    assert (first.parameters, second.parameters) == (20, 0)
    assert first.multiply_adds == second.multiply_adds == 10 * 12 * 16


@pytest.mark.parametrize(
    ("name", "published"), [("squeezenet1_1", 0.349), ("mobilenet_v2", 0.301)]
)
def test_multiply_adds_are_torchvisions(name, published):
    """Published in thousands of millions; the parameters are Keras's own count.

    The backbones' table of published numbers has the other models.
    """
    model = BACKBONES[name]((224, 224, 3), 1000)
    total = cost.total(cost.of_layers(model))
    assert total.multiply_adds == pytest.approx(published * 1e9, rel=2e-3)
    assert total.parameters == model.count_params()
    trainable = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert total.trainable == trainable


def test_activations_are_all_outputs_in_their_own_format():
    """8 x 10 x 6 values and as many normalised ones; flattened they are the same."""
    rows = costs_of(
        layers.Conv2D(6, 3, dtype="mixed_bfloat16"),
        layers.ReLU(dtype="float32"),
        layers.Flatten(),
        layers.Dense(5),
    )
    sizes = [row.activation_bytes for row in rows if row.kind != "Cast"]
    assert sizes == [480 * 2, 480 * 4, 0, 5 * 4]


def test_activations_grow_with_the_batch_and_shrink_with_the_format():
    model = BACKBONES["lenet5"]((32, 32, 1), 10)
    one = cost.total(cost.of_layers(model)).activation_bytes
    batch = cost.of_layers(model, batch_size=32, dtype="bfloat16")
    assert cost.total(batch).activation_bytes == one * 32 // 2


def test_a_model_within_a_model_is_counted():
    inner = BACKBONES["lenet5"]((32, 32, 1), 10)
    inputs = keras.Input((32, 32, 1))
    outer = keras.Model(inputs, inner(inputs))
    inside = cost.total(cost.of_layers(inner))
    assert cost.total(cost.of_layers(outer)) == inside


def test_a_picture_of_unknown_size_is_refused():
    with pytest.raises(errors.UsageError, match="must have a known picture size"):
        costs_of(layers.Conv2D(2, 3), shape=(None, 32, 3))
