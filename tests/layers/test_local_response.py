"""Local response normalisation: the formula, its gradient, its arguments."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.layers import local_response

# Constants that let the sums weigh: with the paper's a bias of 2 is nearly all.
STRONG = {"size": 5, "bias": 1.5, "alpha": 0.3, "beta": 0.75}


def _values(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _slow(x, *, size, bias, alpha, beta):
    """Loop over the channels, as the paper's formula does."""
    channels, outputs = x.shape[-1], np.empty(x.shape)
    for channel in range(channels):
        first = max(0, channel - size // 2)
        last = min(channels - 1, channel + size // 2)
        squares = (x[..., first : last + 1].astype("float64") ** 2).sum(axis=-1)
        outputs[..., channel] = x[..., channel] / (bias + alpha * squares) ** beta
    return outputs


def test_three_channels_by_hand():
    """1 / (1 + 1 + 4), 2 / (1 + 1 + 4 + 9), 3 / (1 + 4 + 9)."""
    layer = local_response.LocalResponseNormalization(
        size=3, bias=1.0, alpha=1.0, beta=1.0
    )
    outputs = layer(np.array([[[[1.0, 2.0, 3.0]]]], "float32"))
    np.testing.assert_allclose(np.ravel(outputs), [1 / 6, 2 / 15, 3 / 14], rtol=1e-6)


def test_defaults_are_the_papers():
    x = 100 * _values((2, 3, 4, 16))
    expected = _slow(x, size=5, bias=2.0, alpha=1e-4, beta=0.75)
    outputs = local_response.LocalResponseNormalization()(x)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 5, 48])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_it_equals_the_loop_also_with_fewer_channels_than_a_window(channels, size):
    options = STRONG | {"size": size}
    x = _values((2, 3, 1, channels))
    outputs = local_response.LocalResponseNormalization(**options)(x)
    np.testing.assert_allclose(outputs, _slow(x, **options), rtol=1e-5)


@pytest.mark.parametrize("beta", [0.75, 0.5, 1.3])
@pytest.mark.parametrize("in_graph", [False, True])
def test_values_and_gradient_equal_tensorflows(beta, in_graph):
    options = STRONG | {"beta": beta}
    x, upstream = tf.constant(_values((2, 5, 4, 12))), _values((2, 5, 4, 12), seed=1)
    layer = local_response.LocalResponseNormalization(**options)

    def theirs(x):
        return tf.nn.local_response_normalization(
            x, depth_radius=2, bias=1.5, alpha=0.3, beta=beta
        )

    def run(function):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = function(x)
        return outputs, tape.gradient(outputs, x, upstream)

    run_ours = tf.function(run) if in_graph else run
    for actual, expected in zip(run_ours(layer), run(theirs), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_gradient_is_that_of_differences():
    x, direction = (_values((1, 1, 1, 7), seed).astype("float64") for seed in (0, 1))
    layer = local_response.LocalResponseNormalization(**STRONG)
    with tf.GradientTape() as tape:
        inputs = tf.constant(x, "float32")
        tape.watch(inputs)
        total = tf.reduce_sum(layer(inputs) ** 2)
    actual = np.sum(tape.gradient(total, inputs) * direction)
    step = 1e-5
    above, below = (
        np.sum(_slow(x + sign * step * direction, **STRONG) ** 2) for sign in (1, -1)
    )
    assert actual == pytest.approx((above - below) / (2 * step), rel=1e-4)


def test_bfloat16_values_are_normalised_in_float32():
    layer = local_response.LocalResponseNormalization(**STRONG, dtype="mixed_bfloat16")
    x = tf.cast(_values((2, 3, 4, 16)), "bfloat16")
    outputs = layer(x)
    assert outputs.dtype == "bfloat16"
    expected = _slow(tf.cast(x, "float32").numpy(), **STRONG)
    half_unit = 2.0**-8  # of the last of bfloat16's 8 digits
    np.testing.assert_allclose(
        tf.cast(outputs, "float32"), expected, rtol=1.01 * half_unit
    )


def test_a_small_network_with_it_learns_eight_samples(tmp_path):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            local_response.LocalResponseNormalization(alpha=0.1),
            keras.layers.Flatten(),
            keras.layers.Dense(8),
        ]
    )
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    images, labels = _values((8, 8, 8, 1)), np.arange(8)
    losses = model.fit(images, labels, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.1 * losses[0]

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))
    assert loaded.layers[1].alpha == 0.1


@pytest.mark.parametrize(
    "options", [{"size": 4}, {"size": 0}, {"bias": 0.0}, {"alpha": -1.0}, {"beta": -1}]
)
def test_arguments_out_of_range_are_refused(options):
    ((name, value),) = options.items()
    with pytest.raises(errors.UsageError, match=f"{name}={value}"):
        local_response.LocalResponseNormalization(**options)
