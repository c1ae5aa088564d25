"""FractalNet: the count by hand, the fractal by the paper's rule, and its columns."""

import keras
import numpy as np
import pytest

from tfdl import errors
from tfdl.backbones import fractalnet
from tfdl.layers import drop_path

CHANNELS = (64, 128, 256, 512, 512)


@pytest.fixture(scope="module")
def narrow():
    """Return a narrow network of feature maps whose norms are not trivial."""
    model = fractalnet.fractalnet((32, 32, 3), None, width=0.0625)
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if layer.name.endswith("_norm"):
            shapes = [weight.shape for weight in layer.weights]
            layer.set_weights([generator.uniform(0.5, 1.5, shape) for shape in shapes])
    return model


def test_count_by_hand():
    """A block's 15 convolutions: 4 from the block before, 11 among its own channels.

    The trap: each has a norm with a scale and an offset, and no bias.
    """
    count, before = 0, 3
    for channels in CHANNELS:
        count += 4 * 9 * before * channels + 11 * 9 * channels * channels
        count += 15 * 2 * channels
        before = channels
    count += 512 * 10 + 10
    model = fractalnet.fractalnet((32, 32, 3), 10)
    trainable = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    assert trainable == count == 76_106_634
    assert model.count_params() == count + 15 * 2 * sum(CHANNELS)


def test_longest_path_has_40_convolutions_and_the_columns_1_2_4_8():
    model = fractalnet.fractalnet((32, 32, 3), 10, width=0.0625)
    names = [
        layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    per_column = [sum(f"column{c}_" in name for name in names) for c in (1, 2, 3, 4)]
    assert per_column == [5 * 1, 5 * 2, 5 * 4, 5 * 8]


def _conv(model, name, x, training):
    for part in ("conv", "norm", "relu"):
        layer = model.get_layer(f"{name}_{part}")
        x = layer(x, training=training) if part == "norm" else layer(x)
    return x


def _half(x):
    """The largest of 2 x 2 pixels, in NumPy."""
    batch, height, width, channels = x.shape
    return np.reshape(x, (batch, height // 2, 2, width // 2, 2, channels)).max((2, 4))


class _PaperFractal:
    """The expansion rule [Larsson 2017, section 2], with joins that are merged."""

    def __init__(self, model, block):
        self.model = model
        self.steps = {
            column: iter(range(8 >> (column - 1), 9, 8 >> (column - 1)))
            for column in (1, 2, 3, 4)
        }
        self.block = block

    def __call__(self, x, column=1):
        """Return what the columns from this one on bring to their join."""
        name = f"c{self.block}_column{column}_{next(self.steps[column])}"
        short = np.array(_conv(self.model, name, x, False))
        if column == 4:
            return [short]
        middle = np.mean(self(x, column + 1), axis=0)
        return [short, *self(middle, column + 1)]


def test_feature_maps_are_those_of_the_papers_recursion(narrow):
    image = np.random.default_rng(1).random((2, 32, 32, 3), dtype="float32")
    actual = narrow(image)
    x = narrow.get_layer("normalize")(image)
    for block in range(1, 6):
        columns = _PaperFractal(narrow, block)(x)
        x = np.mean([_half(column) for column in columns], axis=0)
        np.testing.assert_allclose(actual[f"c{block}"], x, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("column", [1, 2, 3, 4])
def test_a_picture_of_one_column_takes_that_column_through_the_network(narrow, column):
    """Global drop-path: every join is told the same column."""
    choice = narrow.get_layer("column").output
    probe = keras.Model([narrow.input, choice], narrow.output["c5"])
    image = np.random.default_rng(1).random((4, 32, 32, 3), dtype="float32")
    chosen = np.full(4, column - 1, "int32")
    moved = narrow.get_weights()  # of the averages, which training moves
    x = narrow.get_layer("normalize")(image)
    length = 2 ** (column - 1)
    for block in range(1, 6):
        for step in range(8 // length, 9, 8 // length):
            x = _conv(narrow, f"c{block}_column{column}_{step}", x, True)
        x = _half(np.array(x))
        if block in (2, 3, 4):
            narrow.get_layer(f"c{block}_dropout").rate = 0
    actual = probe([image, chosen], training=True)
    for block in (2, 3, 4):
        narrow.get_layer(f"c{block}_dropout").rate = 0.1 * (block - 1)
    narrow.set_weights(moved)
    np.testing.assert_allclose(actual, x, rtol=1e-3, atol=1e-3)


def test_defaults_are_the_papers():
    """15 % of the paths, half of the batches; 0, 10, 20, 30, 40 % after the blocks."""
    model = fractalnet.fractalnet((32, 32, 3), 10, width=0.0625)
    joins = [lay for lay in model.layers if isinstance(lay, drop_path.DropPathJoin)]
    # After 2, 4, 6 and 8 convolutions of the deepest column join 2, 3, 2 and 4.
    assert [len(join.columns) for join in joins] == [2, 3, 2, 4] * 5
    assert {join.rate for join in joins} == {0.15}
    choice = model.get_layer("column")
    assert (choice.num_columns, choice.rate) == (4, 0.5)
    rates = [
        layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)
    ]
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4])


def test_without_drop_path_training_draws_nothing():
    model = fractalnet.fractalnet(
        (32, 32, 3), None, width=0.0625, drop_path_rate=0.0, dropout_rate=0.0
    )
    image = np.random.default_rng(1).random((2, 32, 32, 3), dtype="float32")
    first, second = (model(image, training=True)["c5"] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("image_shape", [(32, 32, 3), (224, 224, 3), (320, 256, 3)])
def test_feature_maps_have_the_strides(image_shape):
    outputs = fractalnet.fractalnet(image_shape, None, width=0.125).output
    for level, channels in enumerate(CHANNELS):
        stride = 2 ** (level + 1)
        height, columns = (size // stride for size in image_shape[:2])
        assert outputs[f"c{level + 1}"].shape == (None, height, columns, channels // 8)


@pytest.mark.parametrize("batch", [1, 3])
def test_pictures_of_any_size_run(batch):
    model = fractalnet.fractalnet((None, None, 3), 7, width=0.0625)
    image = np.zeros((batch, 40, 50, 3), "float32")
    assert model(image, training=True).shape == (batch, 7)


def test_dilation_and_rates_out_of_range_are_refused():
    with pytest.raises(errors.UsageError, match="output_stride=16"):
        fractalnet.fractalnet((32, 32, 3), 10, output_stride=16)
    with pytest.raises(errors.UsageError, match="drop_path_rate=1.0"):
        fractalnet.fractalnet((32, 32, 3), 10, drop_path_rate=1.0)


@pytest.mark.parametrize("num_classes", [10, None])
def test_a_dropout_rate_out_of_range_is_refused(num_classes):
    with pytest.raises(errors.UsageError, match="`dropout_rate` must .*=1.5"):
        fractalnet.fractalnet((32, 32, 3), num_classes, dropout_rate=1.5)
