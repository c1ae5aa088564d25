"""Fractional max-pooling against TensorFlow's own, given its sequences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl import errors
from tfdl.layers import fractional_pooling

MODES = fractional_pooling.MODES


def _random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def _layer(**options):
    return fractional_pooling.FractionalMaxPooling2D(**{"seed": 1, **options})


def _given(layer, rows, columns):
    """Let the layer pool by these sequences, as a subclass that draws would."""
    bounds = iter((rows, columns))
    layer._bounds = lambda size, training: next(bounds)
    return layer


def _sequences(layer, size, count=400):
    return np.array([layer._bounds(size, training=True) for _ in range(count)])


@pytest.mark.parametrize(
    ("overlapping", "expected"), [(False, [20, 30, 7]), (True, [30, 30, 7])]
)
def test_hand_computed_rows(overlapping, expected):
    """Regions [0, 2), [2, 4), [4, 5); with their ends 5 20 30, 30 3 7, 7."""
    image = tf.reshape([5.0, 20.0, 30.0, 3.0, 7.0], (1, 5, 1, 1))
    image = tf.concat([image, image - 100.0], axis=2)
    bounds = np.array([0, 2, 4, 5], "int32")
    layer = _given(_layer(overlapping=overlapping), bounds, np.array([0, 2], "int32"))
    np.testing.assert_array_equal(np.ravel(layer(image)), expected)


def test_hand_computed_inference_sequence():
    """7 rows become floor(7 / 1.414) = 4: floor((7 i + 2) / 4)."""
    np.testing.assert_array_equal(_layer()._bounds(7, training=False), [0, 2, 4, 5, 7])


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("is_pseudorandom", [False, True])
@pytest.mark.parametrize("ratio", [2**0.5, 2 ** (1 / 3), 1.8])
def test_it_equals_tensorflow_with_the_same_sequences(
    ratio, is_pseudorandom, overlapping
):
    """Outputs and gradients."""
    image = tf.constant(_random((2, 21, 18, 3)))
    for seed in (1, 2, 3):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(image)
            expected, rows, columns = tf.nn.fractional_max_pool(
                image,
                [1.0, ratio, ratio, 1.0],
                pseudo_random=is_pseudorandom,
                overlapping=overlapping,
                seed=seed,
            )
            layer = _layer(ratio=ratio, overlapping=overlapping)
            rows, columns = (tf.cast(bound, "int32") for bound in (rows, columns))
            actual = _given(layer, rows, columns)(image, training=True)
            weights = _random(expected.shape, seed=9)
            losses = [tf.reduce_sum(out * weights) for out in (expected, actual)]
        np.testing.assert_array_equal(actual, expected)
        theirs, mine = (tape.gradient(loss, image) for loss in losses)
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("size", "ratio"), [(36, 2**0.5), (7, 2**0.5), (2, 1.5), (94, 2 ** (1 / 3))]
)
def test_sequences_cover_the_side_in_steps_of_one_and_two(size, ratio, mode):
    sequences = _sequences(_layer(ratio=ratio, mode=mode), size, count=50)
    assert sequences.shape == (50, int(size / ratio) + 1)
    assert (sequences[:, 0] == 0).all()
    assert (sequences[:, -1] == size).all()
    assert np.isin(np.diff(sequences, axis=1), (1, 2)).all()


@pytest.mark.parametrize("mode", MODES)
def test_every_step_is_two_with_probability_alpha_minus_one(mode):
    """35 rows become 24; 1,000 draws have a deviation of 0.016 each."""
    steps = np.diff(_sequences(_layer(mode=mode), 35, 1000), axis=1)
    np.testing.assert_allclose((steps == 2).mean(axis=0), 35 / 24 - 1, atol=0.07)


def test_pseudorandom_sequences_are_even_and_those_of_the_paper():
    """At most one pixel from the line, and of the form ceil(alpha (i + u)) - 1."""
    sequences = _sequences(_layer(), 35)
    line = 35 / 24 * np.arange(25)
    assert np.abs(sequences - line).max() < 1
    drawn = {tuple(sequence) for sequence in sequences}
    offsets = (np.arange(24) + 0.5) / 24  # alpha u, which leaves a_0 in its place
    paper = {tuple(np.ceil(line + offset).astype(int) - 1) for offset in offsets}
    assert drawn == paper
    # At random, twos may come one after another.
    random = _sequences(_layer(mode="random"), 35)
    assert np.abs(random - line).max() > 2


def test_random_sequences_take_every_order_alike():
    """5 rows become 3: two twos and a one, in three orders."""
    steps = np.diff(_sequences(_layer(mode="random"), 5, 900), axis=1)
    _, counts = np.unique(steps, axis=0, return_counts=True)
    np.testing.assert_allclose(counts, [300, 300, 300], atol=60)


@pytest.mark.parametrize("mode", MODES)
def test_inference_draws_nothing_and_training_draws_anew(mode):
    layer = _layer(mode=mode)
    image = tf.constant(_random((2, 20, 20, 3)))
    state = np.array(layer.seed_generator.state)
    np.testing.assert_array_equal(layer(image), layer(image, training=False))
    np.testing.assert_array_equal(layer.seed_generator.state, state)
    first, second = (layer(image, training=True) for _ in range(2))
    assert np.any(np.not_equal(first, second))


def test_rows_and_columns_are_drawn_apart_and_shared_by_the_batch():
    image = np.arange(400, dtype="float32").reshape(1, 20, 20, 1)
    outputs = np.array(_layer()(np.repeat(image, 3, axis=0), training=True))
    np.testing.assert_array_equal(outputs[0], outputs[2])
    for _ in range(5):
        outputs = np.array(_layer(seed=None)(image, training=True))[0, :, :, 0]
        rows, columns = outputs[:, 0] // 20, outputs[0] % 20
        if not np.array_equal(rows, columns):
            return
    pytest.fail("rows and columns had the same sequence five times")


def test_gradient_flows_to_one_pixel_of_equal_ones():
    image = tf.zeros((1, 10, 10, 1))
    layer = _layer(overlapping=False)
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = tf.reduce_sum(layer(image, training=True))
    gradient = np.array(tape.gradient(loss, image))
    assert set(np.unique(gradient)) == {0, 1}
    assert gradient.sum() == 7 * 7


@pytest.mark.parametrize("mode", MODES)
def test_shape_is_static_in_a_graph_and_bfloat16_is_exact(mode):
    image = tf.cast(_random((2, 35, 30, 4)), "bfloat16")
    half = _layer(mode=mode, dtype="bfloat16")
    outputs = tf.function(half).get_concrete_function(
        tf.TensorSpec((None, 35, 30, 4), "bfloat16"), training=True
    )(image)
    assert outputs.shape == (2, 24, 21, 4)
    assert half.compute_output_shape((None, 35, 30, 4)) == (None, 24, 21, 4)
    exact = _layer(mode=mode)(tf.cast(image, "float32"), training=True)
    np.testing.assert_array_equal(tf.cast(outputs, "float32"), exact)


def test_two_replicas_run(mirrored_strategy):
    with mirrored_strategy.scope():
        layer = _layer()
        layer.build((None, 12, 12, 2))

    def loss_gradient(image):
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = tf.reduce_sum(layer(image, training=True))
        return tape.gradient(loss, image)

    @tf.function
    def run(image):
        return mirrored_strategy.run(loss_gradient, args=(image,))

    gradient = run(tf.constant(_random((2, 12, 12, 2))))
    for part in mirrored_strategy.experimental_local_results(gradient):
        assert np.sum(part) == pytest.approx(2 * 8 * 8 * 2)


@pytest.mark.parametrize("mode", MODES)
def test_the_graph_draws_without_state(mode):
    """TensorFlow's own op keeps a state of its own that no checkpoint holds."""
    call = tf.function(_layer(mode=mode)).get_concrete_function(
        tf.TensorSpec((1, 10, 10, 1)), training=True
    )
    kinds = {operation.type for operation in call.graph.get_operations()}
    draws = {kind for kind in kinds if "Random" in kind or "Fractional" in kind}
    assert draws
    assert all(kind.startswith("Stateless") for kind in draws)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 1.0}, "ratio=1.0"),
        ({"ratio": 2.0}, "ratio=2.0"),
        ({"mode": "pseudo"}, "mode='pseudo'"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(errors.UsageError, match=message):
        _layer(**options)


@pytest.mark.parametrize("size", [None, 1, 3])
def test_sides_that_cannot_be_cut_are_refused(size):
    """3 / 1.9 leaves one region of three pixels."""
    with pytest.raises(errors.UsageError, match="Height and width must be known"):
        _layer(ratio=1.9).build((None, 20, size, 3))


@pytest.mark.parametrize("mode", MODES)
def test_a_model_that_pools_learns_and_loads_equal(mode, tmp_path):
    """Bright left or bright right: the label is seen through any sequence."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((9, 9, 1))
    x = _layer(mode=mode, overlapping=False)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    model.compile(
        keras.optimizers.Adam(0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    labels = np.arange(32) % 2
    images = 0.1 * _random((32, 9, 9, 1))
    images[labels == 0, :, :4] += 1
    images[labels == 1, :, 5:] += 1
    history = model.fit(images, labels, epochs=20, verbose=0).history["loss"]
    assert history[-1] < history[0] / 10

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), model(images))
    assert loaded.layers[1].get_config() == model.layers[1].get_config()
    assert any(
        variable is model.layers[1].seed_generator.state for variable in model.variables
    )
